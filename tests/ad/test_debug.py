"""debug=True: pops are checked against their pushes, what is not finite is reported where it first appears."""

import inspect
import math
import pickle
import threading
import warnings
import zlib
from dataclasses import replace

import interpreter
import numpy as np
import pytest
from cases import load, pending
from numba import njit
from reference import active, fresh

import ad
from ad import transforms
from ad.ir import Assign, Binary, Call, Const, For, If, Kind, Pop, Push, Var, While, expressions, walk, walk_stmts
from ad.tapes import latest_tape
from ad.unit import Unit


def line(f, text):
    """file:line of the line of a function that has a text."""
    lines, first = inspect.getsourcelines(getattr(f, "py_func", f))
    [number] = [first + i for i, other in enumerate(lines) if text in other]
    return f"{__file__}:{number}"


# ------------------------------------------------------------------------------------------ nothing else changes


@pytest.mark.parametrize("case", [pytest.param(c, id=c.id) for c in load() if zlib.crc32(c.id.encode()) % 12 == 0])
def test_the_same_bits_and_every_tag_matches(case, interpreted_gradient):
    if {case.program, case.id} & pending():
        pytest.skip("pending")
    wrt = active(case.args)
    *plain, _ = interpreted_gradient(case.function, fresh(case.args), wrt)
    *checked, text = interpreted_gradient(case.function, fresh(case.args), wrt, debug=True)
    np.testing.assert_equal(checked, plain)
    assert "check_value(_notes, 1, " in text and "push_bit" not in text
    assert ("push(_tape, 0)\n" in text) == ("_tag = pop_int(_tape)\n    check_tag(_notes, 0, _tag)\n" in text)


def flow(x, n):
    for i in range(n):
        while x > 1.0:
            x = x * 0.5
        if x < 0.2:
            x = x + 0.3
        x = math.sin(x) + 0.1 * x * x
    return x


def test_without_it_the_code_is_what_it_was():
    g = ad.grad(flow, wrt="x")
    text = g.source
    h = g.with_options(debug=True)
    assert "push_bit(" in text and not any(word in text for word in ("check_", "_notes", "_tag"))
    assert all(call in h.source for call in ("check_value(", "check_adjoint(", "check_tag("))
    assert h.source.count("\n") < 2 * text.count("\n")
    assert g.source == g.with_options(debug=False).source == h.with_options(debug=None).source == text


def test_what_a_run_compiled_gives(tmp_path):
    """With all other options, the quick way of the second call included."""
    g = ad.value_and_grad(flow, wrt="x")
    expected = g(0.7, 3000)
    h = g.with_options(debug=True)
    assert h(0.7, 3000) == h(0.7, 3000) == g(0.7, 3000, debug=True) == expected
    assert "check_tag" in h.source and "check_tag" in g.source, "that of the latest call"
    assert pickle.loads(pickle.dumps(h)).with_options(memory="64 KiB", spill_dir=tmp_path)(0.7, 3000) == expected
    assert h.traffic().bytes_written > 0
    single = g.with_options(record="f4", boundscheck=True)
    assert single(0.7, 3000, debug=True) == single(0.7, 3000) != expected


def test_arrays_of_all_kinds_compiled():
    @njit
    def power(x, n):
        if n == 0:
            return 1.0
        return x * power(x, n - 1)

    def f(u, z, w, k, m):
        for i in range(3):
            u[k] *= 0.5
            w *= np.float32(0.5)
            z = z * (1.0 + 0.1j) + u[0] * w[1]
            if u[0] > 1.0:
                m[i % 2, :] *= power(u[1], 2) * 0.01
        return np.sum(m) + abs(z)

    m = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    args = np.array([1.5, 2.0, 3.0]), 1.0 + 2.0j, np.ones(2, np.float32), np.array([0, 2]), m
    g = ad.value_and_grad(f)
    np.testing.assert_equal(g(*args, debug=True), g(*args))


def test_it_is_an_option_of_the_code():
    g = ad.grad(flow, wrt="x")
    with pytest.raises(ad.ADTypeError, match="debug: True or False, not int"):
        g.with_options(debug=1)
    with pytest.raises(ad.ADTypeError, match="debug changes the code of a gradient"):
        ad.options(debug=True)


# ------------------------------------------------------------------------------------------------- broken pairs


def called_units(main):
    units = [main]
    for unit in units:
        parts = [part for s in walk_stmts(unit.body) for e in expressions(s) for part in walk(e)]
        for callee in [p.callee for p in parts if isinstance(p, Call) and isinstance(p.callee, Unit)]:
            if callee not in units:
                units.append(callee)
    return units


