"""What `checkpointed_sweep` refuses, and what it says where a function fails."""

import math
from functools import partial

import numpy as np
import pytest

import ad
from ad import ADTypeError, ADValueError
from tape import default_pool


def broken(at, error=None):
    """A step that fails once."""

    def step(u, i):
        if i == at:
            raise error
        return u + 1.0

    return step


def plain_vjp(u, a, i):
    return a


@pytest.mark.parametrize(
    ("state", "result", "message"),
    [
        (np.zeros(3), np.zeros(2), r"step\(state, 2\) returned .*: state: float64\[2\] where float64\[3\] is wanted"),
        (np.zeros(3), np.zeros(3, "f4"), r"state: float32\[3\] where float64\[3\] is wanted"),
        (np.zeros(3), None, "state: None where .* is wanted: return it, also where arrays are updated in place"),
        (np.zeros(3), [0.0] * 3, "state: a list of 3 where"),
        (np.zeros(3), np.ma.zeros(3), r"state: MaskedArray of float64\[3\] where"),
        (1.0, np.float64(1.0), "state: a scalar of float64 where float is wanted"),
        (np.str_("abc"), np.str_("abcdef"), "state: a scalar of <U6 where <U3 is wanted"),
        (1, 2**64, "state: an int of more than 64 bits"),
    ],
)
def test_what_a_step_returns_is_looked_at(state, result, message):
    with pytest.raises(ADTypeError, match=message):
        ad.checkpointed_sweep(lambda u, i: result if i == 2 else u, plain_vjp, state, 5, adjoint=0.0, snapshots=2)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"a": (np.zeros(2), 0.0), "b": 1}, r"state\['a'\]\[0\]: float64\[2\] where"),
        ({"a": (np.zeros(3), 0), "b": 1}, r"state\['a'\]\[1\]: int where float is wanted"),
        ({"a": (np.zeros(3), 0.0)}, r"state: a dict with the keys \['a'\] where a dict with the keys \['a', 'b'\]"),
        ({"a": [np.zeros(3), 0.0], "b": 1}, r"state\['a'\]: a list of 2 where a tuple of 2"),
    ],
)
def test_the_leaf_is_named(result, message):
    state = {"a": (np.zeros(3), 0.0), "b": 1}
    with pytest.raises(ADTypeError, match=message):
        ad.checkpointed_sweep(lambda x, i: result if i else x, plain_vjp, state, 5, adjoint=0.0, snapshots=2)


def test_what_a_vjp_returns_is_looked_at():
    with pytest.raises(ADTypeError, match=r"vjp_step\(state, adjoint, 3\) returned .*: adjoint: float64\[2\] where"):
        ad.checkpointed_sweep(broken(-1), lambda u, a, i: a[: i - 1], np.zeros(3), 5, adjoint=np.zeros(3))


@pytest.mark.parametrize("error", [ValueError("too large", 7), FloatingPointError(), KeyboardInterrupt()])
def test_what_a_step_raises_comes_out_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        ad.checkpointed_sweep(broken(3, error=error), plain_vjp, np.zeros(3), 5, adjoint=0.0, snapshots=2)
    assert caught.value is error
    if isinstance(error, Exception):
        assert error.__notes__ == ["ad.checkpointed_sweep: this came from step(state, 3) of a sweep of 5 steps"]


def test_what_the_other_functions_raise_says_where():
    def fail(*args):
        raise RuntimeError

    run = partial(ad.checkpointed_sweep, broken(-1), state=np.zeros(3), snapshots=2)
    for options, where in [
        ({"vjp_step": fail, "n": 5, "adjoint": 0.0}, "vjp_step(state, adjoint, 4) of a sweep of 5 steps"),
        ({"vjp_step": plain_vjp, "n": 5, "adjoint": fail}, "adjoint(state) of a sweep of 5 steps"),
        ({"vjp_step": plain_vjp, "n": None, "adjoint": 0.0, "until": fail}, "until(state, 0) of a sweep"),
    ]:
        with pytest.raises(RuntimeError) as caught:
            run(**options)
        assert caught.value.__notes__[0].endswith(where)


