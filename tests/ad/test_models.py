"""The models of the benchmarks: what is compared there is the same function, and the same gradient."""

import inspect

import numpy as np
import pytest

import ad
from benchmarks.models import MODELS

DEAR = {"shallow_water", "mixture"}
"""Models whose adjoints by hand take long to compile."""


def of_model(name, what):
    return pytest.param(name, what, marks=pytest.mark.thorough if name in DEAR else ())


FORMS = [
    of_model(name, form)
    for name, model in MODELS.items()
    for form in ("by_element", "whole_array")
    if getattr(model, form)
]
HANDS = [of_model(name, hand) for name, model in MODELS.items() for hand in list(model.by_hand)[1:]]
PEERS = [(name, peer) for name, model in MODELS.items() for peer in model.peers]


def same(found, expected):
    """To ten digits of the largest element."""
    found = found if isinstance(found, tuple | list) else (found,)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.max(np.abs(b)))


def by_hand(model):
    arguments = model.arguments(*model.small)
    make = next(iter(model.by_hand.values()))
    return arguments, make(*arguments)(*arguments)


@pytest.mark.parametrize("name", MODELS)
def test_forms_are_the_same_function(name):
    model = MODELS[name]
    arguments = model.arguments(*model.small)
    if model.whole_array:
        value = model.by_element(*arguments)
        assert model.whole_array(*arguments) == pytest.approx(value, rel=1e-12)
        assert np.isfinite(value) and value != 0.0


@pytest.mark.parametrize("name, form", FORMS)
def test_gradient_is_that_by_hand(name, form, interpreted_gradient, request):
    """As plain Python, since compiling all of them takes a minute; the loops of Burgers' equation are compiled."""
    model = MODELS[name]
    arguments, expected = by_hand(model)
    function = getattr(model, form)
    if request.config.getoption("--compile-all") or (name, form) == ("burgers", "by_element"):
        found = ad.grad(function, wrt=tuple(model.wrt))(*arguments)
    else:
        parameters = list(inspect.signature(getattr(function, "py_func", function)).parameters)
        found = interpreted_gradient(function, arguments, [parameters.index(name) for name in model.wrt])[1]
    same(found, expected)


@pytest.mark.parametrize("name, hand", HANDS)
def test_other_adjoints_by_hand(name, hand):
    model = MODELS[name]
    arguments, expected = by_hand(model)
    same(model.by_hand[hand](*arguments)(*arguments), expected)


@pytest.mark.parametrize("name, peer", PEERS)
def test_peers(name, peer):
    pytest.importorskip(peer)
    model = MODELS[name]
    arguments, expected = by_hand(model)
    found = model.peers[peer](*arguments)(*arguments)
    same(found, expected)