def edited(block, edit):
    """A block in which `edit` has changed the list of statements of every block, the innermost first."""
    out = []
    for s in block:
        match s:
            case For(body=body) | While(body=body):
                s = replace(s, body=edited(body, edit))
            case If(_, then, orelse):
                s = replace(s, then=edited(then, edit), orelse=edited(orelse, edit))
        out.append(s)
    return tuple(edit(out))


@pytest.fixture
def breaking(monkeypatch):
    """Lets a function of lists of statements change all generated code before the checks are put in."""

    def apply(edit):
        for module in (interpreter, transforms):

            def instrument(main, original=module.instrument):
                for unit in called_units(main):
                    unit.body = edited(unit.body, edit)
                return original(main)

            monkeypatch.setattr(module, "instrument", instrument)

    return apply


def without(kind, *names):
    """Drops the pushes, or the pops, of variables; these get another value."""

    def edit(stmts):
        out = []
        for s in stmts:
            if not isinstance(s, kind) or names != tuple(map(name_of, moved(s))):
                out.append(s)
            elif kind is Pop and s.kind is Kind.FLOAT and isinstance(s.targets[0], Var):
                out += [Assign(name, Const(0.0)) for name in names]
        return out

    return edit


def moved(s):
    return s.values if isinstance(s, Push) else s.targets


def name_of(e):
    return e.name if isinstance(e, Var) else e.array


def swapped(first, second):
    """Lets the pops of two variables of one block change places."""

    def edit(stmts):
        at = [i for i, s in enumerate(stmts) if isinstance(s, Pop) and name_of(s.targets[0]) in (first, second)]
        if len(at) == 2:
            stmts[at[0]], stmts[at[1]] = stmts[at[1]], stmts[at[0]]
        return stmts

    return edit


def arrays(u, v):
    for _ in range(3):
        u = u * np.sin(v)  # first
        v = v * np.cos(u)  # second
    return np.sum(u + v)


def stores(u, n):
    for i in range(n):
        u[i] = u[i] * u[i]  # element
        u[1:] = u[1:] * u[:-1]  # part
    return np.sum(u)


def outer(x, n):
    for i in range(n):
        x = x * x * 0.5 + inner(x, n)  # outer
    return x


def inner(x, n):
    y = x
    for i in range(n):
        y = y * y * 0.3 + x  # inner
    return y


def recursive(x, n):
    if n == int(x):  # end
        return x
    x = x * x  # before
    return x * recursive(x, n - 1)


@pytest.mark.parametrize(
    ("f", "args", "edit", "own", "met"),
    [
        (arrays, (np.ones(3), np.ones(3)), swapped("u", "v"), ("# first", "u"), ("# second", "v")),
        (arrays, (np.ones(3), np.ones(3)), without(Push, "v"), ("# second", "v"), ("# first", "u")),
        (arrays, (np.ones(3), np.ones(3)), without(Pop, "v"), ("# first", "u"), ("# second", "v")),
        (stores, (np.ones(3), 2), swapped("u_1", "u_1"), ("# element", "u[i]"), ("# part", "u[1:]")),
        (stores, (np.ones(3), 2), without(Pop, "u_1"), ("def", "the beginning of stores()"), ("# part", "u[1:]")),
        (flow, (0.7, 3), without(Push, "trips"), ("math.sin", "trips"), ("math.sin", "x")),
        (flow, (0.7, 3), without(Pop, "branch"), ("math.sin", "trips"), ("math.sin", "x < 0.2")),
        (outer, (0.7, 3), without(Push, "y"), ((inner, "# inner"), "y"), ("# outer", "x")),
        (outer, (0.7, 3), without(Pop, "y"), ("# outer", "x"), ((inner, "# inner"), "y")),
        (recursive, (0.7, 3), without(Push, "branch"), ("if n", "n == int(x)"), ("- 1)", "x, recursive(x, n - 1)")),
    ],
    ids=lambda p: getattr(p, "__name__", ""),
)
def test_a_pop_that_meets_another_push(f, args, edit, own, met, breaking, interpreted_gradient):
    breaking(edit)
    with pytest.raises(ad.ADError, match="the sweeps did not match") as caught:
        interpreted_gradient(f, args, active(args), debug=True)
    (own_line, own_name), (met_line, met_name) = (
        (line(*at) if isinstance(at, tuple) else line(f, at), name) for at, name in (own, met)
    )
    assert f"the pop of {own_name}, which is pushed at {own_line}, met " in str(caught.value)
    assert f"met the push of {met_name} at {met_line}. " in str(caught.value)
    assert type(caught.value) is ad.ADError and caught.value.__suppress_context__


