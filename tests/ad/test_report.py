"""`Gradient.report`: what it says is what the tape holds."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from textwrap import dedent

import numpy as np
import pytest
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

import ad
from ad.arguments import structure_of
from ad.options import code_options
from tape import Tape, cursor

F32 = np.float32


@intrinsic
def length(_context, handle):
    """How many bytes a tape holds."""

    def codegen(context, builder, signature, args):
        return cursor.call(builder, "length", [builder.inttoptr(args[0], cgutils.voidptr_t)])

    return types.int64(types.uint64), codegen


@njit
def held(handle):
    return length(handle)


def prepared(f, args, wrt=None, **options):
    """The gradient, made for the kinds of these arguments; compiled only when it is called."""
    g = ad.grad(f, wrt).with_options(**options)
    kinds = tuple(structure_of(name, a, False) for name, a in zip(g._names, args, strict=True))
    g._special(kinds, code_options(g._options))
    return g


class Recording:
    """What the tape really holds between the two sweeps of a gradient, in bytes."""

    def __init__(self, g):
        scope = {}
        exec(g.source, scope)
        scope["failed"] = held  # the forward sweep asks whether all is well, and leaves where this is not 0
        self.kernel = scope[g.__name__]

    def __call__(self, *args):
        tape = Tape("f8")
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        status, *_ = self.kernel(tape.handle, *copies)
        assert status == 8 * len(tape) > 0
        tape.clear()
        tape.close()
        return int(status)


# ----------------------------------------------------------------------------------------- programs of n trips


def lorenz(x, y, z, n):
    for _ in range(n):
        dx = 10.0 * (y - x)
        dy = x * (28.0 - z) - y
        dz = x * y - 2.5 * z
        x += 0.01 * dx
        y += 0.01 * dy
        z += 0.01 * dz
    return x + y + z


def ints(x, a, n):
    k = 0
    for i in range(n):
        k = (k * 7 + i) % len(a)
        x = x * a[k] + 0.5
    return x


def complex_numbers(x, n):
    z = x + 0.5j * x
    for _ in range(n):
        z = z * z * 0.5
    return z.real


def singles(x, n):
    for _ in range(n):
        x = x * x * F32(0.5)
    return x


def elements(u, n):
    for t in range(n):
        for i in range(1, len(u)):
            u[i] = u[i] * u[i - 1]
    return np.sum(u)


def decisions(x, n):
    for i in range(n):
        if x > 1.0:
            x = x * x * 0.25
        else:
            x = x * x + 0.3
    return x


def newton(x, n):
    for _ in range(n):
        y = x + 1.0
        while y * y - x > 1e-3:
            y = 0.5 * y + 0.5 * x / y
        x = x + 0.01 * y
    return x


def whole(u, n):
    for _ in range(n):
        u = np.sin(u) * u
    return np.sum(u)


def rows(u, n):
    for _ in range(n):
        u[1:] = u[1:] * u[:-1]
    return np.sum(u)


def gathers(u, index, n):
    for _ in range(n):
        u[index] = u[index] ** 2 * 0.5
    return np.sum(u)


def single_arrays(u, n):
    for _ in range(n):
        u = u * u
    return np.sum(u)


@njit
def rate(x, y):
    z = x * y
    for _ in range(3):
        z = z * x
    if z > 1.0:
        z = z * 0.5
    return z


def calls(x, n):
    for _ in range(n):
        x = 0.1 * rate(x, x + 1.0) + 0.5
    return x


U = np.linspace(0.5, 0.9, 7)
M = np.linspace(0.5, 0.9, 15).reshape(5, 3)

# The program, its arguments besides n, its options, and for each other loop its trips in a trip of the first one.
PROGRAMS = [
    (lorenz, (1.0, 1.0, 1.0), {}, ()),
    (lorenz, (1.0, 1.0, 1.0), {"record": "f4"}, ()),
    (ints, (0.5, U), {}, ()),
    (complex_numbers, (0.5,), {}, ()),
    (complex_numbers, (0.5,), {"record": "f4"}, ()),
    (singles, (F32(0.5),), {}, ()),
    (elements, (U,), {}, (6,)),
    (decisions, (0.5,), {}, ()),
    (whole, (M,), {"record": "f4"}, ()),
    (rows, (M[:, ::2],), {}, ()),
    (gathers, (U, np.array([2, 3, 4])), {}, ()),
    (single_arrays, (U.astype(F32),), {}, ()),
    (calls, (0.5,), {}, (3,)),
]
SIZES = {"u": None, "u[1:]": lambda u: u[1:].size, "u[index]": lambda u: 3}


def in_words(n):
    return -(-n // 8) * 8


def predicted(size, u):
    """The bytes of one trip, arrays counted; decisions are counted by themselves."""
    total = size.bytes
    for each, what in size.arrays:
        elements = SIZES[what](u) if SIZES.get(what) else u.size
        total += in_words(each * elements)
    return total


@pytest.mark.parametrize(("f", "args", "options", "inner"), PROGRAMS, ids=lambda p: getattr(p, "__name__", ""))
def test_bytes_per_iteration_are_those_of_the_tape(f, args, options, inner):
    g = prepared(f, (*args, 2), **options)
    outer, *others = g.report().loops
    assert outer.size == outer.least, "these programs record the same in every trip"
    trip = predicted(outer.size, args[0]) + sum(
        k * predicted(loop.size, args[0]) for k, loop in zip(inner, others, strict=True)
    )
    assert outer.bytes_per_iteration == outer.size.bytes and trip > 0 or outer.size.bits
    recorded, n = Recording(g), 63  # that many decisions fill a word
    assert recorded(*args, 3 * n) - recorded(*args, 2 * n) == n * trip + 8 * outer.size.bits


def test_what_a_branch_adds():
    def f(x, n, m):
        for i in range(n):
            if i < m:  # m is a float
                x = x * x * 0.5 + x
        return x

    g = prepared(f, (0.5, 4, 2.0), "x")
    [loop] = g.report().loops
    assert (loop.least.bytes, loop.size.bytes, loop.decisions) == (0, 8, 1)
    assert str(loop.least) == "1 bit" and str(loop.size) == "8 bytes and 1 bit"
    [item] = [item for item in g.report().items if item.kind == "float"]
    assert item.in_branch and item.variable == "x"
    recorded = Recording(g)
    assert recorded(0.5, 126, 100.0) - recorded(0.5, 126, 60.0) == 40 * loop.bytes_per_iteration
    assert recorded(0.5, 252, 100) - recorded(0.5, 126, 100) == 126 // 63 * 8


def test_a_loop_within_a_loop_counts_by_itself():
    g = prepared(newton, (0.5, 3), "x")
    outer, within = g.report().loops
    assert within.loops == (outer.line,) and outer.trip_counts == 1 and within.trip_counts == 0
    assert "while" in within.line.text
    trips, x = 0, 0.5
    for _ in range(20):  # the same again, counting
        y = x + 1.0
        while y * y - x > 1e-3:
            y = 0.5 * y + 0.5 * x / y
            trips += 1
        x = x + 0.01 * y
    assert trips > 20
    assert Recording(g)(0.5, 20) == 20 * outer.bytes_per_iteration + trips * within.bytes_per_iteration


def test_the_peak_of_the_statistics():
    g = ad.grad(lorenz)
    g(1.0, 1.0, 1.0, 10)
    [loop] = g.report().loops
    n, slab = 600_000, 2**20

    def peak(k):
        g(1.0, 1.0, 1.0, k * n)
        return g.stats().high_bytes

    with ThreadPoolExecutor(1) as thread:  # with a tape of its own, that no other gradient was on
        peaks = [thread.submit(peak, k).result() for k in (1, 2)]
    assert abs((peaks[1] - peaks[0]) - n * loop.bytes_per_iteration) <= 2 * slab < 4 * n


# --------------------------------------------------------------------------------------------- what it says


def test_lorenz():
    g = ad.grad(lorenz, ("x", "y", "z"))
    report = g.report()
    first = lorenz.__code__.co_firstlineno
    [loop] = report.loops
    assert loop.bytes_per_iteration == 24 and loop.line.number == first + 1
    assert loop.line.text == "for _ in range(n):"
    x, y, z = report.items
    assert [item.variable for item in report.items] == ["x", "y", "z"]
    assert {item.line.number for item in report.items} == {first + 5}
    assert [i.overwritten_by.number for i in (x, y, z)] == [first + 5, first + 6, first + 7]
    assert [line.number for line in x.needed_by] == [first + 3, first + 4]
    assert [line.number for line in z.needed_by] == [first + 3]
    assert x.loops == (loop.line,) and x.kind == "float" and x.size.bytes == 8 and not x.at_end
    assert str(report) == table(first)


def table(first):
    needs = [f"{first + 3}, {first + 4}", str(first + 4), str(first + 3)]
    x, y, z = (text.ljust(len("needed by line")) for text in needs)
    text = f"""\
    lorenz(), differentiated with respect to x, y, z
    {__file__}

    Recorded on the tape:
      line  variable  kind   size     needed by line  because it is overwritten in
      {first + 5:<4}  x         float  8 bytes  {x}  line {first + 5}: x += 0.01 * dx
      {first + 5:<4}  y         float  8 bytes  {y}  line {first + 6}: y += 0.01 * dy
      {first + 5:<4}  z         float  8 bytes  {z}  line {first + 7}: z += 0.01 * dz

    Each trip of a loop records, loops within it not counted:
      {first + 1}  for _ in range(n):  24 bytes

    Computed again instead of recorded, because that is cheap:
      {first + 3}  28.0 - z

    Options:
      memory            default
      spill_dir         default
      compress          default
      prefetch          default
      record            f8
      inplace           copy
      boundscheck       True
      fastmath          False
      checked division  True"""
    return dedent(text)


def heat(u, k, n, limit):
    v = np.zeros_like(u)
    for _ in range(n):
        for i in range(1, len(u) - 1):
            v[i] = u[i] + k * (u[i + 1] - 2.0 * u[i] + u[i - 1])
        u, v = v, u
        spread(v, 0.5)
        if u[1] > limit:
            u[1] = u[1] * u[1]
    return np.sum(u) * scale(n)


def spread(a, by):
    a[0] = a[1] * by


def scale(n):
    return 1.0 / (1.0 + n)


def test_copies_calls_and_what_is_passive():
    g = prepared(heat, (U, 0.1, 3, 0.5), ("u", "k"))
    report = g.report()
    first = heat.__code__.co_firstlineno
    assert {name: line.text for name, line in report.copied.items()} == {
        "u": "v[i] = u[i] + k * (u[i + 1] - 2.0 * u[i] + u[i - 1])"
    }
    assert {name: [line.number for line in lines] for name, lines in report.inlined.items()} == {"spread": [first + 6]}
    assert {name: [line.number for line in lines] for name, lines in report.unchanged.items()} == {"scale": [first + 9]}
    assert not report.called
    assert report.passive == {"limit": "no derivative is asked for"}
    [inside] = [item for item in report.items if item.line.function == "spread"]
    assert (inside.variable, inside.overwritten_by.text) == ("v[0]", "a[0] = a[1] * by")
    assert [(item.variable, item.kind) for item in report.items if item.in_branch] == [("u[1]", "float")]
    assert "u[1] > limit" in {item.variable for item in report.items if item.kind == "decision"}


def test_functions_with_sweeps_of_their_own():
    g = prepared(calls, (0.5, 3))
    report = g.report()
    assert [line.function for line in report.called["rate"]] == ["calls"]
    outer, within = report.loops
    assert outer.line.function == "calls" and within.line.function == "rate" and within.loops == ()
    assert outer.calls == report.called["rate"] and outer.decisions == 1
    assert "last decisions" in [item.variable for item in report.items if item.line.function == "rate"]
    assert any(item.at_end and item.overwritten_by is None for item in report.items)
    assert "its function has returned" in str(report) and "of rate()" in str(report)


def power(x, n):
    if n == 0:
        return x
    return power(x * x, n - 1) * x


def test_recursion():
    g = prepared(power, (1.1, 3), "x")
    report = g.report()
    assert list(report.called) == ["power"] and len(report.called["power"]) == 1
    assert not report.loops and report.items


def passive(x, y, scaled, n):
    s = x
    t = y * 2.0
    unused = x * 3.0
    for _ in range(n):
        s = s * s * t
        unused = unused + s
    return s


def test_why_no_derivative_passes():
    g = ad.grad(passive, "x")
    report = g.report()
    assert report.passive == {
        "y": "no derivative is asked for",
        "scaled": "no derivative is asked for",
        "t": "does not depend on x",
        "unused": "the result depends on it in no differentiable way",
    }


def kept(a, x):
    b = a * x
    s = np.sum(b * b)
    b = b * s
    return np.sum(b)


def test_variables_that_keep_a_value_outside_of_loops():
    g = prepared(kept, (U, 2.0))
    [item] = [item for item in g.report().items if not item.on_tape]
    assert item.variable == "b" and item.kind == "1-D float64 array" and not item.size
    assert "Nothing is recorded on the tape." in str(g.report())
    assert "Kept in variables" in str(g.report())


def tuples(p, n):
    for _ in range(n):
        p = (p[0] * p[1], p[1] * p[0])
    return p[0] + p[1]


def test_parts_of_tuples_have_their_names():
    g = prepared(tuples, ((0.5, 0.75), 3))
    assert {"p[0]", "p[1]"} <= {item.variable for item in g.report().items}


def test_options_in_force(tmp_path):
    g = ad.grad(njit(fastmath=True, boundscheck=False)(lorenz)).with_options(record="f4", memory="1 MiB")
    with ad.options(spill_dir=tmp_path, memory="2 MiB"):
        found = g.report().options
    assert found["memory"] == 2**20 and found["spill_dir"] == str(tmp_path) and found["record"] == "f4"
    assert found["fastmath"] is True and found["boundscheck"] is False
    assert g.report().options["spill_dir"] is None


def test_it_is_a_snapshot():
    g = ad.grad(lorenz)
    report = g.report()
    with pytest.raises(FrozenInstanceError):
        report.items = ()
    with pytest.raises(TypeError):
        report.options["memory"] = 1
    assert g.report().items == report.items
    g(1.0, 1.0, 1.0, 2)
    assert g.report().loops == report.loops, "the likely kinds were the right ones"


def test_kinds_that_cannot_be_guessed():
    def f(x, n):
        last = n + 1
        for _ in range(last):
            x = x * x
        return x

    with pytest.raises(ad.ADError, match="call f_grad once"):
        ad.grad(f).report()


def test_items_can_be_stored():
    [loop] = ad.grad(lorenz).report().loops
    assert pickle.loads(pickle.dumps(loop)) == loop


def test_generated_names_are_explained():
    def f(x, n):
        for _ in range(n):
            x = math.exp(-x) * math.sqrt(1.0 + x)
        return x

    names = {item.variable for item in ad.grad(f).report().items}
    assert "math.exp(-x)" in names and "math.sqrt(1.0 + x)" in names
