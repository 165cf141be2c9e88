"""Arguments for compiled functions of arrays: each type is one more compilation, so few of them, in many shapes."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes


def kinds(text):
    """Numbers of dimensions and layouts: ``"2F 1C"`` is ``[(2, "F"), (1, "C")]``."""
    return [(int(word[0]), word[1]) for word in text.split()]


@st.composite
def broadcastable(draw, types, min_side=0, max_side=5):
    """Shapes that broadcast, one of each of the `kinds`.

    Only arrays in C order are empty or have sides of one, where there are others: with those any array is in C order.
    """
    n = max(ndim for ndim, _ in types)
    least = min_side if all(layout == "C" for _, layout in types) else 2
    whole = draw(array_shapes(min_dims=n, max_dims=n, min_side=least, max_side=max_side))
    return [
        tuple(1 if layout == "C" and draw(st.booleans()) else side for side in whole[n - ndim :])
        for ndim, layout in types
    ]


def numbers(shape, dtype="f8", seed=0):
    """Quarters of small whole numbers: their sums and products are exact in any order."""
    values = np.random.default_rng([seed, *shape]).integers(-9, 10, shape) / 4
    return (values + (1j * values[..., ::-1] if np.dtype(dtype).kind == "c" else 0)).astype(dtype)
