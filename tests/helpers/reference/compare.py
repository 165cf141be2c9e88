"""Comparing derivatives, nested tuples and all."""

import numpy as np

from reference.differences import difference_gradient
from reference.run import dual_gradient

SINGLE = 2e-5  # relative, where a program computes in single precision


def leaves(found, expected, *more, path=""):
    """The derivatives in nested tuples side by side, with where they are; what has no derivative is left out."""
    if isinstance(expected, tuple | list):
        assert len(found) == len(expected), f"{path}: {len(found)} derivatives, not {len(expected)}"
        for i, items in enumerate(zip(found, expected, *more, strict=True)):
            yield from leaves(*items, path=f"{path}[{i}]" if path else f"argument {i}")
    elif expected is not None:
        yield path, found, expected, *more


def assert_near(found, expected, rtol=1e-12, atol=1e-13, note=""):
    """Derivatives with the shapes of those expected, equal but for `rtol`, and `atol` of the largest in an argument."""
    for path, mine, reference in leaves(found, expected):
        assert np.shape(mine) == np.shape(reference), f"{path}: shape {np.shape(mine)}, not {np.shape(reference)}{note}"
        scale = max(1.0, np.max(np.abs(reference), initial=0.0, where=np.isfinite(reference)))
        np.testing.assert_allclose(mine, reference, rtol=rtol, atol=atol * scale, err_msg=f"{path}{note}")


def agree(function, args, wrt, rtol=1e-6, single=False):
    """Assert that dual numbers and differences agree, and these with themselves to `rtol`; return the differences.

    `single` says that the function computes in single precision.
    """
    plain = getattr(function, "py_func", function)
    value, exact = dual_gradient(plain, args, wrt)
    differences = difference_gradient(plain, args, wrt)
    tolerance = SINGLE if single else 1e-13
    assert abs(value - differences.value) <= tolerance * max(1.0, abs(value)), f"{value}, not {differences.value}"
    for path, mine, other, error in leaves(exact, differences.derivatives, differences.errors):
        scale = np.maximum(1.0, np.maximum(np.abs(mine), abs(value)))
        assert np.all(error <= max(rtol, tolerance) * scale), f"{path}: differences are uncertain: {other} +- {error}"
        allowed = 10.0 * error + (SINGLE if single else 1e-12) * scale
        assert np.all(np.abs(mine - other) <= allowed), f"{path}: duals say {mine}, differences {other} +- {error}"
    return differences
