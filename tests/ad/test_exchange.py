"""Arrays that are overwritten from end to end take other memory, a tape's; on a tape with a budget they are copied."""

import threading

import numpy as np
import pytest
from allocations import counted, live, made
from numba import njit
from reference.compare import assert_near

import ad
from ad.guard import Guarded
from ad.runtime import PopFailed
from ad.words import exchange, hold, restored
from tape import SlabPool, Tape, TapeEmptyError, TapeMemoryError

guarded = njit(pipeline_class=Guarded, nogil=True, error_model="numpy")


@guarded
def two_levels(handle, first, second, rounds):
    """Writes new states, one after the other, and takes them all back; the states on the way back."""
    a, b = first.copy(), second.copy()
    kept, other = a, b
    seen = np.empty((rounds, *first.shape), first.dtype)
    for k in range(rounds):
        b = exchange(handle, b)
        b[:] = a + k
        a, b = b, a
    for k in range(rounds - 1, -1, -1):
        b, a = a, b
        seen[k] = a
        b = restored(handle, b)
    same = np.all(a == first) and np.all(b == second)
    hold(kept, other)
    return seen, same


@guarded
def take_back(handle, a):
    return restored(handle, a)


@guarded
def give(handle, a):
    a = exchange(handle, a)
    return a.size


def expected(first, rounds):
    states = [first]
    for k in range(rounds - 1):
        states.append(states[-1] + first.dtype.type(k))
    return np.array(states)


SHAPES = [(0,), (1,), (7,), (3, 5), (300, 7), (200_000,)]


@pytest.mark.parametrize(("dtype", "shape"), [*(("f8", shape) for shape in SHAPES), ("c16", (7,)), ("u1", (7,))])
@pytest.mark.parametrize("memory", [None, "64 KiB"])
def test_all_states_come_back(dtype, shape, memory, tmp_path):
    first = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    rounds = 4 if first.size > 1000 else 40
    with Tape("f8", memory=memory, spill_dir=tmp_path if memory else None) as tape:
        for _ in range(2):
            seen, same = two_levels(tape.handle, first, first + first.dtype.type(1), rounds)
            tape.raise_failed()
            assert same and len(tape) == 0
            np.testing.assert_array_equal(seen, expected(first, rounds))


def test_an_array_in_fortran_order():
    first = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    with Tape("f8") as tape:
        seen, same = two_levels(tape.handle, first, first, 5)
        assert same
        np.testing.assert_array_equal(seen, expected(first, 5))


def test_the_new_memory_is_aligned():
    @guarded
    def address(handle, a):
        a = exchange(handle, a)
        return a.ctypes.data

    with Tape("f8") as tape:
        for n in (1, 3, 8, 1000):
            assert address(tape.handle, np.zeros(n)) % 64 == 0
            tape.push(1.0)
        tape.clear()


def test_nothing_on_the_tape():
    with Tape("f8") as tape:
        with pytest.raises(PopFailed):
            take_back(tape.handle, np.zeros(3))
        with pytest.raises(TapeEmptyError):
            tape.raise_failed()


def test_no_memory():
    with Tape("f8", pool=SlabPool(limit=1 << 16)) as tape:
        a = np.ones(1 << 15)
        assert give(tape.handle, a) == a.size  # it keeps its memory
        with pytest.raises(TapeMemoryError):
            tape.raise_failed()


def test_a_view_with_gaps_is_refused():
    with Tape("f8") as tape, pytest.raises(Exception, match="a contiguous array"):
        give(tape.handle, np.zeros((4, 4))[:, 1])


# ------------------------------------------------------------------------------------------------- gradients


def swaps(u, c, steps):
    n = len(u)
    u = u.copy()
    v = np.empty_like(u)
    for _ in range(steps):
        v[0] = u[0] - c * u[0] * (u[0] - u[n - 1])
        for i in range(1, n):
            v[i] = u[i] - c * u[i] * (u[i] - u[i - 1])
        u, v = v, u
    return np.sum(u * u)


def half_steps(u, c, steps):
    """Two arrays that are overwritten by one loop, and read by another."""
    n = len(u)
    u = u.copy()
    half, rate = np.empty(n), np.empty(n)
    for _ in range(steps):
        for i in range(n):
            half[i] = u[i] + 0.5 * c * u[i] * u[i]
            rate[i] = c * half[i] * half[i]
        for i in range(n):
            u[i] += rate[i] + half[i] * rate[i]
    return np.sum(u * u)


def planes(u, c, steps):
    rows, columns = u.shape
    u = u.copy()
    v = np.zeros((rows, columns))
    for _ in range(steps):
        for i in range(rows):
            for j in range(columns):
                v[i, j] = u[i, j] + c * u[i - 1, j] * u[i, j - 1]
        u, v = v, u
    return np.sum(u * u)


