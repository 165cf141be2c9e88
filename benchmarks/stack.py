"""The tape beside the ideal cursor, a bare array, std::vector, array.array and list, in one run.

    python benchmarks/stack.py

Needs a C++ compiler and Cython.  Figures are medians of interleaved rounds; quote the ratios, not the nanoseconds.
"""

import array
import ctypes
import sys
from pathlib import Path

import numpy as np
from numba import njit

from tape import SlabPool, Tape

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks import compiled
from benchmarks.timing import interleaved, seconds


def numba_loops(now):
    """The loops in Numba; like the native ones they time themselves, by a C function `now`."""

    @njit(nogil=True)
    def push_pop(tape, n):
        start = now()
        for i in range(n):
            tape.push(float(i))
        middle = now()
        total = 0.0
        for _ in range(n):
            total += tape.pop()
        end = now()
        return (middle - start) / n, (end - middle) / n, total

    return push_pop


def push_loop(push, n):
    for _ in range(n):
        push(1.0)


def method_loop(stack, n):
    for _ in range(n):
        stack.push(1.0)


def append_loop(stack, n):
    for _ in range(n):
        stack.append(1.0)


def empty_loop(n):
    for _ in range(n):
        pass


def row(name, push, pop, base):
    print(f"  {name:28s} {push:7.2f} {pop:7.2f} {(push + pop) / base:9.2f}")


def long_stacks(cpp, loops):
    """N pushes, then N pops, on recycled memory."""
    recycled = Tape("f8")
    cursor = ctypes.c_void_p(cpp.ideal_new())
    out = (ctypes.c_double * 3)()
    in_numba = numba_loops(cpp.now_ns)
    for n, rounds in [(1000, 2000), (100_000, 200), (10_000_000, 7)]:
        data = np.zeros(n)
        address = data.ctypes.data_as(ctypes.c_void_p)

        def native(function, *args, n=n):
            function(*args, ctypes.c_long(n), out)
            assert out[2] == n * (n - 1) / 2
            return out[0], out[1]

        def ours(push_pop, n=n):
            push, pop, total = push_pop(recycled, n)
            assert total == n * (n - 1) / 2
            return push, pop

        candidates = {
            "ideal cursor, C++": lambda: native(cpp.ideal, cursor),
            "tape, Cython": lambda: ours(loops.push_pop),
            "tape, Numba": lambda: ours(in_numba),
            "bare array, C++": lambda address=address: native(cpp.array, address),
            "std::vector, fresh": lambda: native(cpp.vector),
        }
        ours(in_numba)
        samples = {name: [] for name in candidates}
        for _ in range(rounds):
            for name, use in candidates.items():
                samples[name].append(use())
        figures = {name: np.median(values, axis=0) for name, values in samples.items()}
        base = figures["ideal cursor, C++"].sum()
        print(f"\nN = {n}, recycled memory: ns per push, per pop, (push + pop) / ideal")
        for name, (push, pop) in figures.items():
            row(name, push, pop, base)


def fresh_stacks(cpp, loops, n=10_000_000, rounds=7):
    """N pushes into memory that the operating system hands out just then."""
    out = (ctypes.c_double * 3)()
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(loops.push_pop(Tape("f8", pool=SlabPool(retain=0)), n)[:2])
        cpp.vector(ctypes.c_long(n), out)
        theirs.append((out[0], out[1]))
    ours, theirs = np.median(ours, axis=0), np.median(theirs, axis=0)
    print(f"\nN = {n}, empty pool: ns per push, per pop, (push + pop) / tape")
    row("tape, Cython", *ours, ours.sum())
    row("std::vector, no reserve", *theirs, ours.sum())
    print(f"  pushes alone: std::vector / tape = {theirs[0] / ours[0]:.2f}")


def short_lives(cpp, loops):
    """From nothing to nothing, without the GIL."""
    print("\nWhole lives: ns from init to free; std::vector / tape")
    for n in (8, 64, 128, 1000, 10_000):
        lives = max(20, 4_000_000 // n)
        for pops, what in [(0, "n pushes"), (1, "n pushes, n pops")]:
            life = interleaved(
                {
                    "tape_s": lambda: loops.life(n, lives, pops),  # noqa: B023 (called at once)
                    "std::vector": lambda: cpp.vector_life(n, ctypes.c_long(lives), pops),  # noqa: B023
                },
                rounds=7,
            )
            ratio = life["std::vector"] / life["tape_s"]
            print(f"  N = {n:<6d} {what:17s} {life['tape_s']:9.0f} {life['std::vector']:9.0f} {ratio:7.2f}")


def from_python(n=1_000_000):
    """The same loop over three stacks, and a million items at once."""
    tape = Tape("f8")
    tape.extend(np.ones(n))

    def pushes():
        tape.clear()
        return seconds(method_loop, tape, n)

    loop = interleaved(
        {
            "tape.push": pushes,
            "array.array.append": lambda: seconds(append_loop, array.array("d"), n),
            "list.append": lambda: seconds(append_loop, [], n),
            "empty loop": lambda: seconds(empty_loop, n),
        },
        rounds=9,
    )
    print("\nFrom Python: ns per turn of the loop")
    for name, t in loop.items():
        print(f"  {name:20s} {t / n * 1e9:7.1f}")
    print(f"  tape.push / array.array.append = {loop['tape.push'] / loop['array.array.append']:.2f}")

    source, warm = np.random.default_rng(0).standard_normal(n), np.zeros(n)

    def extend():
        tape.clear()
        return seconds(tape.extend, source)

    def popn():
        tape.clear()
        tape.extend(source)
        return seconds(tape.popn, n, warm)

    block = interleaved(
        {"extend": extend, "popn": popn, "np.copyto": lambda: seconds(np.copyto, warm, source)}, rounds=51
    )
    print(f"\nBlocks of {n} float64: microseconds")
    for name, t in block.items():
        print(f"  {name:20s} {t * 1e6:7.0f}   {t / block['np.copyto']:5.2f} x np.copyto")


def main():
    cpp, loops = compiled.reference(), compiled.loops()
    long_stacks(cpp, loops)
    fresh_stacks(cpp, loops)
    short_lives(cpp, loops)
    from_python()


if __name__ == "__main__":
    main()