def test_a_failed_sweep_leaves_no_memory_behind():
    before = default_pool().stats().used_bytes
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            ad.checkpointed_sweep(
                broken(30, error=ZeroDivisionError()), plain_vjp, np.zeros(2**16), 50, adjoint=0.0, snapshots=5
            )
    assert default_pool().stats().used_bytes == before


SHARED = np.zeros(6)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"n": -1}, ADValueError, "n: -1 is negative"),
        ({"n": 2.0}, ADTypeError, "n: a whole number, not float"),
        ({"n": True}, ADTypeError, "n: a whole number, not bool"),
        ({"n": None}, ADTypeError, "until: with n=None, a function"),
        ({"until": plain_vjp}, ADValueError, "until is for n=None"),
        ({"snapshots": 0}, ADValueError, "at least one is needed"),
        ({"snapshots": "3"}, ADTypeError, "snapshots: a whole number, not str"),
        ({"disk_snapshots": -3}, ADValueError, "disk_snapshots: -3 is negative"),
        ({"memory": "1 MiB"}, ADValueError, "the same thing in two ways"),
        (
            {"snapshots": None, "memory": 100},
            ADValueError,
            "100 B are not enough: a state has 64 B, the last step needs",
        ),
        ({"snapshots": None, "memory": 100, "disk_snapshots": 3}, ADValueError, "copy, the way to disk 64 KiB"),
        ({"snapshots": None, "memory": "much"}, ValueError, "memory: 'much' is no size"),
        ({"schedule": "best"}, ADValueError, "there is no 'best'; there are binomial, dynamic"),
        ({"schedule": 3}, ADTypeError, "schedule: a name or a function, not int"),
        ({"schedule": "mixed", "n": None, "until": plain_vjp}, ADValueError, "mixed needs to know n"),
        ({"schedule": "dynamic", "disk_snapshots": 2}, ADValueError, r"ad\.checkpoint\.periodic"),
        ({"step": 3}, ADTypeError, "step: a function, not int"),
        ({"vjp_step": None}, ADTypeError, "vjp_step: a function, not NoneType"),
        ({"state": "text"}, ADTypeError, "state is of type str; a state is made of"),
        ({"state": [np.zeros(2), {"a": {1}}]}, ADTypeError, r"state\[1\]\['a'\] is of type set"),
        ({"state": np.array([None])}, ADTypeError, "state has dtype object"),
        ({"state": np.ma.zeros(3)}, ADTypeError, "MaskedArray, a subclass of numpy.ndarray"),
        ({"state": 2**70}, ADValueError, "state: an int of more than 64 bits"),
        ({"state": (SHARED[:4], SHARED[2:])}, ADValueError, r"state\[0\] and state\[1\] share memory"),
        ({"adjoint": "text"}, ADTypeError, "adjoint is of type str"),
        ({"gradient": 0.0}, ADTypeError, "gradient is a number; vjp_step adds to arrays in place"),
        ({"gradient": np.broadcast_to(0.0, 3)}, ADValueError, "gradient is read-only"),
        ({"save_every": -1.0}, ADValueError, "save_every: seconds, at least 0"),
        ({"save_every": math.nan}, ADValueError, "save_every: seconds, at least 0"),
        ({"tag": 3}, ADTypeError, "tag: a string, not int"),
    ],
    ids=lambda x: ", ".join(x) if isinstance(x, dict) else "",
)
def test_bad_arguments(given, error, message):
    arguments = {"step": broken(-1), "vjp_step": plain_vjp, "state": np.zeros(3), "n": 5, "adjoint": 0.0}
    with pytest.raises(error, match=message):
        ad.checkpointed_sweep(**{**arguments, "snapshots": 2, **given})


def test_parts_of_one_array_that_do_not_overlap():
    z = np.zeros(3, complex)
    ad.checkpointed_sweep(lambda s, i: s, plain_vjp, (z.real, z.imag), 3, adjoint=0.0, snapshots=1)