def partly(u, c, steps):
    """The last element stays as it is, and is copied."""
    n = len(u)
    u = u.copy()
    v = u.copy()
    for _ in range(steps):
        for i in range(n - 1):
            v[i] = u[i] + c * u[i] * u[i + 1]
        u, v = v, u
    return np.sum(u * u)


def in_place(u, c, steps):
    """Each element is read for its own new value, and the new one afterwards."""
    u = u.copy()
    v = np.zeros(len(u))
    for _ in range(steps):
        for i in range(1, len(u) - 1):
            v[i] = 0.25 * c * u[i - 1] * u[i + 1] + v[i]
        for i in range(len(u)):
            u[i] += c * v[i]
            v[i] = 0.5 * v[i] + 0.1 * u[i] * u[i]
    return np.sum(u * u) + np.sum(v)


def reaction(u, c, steps):
    """The adjoint of the update needs the old contents."""
    u = u.copy()
    lap = np.zeros(len(u))
    for _ in range(steps):
        for i in range(1, len(u) - 1):
            lap[i] = u[i - 1] - 2.0 * u[i] + u[i + 1]
        for i in range(len(u)):
            u[i] += c * (lap[i] + u[i] * (1.0 - u[i]))
    return np.sum(u * u)


def early_and_late(u, c, steps):
    """Of the three arrays of one loop, u comes back before its adjoint, v and w after it."""
    u = u.copy()
    v = np.ones(len(u))
    w = np.zeros(len(u))
    for _ in range(steps):
        for i in range(len(u)):
            v[i] = 0.9 * v[i] + c * u[i]
            u[i] = u[i] + c * u[i] * u[i] * v[i]
            w[i] += 0.3 * v[i]
        for i in range(1, len(u)):
            u[i] += c * w[i - 1] * w[i] * v[i]
    return np.sum(u * u) + np.sum(w * v)


def number_of_the_old_contents(u, c, steps):
    """The number is recorded: computed again at the end of a trip, it would see the new contents."""
    u, v = u.copy(), u.copy()
    for _ in range(steps):
        for i in range(len(u)):
            t = 2.0 * u[i]
            u[i] = 0.5 * u[i] + c
            v[i] = v[i] * t * t * u[i]
    return np.sum(u * v)


def with_borders(u, c, steps):
    rows, columns = u.shape
    u = u.copy()
    flux = np.zeros((rows + 1, columns))
    for _ in range(steps):
        for i in range(1, rows):
            for j in range(columns):
                flux[i, j] = 0.9 * flux[i, j] - c * (u[i, j] - u[i - 1, j])
                u[i, j] -= 0.1 * flux[i, j] * flux[i, j]
    return np.sum(u * u)


def taken_to_be_square(u, c, steps):
    """Nothing says that it is: the columns from the fourth on are no borders, and stay all the same."""
    n = len(u)
    u, v = u.copy(), u + 1.0
    for _ in range(steps):
        for i in range(n):
            for j in range(n):
                v[i, j] = c * u[i, j] * u[i, j]
        for i in range(n):
            for j in range(n):
                u[i, j] += v[i, j]
    return np.sum(u * v)


POINT = np.linspace(0.5, 1.5, 12)
CASES = [
    (swaps, POINT),
    (half_steps, 0.1 * POINT),
    (planes, POINT.reshape(3, 4)),
    (partly, POINT),
    (in_place, POINT),
    (reaction, POINT),
    (early_and_late, POINT),
    (number_of_the_old_contents, POINT),
    (with_borders, POINT.reshape(4, 3)),
    (taken_to_be_square, POINT.reshape(3, 4)),
]


