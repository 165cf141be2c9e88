"""Does a memory budget cost anything while nothing is spilled?  It must not: a push is the same code with and without.

    python ci/instructions.py

Three answers, for a plain tape and one with a budget far above what is pushed:

* the instructions of a push and of a pop in the compiled loops of benchmarks/native/loops.pyx, counted by valgrind's
  callgrind (in Debian's valgrind; skipped where there is none).  Two lengths, some whole slabs apart, are counted, and
  the difference is divided by theirs: what is constant cancels, what the borders of slabs cost does not.
* the machine code of such loops in Numba: one function serves both tapes, as their type is the same.
* the time of the Cython loops with a budget over that without, beside the same of two plain tapes, which is the noise.

Exit status 1 if a push or pop takes more instructions with a budget than BORDER says, or is compiled twice.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks import compiled
from benchmarks.tables import table
from benchmarks.timing import interleaved
from tape import Tape

SLAB_ITEMS = 131_072  # of 1 MiB
FEW, MANY = 2 * SLAB_ITEMS, 10 * SLAB_ITEMS
BORDER = 2000  # most instructions more, each time that the border of a slab is crossed: a lock, a list, a clock
TAPES = {"plain": {}, "with a budget": {"memory": "1 GiB"}}
# Valgrind does not know every instruction of every machine.
PORTABLE = ["-O3"]


def counted(tape, operation, n):
    """What runs under valgrind: it counts in the C function behind `operation` only."""
    loops = compiled.loops(PORTABLE)
    tape = Tape("f8", **TAPES[tape])
    # The memory is there afterwards; this is counted too, and cancels.
    loops.push(tape, MANY)
    loops.pop(tape, MANY)
    loops.push(tape, n)
    if operation == "pop":
        loops.pop(tape, n)
    if tape.traffic() is not None and tape.traffic().bytes_written:
        sys.exit("the tape spilled: there is nothing to compare")


def instructions(tape, operation, n):
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        command += [f"--toggle-collect=__pyx_pw_5loops_*{operation}"]
        command += [sys.executable, __file__, "--counted", tape, operation, str(n)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
        return int(re.search(r"^totals: (\d+)", Path(folder, "out").read_text(), re.MULTILINE)[1])


def count():
    """Instructions; whether all is well."""
    if shutil.which("valgrind") is None:
        print("instructions: skipped, there is no valgrind (apt-get install valgrind)")
        return True
    compiled.loops(PORTABLE)
    rows, more = {}, {}
    for operation in ("push", "pop"):
        cost = {tape: instructions(tape, operation, MANY) - instructions(tape, operation, FEW) for tape in TAPES}
        if min(cost.values()) < MANY - FEW:
            sys.exit(f"callgrind did not find the loop of {operation}: {cost} instructions for {MANY - FEW} items")
        more[operation] = (cost["with a budget"] - cost["plain"]) / ((MANY - FEW) // SLAB_ITEMS)
        rows[operation] = [*(f"{n / (MANY - FEW):.5f}" for n in cost.values()), f"{more[operation]:+.1f}"]
    print(f"instructions an item, Cython, by callgrind\n{table([*TAPES, 'more at a border of slabs'], rows)}\n")
    return max(more.values()) <= BORDER


def hot_loop(function):
    """The instructions of the innermost loop of a compiled function."""
    code = function.inspect_asm(function.signatures[0]).partition(".Lfunc_end")[0].splitlines()
    seen = {}
    for k, line in enumerate(code):
        label = re.match(r"(\.L\w+):", line)
        if label:
            seen[label[1]] = k
        jump = re.match(r"\s+\w+\s+.*?(\.L\w+)$", line)
        if jump and jump[1] in seen:
            inside = code[seen[jump[1]] : k + 1]
            return [text.strip() for text in inside if not re.match(r"\S|\s+\.", text)]
    return []


def machine_code():
    """Numba's loops; whether each was compiled once for both tapes."""
    from benchmarks.bench_stack import pop_all, push_all

    well = True
    for options in TAPES.values():
        with Tape("f8", **options) as tape:
            push_all(tape, 1000)
            pop_all(tape, 1000)
    for name, function in {"push": push_all, "pop": pop_all}.items():
        once = len(function.signatures) == 1
        well &= once
        loop = hot_loop(function)
        print(
            f"{name}, Numba: {'one function for both tapes' if once else 'COMPILED TWICE'}; {len(loop)} instructions:"
        )
        print("  " + "; ".join(re.sub(r"\s+", " ", line) for line in loop))
    return well


def times(n=1_000_000, rounds=101):
    loops = compiled.loops()
    tapes = {"plain": Tape("f8"), "another plain": Tape("f8"), "with a budget": Tape("f8", memory="1 GiB")}
    rows = {}
    for which, operation in enumerate(("push", "pop")):
        uses = {name: lambda tape=tape, which=which: loops.push_pop(tape, n)[which] for name, tape in tapes.items()}
        plain, *others = interleaved(uses, rounds).values()
        rows[operation] = [f"{plain:.3f}", *(f"{time / plain:.3f}" for time in others)]
    print(f"\ntimes, Cython, {n} items\n{table(['plain, ns', 'plain / plain', 'budget / plain'], rows)}")


def main():
    if sys.argv[1:2] == ["--counted"]:
        tape, operation, n = sys.argv[2:]
        counted(tape, operation, int(n))
        return
    well = count()
    well &= machine_code()
    times()
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