def test_what_is_no_push_at_all(breaking, interpreted_gradient, monkeypatch):
    """A tag that was lost: what comes off instead is a number of the program."""

    def instrument(main, original=interpreter.instrument):
        spots = original(main)
        main.body = edited(main.body, lambda stmts: [s for s in stmts if not is_tag(s)])
        return spots

    def is_tag(s):
        return isinstance(s, Push) and isinstance(s.values[0], Const) and s.values[0].value > 0

    def f(x, k, n):
        for _ in range(n):
            k = k * 3  # recorded
            x = x * k * k
        return x

    monkeypatch.setattr(interpreter, "instrument", instrument)
    with pytest.raises(ad.ADError, match=r"the pop of k, which is pushed at .*, met no push of this gradient\."):
        interpreted_gradient(f, (0.5, 1000, 2), [0], debug=True)


def test_compiled_the_tape_is_rewound_and_the_next_call_right(breaking):
    def f(u, x, n):
        for i in range(n):
            if x > 0.0:
                u = u * np.sin(x)  # recorded
            else:
                u = u * np.cos(u)
            x = x * x + inner(x, i)  # number
        return np.sum(u) * x

    def edit(stmts):
        own = [s for s in stmts if isinstance(s, Assign) and isinstance(s.value, Binary) and "sin" in repr(s.value)]
        return without(Push, "u")(stmts) if own else stmts

    plain = ad.value_and_grad(f, wrt=("u", "x"))
    good, bad = (np.ones(4), -0.6, 1), (np.ones(4), 0.3, 3)
    expected = plain(*good)
    breaking(edit)
    g = plain.with_options(debug=True)
    np.testing.assert_equal(g(*good), expected)
    for _ in range(3):
        with pytest.raises(ad.ADError) as caught:
            g(*bad)
        assert f"the pop of u, which is pushed at {line(f, '# recorded')}, met the push of" in str(caught.value)
        assert len(latest_tape()) == 0
        np.testing.assert_equal(g(*good), expected)
    np.testing.assert_equal(plain(*good), expected)


# ---------------------------------------------------------------------------------------------- what is not finite