@pytest.mark.parametrize(("f", "u"), CASES, ids=lambda p: getattr(p, "__name__", ""))
def test_gradients(f, u, tmp_path):
    g = ad.grad(f, wrt=("u", "c"))
    in_memory = g(u, 0.05, 6)
    assert "exchange" in g.source
    ad.check_grads(f, (u, 0.05, 6), wrt=("u", "c"))
    for _ in range(2):
        spilled = g(u, 0.05, 6, memory="64 KiB", spill_dir=tmp_path)
        for mine, theirs in zip(spilled, in_memory, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def old_and_new(u, c, steps):
    """The adjoint of the update needs the old contents, and that of what follows the new ones."""
    u, v = u.copy(), u.copy()
    for _ in range(steps):
        for i in range(len(u)):
            u[i] += c * u[i] * u[i]
            v[i] += u[i] * u[i]
    return np.sum(u * v)


def early_below_others(u, c, steps):
    """What is recorded in the loop lies on the tape above the old contents, which its adjoint needs first."""
    u = u.copy()
    for _ in range(steps):
        for i in range(len(u)):
            rate = np.exp(-u[i])
            u[i] += c * u[i] * rate * rate
    return np.sum(u * u)


def neighbours(u, c, steps):
    u = u.copy()
    for _ in range(steps):
        for i in range(len(u) - 1):
            u[i] = u[i] + c * u[i + 1]
    return np.sum(u * u)


def on_a_condition(u, c, steps):
    u, v = u.copy(), u.copy()
    for t in range(steps):
        for i in range(len(u)):
            if i > t:
                u[i] = u[i] + c
        for i in range(len(u)):
            v[i] += u[i] * u[i]
    return np.sum(v)


def twice(u, c, steps):
    u, v = u.copy(), u.copy()
    for _ in range(steps):
        for i in range(len(u)):
            u[i] = u[i] + c
            u[i] = 2.0 * u[i]
        for i in range(len(u)):
            v[i] += u[i] * u[i]
    return np.sum(v)


def left_early(u, c, steps):
    u, v = u.copy(), u.copy()
    for _ in range(steps):
        for i in range(len(u)):
            if u[i] > 1.4:
                break
            u[i] = u[i] + c
        for i in range(len(u)):
            v[i] += u[i] * u[i]
    return np.sum(v)


def much_of_it(u, c, steps):
    """What the loop leaves is no border."""
    u, v = u.copy(), u.copy()
    for _ in range(steps):
        for i in range(6):
            u[i] = u[i] + c
        for i in range(len(u) - 5):
            v[i] += u[i] * u[i]
            u[i] += 0.1 * c
        for i in range(len(u)):
            v[i] += 0.5 * u[i] * u[i]
    return np.sum(v)


COPIED = [
    old_and_new,
    early_below_others,
    neighbours,
    on_a_condition,
    twice,
    left_early,
    much_of_it,
]


@pytest.mark.parametrize("f", COPIED, ids=lambda f: f.__name__)
def test_what_keeps_its_memory(f, interpreted_gradient, dual_gradient):
    args = POINT, 0.05, 4
    _, expected = dual_gradient(f, args, (0, 1))
    _, found, source = interpreted_gradient(f, args, (0, 1))
    assert_near(list(found), expected, rtol=1e-12, atol=1e-13)
    assert "u = exchange" not in source and "u_1 = exchange" not in source


@pytest.mark.parametrize("f", [partly, in_place], ids=lambda f: f.__name__)
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_arrays_that_are_all_border(f, n, interpreted_gradient, dual_gradient):
    args = POINT[:n], 0.05, 4
    _, expected = dual_gradient(f, args, (0, 1))
    _, found, _ = interpreted_gradient(f, args, (0, 1))
    assert_near(list(found), expected, rtol=1e-12, atol=1e-13)


def test_a_result_outlives_the_tape():
    """What a gradient returns is never memory of the tape."""
    g = ad.grad(swaps, wrt="u")
    first = g(POINT, 0.05, 5)
    copy = first.copy()
    for _ in range(3):
        g(2.0 * POINT, 0.05, 9)
    np.testing.assert_array_equal(first, copy)


def test_arguments_are_updated_with_the_last_state():
    def step(u, v, c, steps):
        for _ in range(steps):
            for i in range(len(u)):
                v[i] = u[i] + c * u[i] * u[i]
            u, v = v, u
        return np.sum(u)

    u, v = POINT.copy(), np.zeros(12)
    expected_u, expected_v = u.copy(), v.copy()
    step(expected_u, expected_v, 0.05, 5)
    ad.grad(step, wrt="c").with_options(inplace="update")(u, v, 0.05, 5)
    np.testing.assert_array_equal(u, expected_u)
    np.testing.assert_array_equal(v, expected_v)


def test_single_precision_copies():
    g = ad.grad(swaps, wrt="u").with_options(record="f4")
    found, exact = g(POINT, 0.05, 6), ad.grad(swaps, wrt="u")(POINT, 0.05, 6)
    assert "exchange" not in g.source
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    assert not np.array_equal(found, exact)


@pytest.fixture
def balanced():
    """What compiled code allocates in the test is freed by the end."""
    with counted():
        before, begun = live(), made()
        yield
        assert live() == before and made() > begun


def test_an_exception_in_the_loop_leaves_nothing_behind(balanced):
    def fails(u, c, steps):
        u = u.copy()
        v = np.empty_like(u)
        for t in range(steps):
            for i in range(len(u)):
                v[i] = u[i] * c
            u, v = v, u
            if t == 3:
                raise ValueError("stop")
        return np.sum(u * u)

    g = ad.grad(fails, wrt="u")
    g(POINT, 0.5, 3)
    for _ in range(5):
        with pytest.raises(ValueError, match="stop"):
            g(POINT, 0.5, 9)
    np.testing.assert_allclose(g(POINT, 0.5, 3), 2.0 * POINT * 0.5**6)


def test_several_threads():
    g = ad.grad(swaps, wrt="u")
    expected = [g(k * POINT, 0.05, 50) for k in range(4)]
    found = [[] for _ in range(4)]

    def run(k):
        for _ in range(50):
            found[k].append(g(k * POINT, 0.05, 50))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k in range(4):
        for one in found[k]:
            np.testing.assert_array_equal(one, expected[k])