def reported(run, *args, **options):
    """What is warned of, pairs of file:line and message; and the result."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        result = run(*args, **options)
    assert all(w.category is ad.NotFiniteWarning for w in found)
    return [(f"{w.filename}:{w.lineno}", str(w.message)) for w in found], result


VALUE, ADJOINT = "the first value", "the first adjoint in the reverse sweep"


def message(f, text, what, kind):
    at = line(f, text)
    lines, first = inspect.getsourcelines(getattr(f, "py_func", f))
    shown = lines[int(at.rpartition(":")[2]) - first].strip()
    return at, f"{what}, {kind} that is not finite, at {at}: {shown}"


def scalars(x, y):
    a = x * y  # product
    b = np.log(a)  # log
    c = b * 0.0  # zero
    return c + x


def root(x, y):
    a = x - y
    b = np.sqrt(a)  # root
    return b * 2.0 + x


def passed_on(x, y):
    return x * y


def smallest(u, x):
    best = np.inf  # start
    for i in range(len(u)):
        best = min(best, u[i] * x)
    return best


def elements(u, x):
    v = np.empty(len(u))
    for i in range(len(u)):
        v[i] = x / u[i]  # element
    v[0] += 1.0
    return np.sum(v)


def parts(u, x):
    v = np.zeros((2, len(u)))
    v[1, :] = x
    v[0, 1:] = np.log(u[1:])  # part
    return np.sum(v)


def wholes(u, x):
    v = u * x
    w = np.sqrt(v)  # whole
    return np.sum(w)


def scattered(u, x):
    index = np.array([0, 2])
    v = np.zeros(4)
    v[index] = u[index] / x  # index
    v[v > 3.0] = 1.0
    return np.sum(v)


def gathered(u, x):
    s = x
    index = np.array([0, 1])
    for i in range(2):
        s = s + np.sum(np.sqrt(u[index]))  # gather
    return s


def moves(u, x):
    u[int(u[0])] = x / u[1]  # itself
    return np.sum(u)


def moves_without_a_derivative(x, n):
    p = np.array([0.0, 2.0])
    p[int(p[0])] = n * 1e308  # itself
    return x * p[1]


def callee(x, n):
    y = x
    for i in range(n):
        y = np.sqrt(y) - 1.0  # callee
    return y


def caller(x, n):
    for i in range(n):
        x = callee(x, 2) + x
    return x


def callee_argument(x, y):
    return callee(x / y, 2)  # argument


def of_integers(n):
    return 1e300 * n  # passive


def passive(x, n):
    return x * (of_integers(n) * of_integers(n))  # use


def inlined(u, x):
    v, w = parts_of(u, x)
    return np.sum(v) + w


def parts_of(u, x):
    v = u / x  # inlined
    return v, x


def complexes(z, x):
    w = z / x  # complex
    return abs(w)


def overflow(x, n):
    for i in range(n):
        x = x * x  # overflow
    return 1.0 / x


A = np.array
TABLE = A([1.0, np.nan])


def from_the_module(x):
    return x * np.sum(TABLE)


FOUND = [
    (scalars, (0.0, 1.0), [("# log", "b is -inf", VALUE), ("# log", "the adjoint of a is nan", ADJOINT)]),
    (scalars, (-1.0, 1.0), [("# log", "b is nan", VALUE)]),
    (
        scalars,
        (np.nan, np.inf),
        [("def", "the argument x is nan", VALUE), ("# log", "the adjoint of a is nan", ADJOINT)],
    ),
    (
        scalars,
        (1.0, -np.inf),
        [("def", "the argument y is -inf", VALUE), ("# product", "the adjoint of x is nan", ADJOINT)],
    ),
    (root, (1.0, 1.0), [("# root", "the adjoint of a is inf", ADJOINT)]),
    (
        passed_on,
        (1.0, np.inf),
        [("def", "the argument y is inf", VALUE), ("return", "the adjoint of x is inf", ADJOINT)],
    ),
    (smallest, (A([1.0, 2.0]), 3.0), [("# start", "best is inf", VALUE)]),
    (smallest, (A([1.0, np.nan]), 3.0), [("def", "an element of the argument u is nan", VALUE)]),
    (
        elements,
        (A([1.0, 1e-320, 2.0]), 3.0),
        [("# element", "v[i] is inf", VALUE), ("# element", "the adjoint of x is inf", ADJOINT)],
    ),
    (
        parts,
        (A([1.0, 0.0, 2.0]), 3.0),
        [
            ("# part", "an element of v[0, 1:] is -inf", VALUE),
            ("# part", "an element of the adjoint of u[1:] is inf", ADJOINT),
        ],
    ),
    (wholes, (A([1.0, 0.0]), 3.0), [("# whole", "an element of the adjoint of v is inf", ADJOINT)]),
    (wholes, (A([1.0, -1.0]), 3.0), [("# whole", "an element of w is nan", VALUE)]),
    (
        scattered,
        (A([1.0, 2.0, 3.0]), 0.0),
        [
            ("# index", "an element of v[index] is inf", VALUE),
            ("# index", "an element of the adjoint of u[index] is nan", ADJOINT),
        ],
    ),
    (gathered, (A([1.0, 0.0]), 3.0), [("# gather", "an element of the adjoint of u[index] is inf", ADJOINT)]),
    (moves, (A([0.0, 1e-320, 1.0]), 3.0), [("# itself", "u[int(u[0])] is inf", VALUE)]),
    (moves_without_a_derivative, (3.0, 100), [("# itself", "p[int(p[0])] is inf", VALUE)]),
    (caller, (1.0, 1), [((callee, "# callee"), "the adjoint of y is inf", ADJOINT)]),
    (caller, (-1.0, 2), [((callee, "# callee"), "np.sqrt(y) is nan", VALUE)]),
    (callee_argument, (1.0, 1e-320), [("# argument", "x / y is inf", VALUE)]),
    (passive, (1.0, 7), [("# use", "x * (of_integers(n) * of_integers(n)) is inf", VALUE)]),
    (inlined, (A([1.0, 2.0]), 0.0), [((parts_of, "# inlined"), "an element of v is inf", VALUE)]),
    (complexes, (complex(1.0, 2.0), 1e-320), [("# complex", "w is (inf+infj)", VALUE)]),
    (overflow, (10.0, 12), [("# overflow", "x is inf", VALUE), ("# overflow", "the adjoint of x is nan", ADJOINT)]),
    (from_the_module, (2.0,), [("def", "an element of the constant TABLE is nan", VALUE)]),
]


@pytest.mark.parametrize(("f", "args", "expected"), FOUND, ids=lambda p: getattr(p, "__name__", ""))
def test_where_it_first_appears(f, args, expected, interpreted_gradient):
    """All warnings of values; of adjoints those that are listed, or none where no values are."""
    args = tuple(np.float64(a) if isinstance(a, float) else a for a in args)  # divides by zero
    found, _ = reported(interpreted_gradient, f, args, active(args), debug=True)
    wanted = [
        message(*at, what, kind) if isinstance(at, tuple) else message(f, at, what, kind) for at, what, kind in expected
    ]
    if expected[-1][2] is VALUE:
        found = found[:1]
    assert found == wanted


def mixed(u, x, n):
    for i in range(n):
        u[i] = u[i] * np.sqrt(x)  # element
        if u[i] > 2.0:
            u[:2] *= 0.5
        x = callee(x, 1) + 2.0
    return np.sum(u[::2]) + x


@pytest.fixture(scope="module")
def g():
    return ad.value_and_grad(mixed)


GOOD = (np.array([1.0, 2.0, 3.0, 4.0]), 2.0, 3)
NAN_VALUE = (np.array([1.0, 2.0, 3.0, 4.0]), -1.0, 3)
INF_ADJOINT = (np.array([1.0, 2.0, 3.0, 4.0]), 0.0, 1)


def test_compiled(g, tmp_path):
    """The same bits with NaN among them, the same places, at every call and with other options."""
    h = g.with_options(debug=True)
    value = message(mixed, "# element", "np.sqrt(x) is nan", VALUE)
    adjoint = message(callee, "# callee", "the adjoint of y is inf", ADJOINT)
    for _ in range(2):
        for options in ({}, {"memory": "64 KiB", "spill_dir": tmp_path}, {"record": "f4"}):
            [first, (_, second)], result = reported(h, *NAN_VALUE, **options)
            assert first == value and ADJOINT in second
            np.testing.assert_equal(result, g(*NAN_VALUE, **options))
    assert reported(h, *INF_ADJOINT)[0] == [adjoint]
    assert reported(h, *GOOD)[0] == []


def test_arguments_are_updated_in_place(g):
    u, v = GOOD[0].copy(), GOOD[0].copy()
    expected = g(u, *GOOD[1:], inplace="update")
    np.testing.assert_equal(g(v, *GOOD[1:], inplace="update", debug=True), expected)
    np.testing.assert_equal(u, v)


def test_a_warning_that_is_an_error(g):
    """As for all tests here.  The tape is empty, and the next call right."""
    h = g.with_options(debug=True)
    expected = g(*GOOD)
    for args, kind in ((NAN_VALUE, VALUE), (INF_ADJOINT, ADJOINT)):
        with pytest.raises(ad.NotFiniteWarning, match=kind):
            h(*args)
        assert len(latest_tape()) == 0
        np.testing.assert_equal(h(*GOOD), expected)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ad.NotFiniteWarning)
            h(*args)
    assert issubclass(ad.NotFiniteWarning, RuntimeWarning)


def test_threads_have_notes_of_their_own(g):
    h = g.with_options(debug=True)
    expected = g(*GOOD)
    found = {}

    def work(name, args):
        for _ in range(50):
            try:
                value = h(*args)
            except ad.NotFiniteWarning as warning:
                value = str(warning)
            found.setdefault(name, []).append(value)

    threads = [threading.Thread(target=work, args=(k, GOOD if k % 2 else NAN_VALUE)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    _, text = message(mixed, "# element", "np.sqrt(x) is nan", VALUE)
    for k in (0, 2):
        assert found[k] == [text] * 50
    for k in (1, 3):
        np.testing.assert_equal(found[k], [expected] * 50)


def test_what_the_function_raises_comes_after_what_it_met():
    def f(u, x):
        u[0] = x * 1e308  # large
        if u[0] > 10.0:
            raise ValueError("too large", 1)
        return np.sum(u) / x

    h = ad.grad(f, wrt="x").with_options(debug=True)
    u = np.ones(2)

    def run():
        with pytest.raises(ValueError, match="too large"):
            h(u, 100.0)

    assert reported(run)[0] == [message(f, "# large", "u[0] is inf", VALUE)]
    with pytest.raises(ad.NotFiniteWarning) as caught:
        h(u, 100.0)
    assert isinstance(caught.value.__context__, ValueError)
    with pytest.raises(ZeroDivisionError):
        h(u, 0.0)


def test_without_a_tape_and_with_a_rule_of_ones_own():
    @ad.custom_vjp(lambda g, ans, x: g / (x - x))
    def wrong(x):
        return x

    def f(x, y):
        return wrong(x) * y + y  # rule

    g = ad.value_and_grad(f)
    h = g.with_options(debug=True)
    assert "_tape" not in h.source
    found, result = reported(h, 2.0, 3.0)
    assert found == [message(f, "# rule", "the adjoint of x is inf", ADJOINT)]
    assert result == g(2.0, 3.0) == (9.0, (math.inf, 3.0))
