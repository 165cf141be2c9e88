"""Functions of whole arrays: the kinds of their results, and their derivative rules."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ad.arrays import choices, creation, linalg, linear, moves, reductions, scans
from ad.helpers import astype
from ad.ir import Dtype, Kind
from ad.numbatypes import NoSuchOperation
from ad.primitive import defvjp
from ad.symbolic import call, like

__all__ = ["METHODS", "METHOD_KEYWORDS", "SHAPE"]

SHAPE = "shape"
"""The dtype of a tuple of ints that stands for a shape."""


# ------------------------------------------------------------------------------------- kinds of results


def _ndim(shape: Kind) -> int:
    return shape.ndim if shape.dtype == SHAPE else 1


def _made(shape: Kind, dtype: Dtype | None = None) -> Kind:
    return Kind(dtype.name if dtype else "float64", _ndim(shape))


def _filled(shape: Kind, value: Kind, dtype: Dtype | None = None) -> Kind:
    return Kind(dtype.name if dtype else value.dtype, _ndim(shape))


def _like(array: Kind, *_: Kind, dtype: Dtype | None = None) -> Kind:
    return Kind(dtype.name, array.ndim) if dtype else array


def _range(*bounds: Kind, dtype: Dtype | None = None) -> Kind:
    return Kind(dtype.name if dtype else "float64" if Kind.FLOAT in bounds else "int64", 1)


def _same(array: Kind, *_: Kind, **__: Any) -> Kind:
    return array


def _transposed(array: Kind, axes: Kind | None = None) -> Kind:
    return array


def _reduced(array: Kind, axis: Any = None, keepdims: bool = False, dtype: str = "") -> Kind:
    dtype = dtype or array.scalar.dtype
    if keepdims:
        return Kind(dtype, array.ndim)
    axes = axis if isinstance(axis, tuple) else (axis,)
    return Kind(dtype, 0 if axis is None else array.ndim - len(axes))


def _with_axes(array: Kind, axis: Any) -> Kind:
    return Kind(array.dtype, array.ndim and array.ndim + len(axis if isinstance(axis, tuple) else (axis,)))


def _summed(array: Kind, axis: Any = None, keepdims: bool = False) -> Kind:
    return _reduced(array, axis, keepdims, array.dtype if array.is_float else "int64")


def _decided(array: Kind, axis: Any = None, keepdims: bool = False) -> Kind:
    return _reduced(array, axis, keepdims, "bool")


def _averaged(array: Kind, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Kind:
    return _reduced(array, axis, keepdims, array.dtype if array.is_float else "float64")


def _common(a: Kind, b: Kind) -> str:
    return str(np.result_type(a.dtype, b.dtype))


def _product(a: Kind, b: Kind) -> Kind:
    if not (1 <= a.ndim <= 2 and 1 <= b.ndim <= 2):
        raise NoSuchOperation("matrix product", (a, b))
    return Kind(_common(a, b), a.ndim + b.ndim - 2)


def _clipped(x: Kind, *bounds: Kind) -> Kind:
    arrays = [x, *(k for k in bounds if k.dtype != "none")]
    dtype = str(np.result_type(*(k.dtype for k in arrays)))
    return Kind(dtype, max(k.ndim for k in arrays))


# ------------------------------------------------------------------------------------------------ rules

_function: Any
for _function in (np.zeros, np.ones, np.empty):
    defvjp(_function, None, result=_made)
defvjp(np.full, None, lambda g, ans, shape, value, **_: g, result=_filled)
for _function in (np.zeros_like, np.ones_like, np.empty_like):
    defvjp(_function, None, result=_like)
defvjp(np.full_like, None, lambda g, ans, a, value, **_: g, result=_like)
defvjp(astype, lambda g, ans, a, dtype: g, result=_like)
defvjp(np.copy, lambda g, ans, a: g, result=_same)
defvjp(
    np.arange,
    lambda g, ans, *bounds, dtype=None: g,
    None,
    lambda g, ans, *bounds, dtype=None: call(creation.arange_vjp_step, g),
    result=_range,
)
defvjp(
    np.linspace,
    lambda g, ans, start, stop, *_, endpoint=True: call(creation.linspace_vjp_start, g, endpoint),
    lambda g, ans, start, stop, *_, endpoint=True: call(creation.linspace_vjp_stop, g, endpoint),
    result=lambda *_, endpoint=True: Kind.FLOATS,
    compiled=creation.array_linspace,
    native=True,
)
defvjp(
    np.transpose,
    lambda g, ans, x, axes=None: call(moves.transpose_vjp, g, axes),
    result=_same,
    compiled=moves.array_transpose,
    native=True,
)
defvjp(
    np.swapaxes,
    lambda g, ans, x, axis1, axis2: call(moves.array_swapaxes, g, axis1, axis2),
    result=_same,
    compiled=moves.array_swapaxes,
)
defvjp(
    np.flip,
    lambda g, ans, x, axis=None: call(moves.array_flip, g, axis),
    result=_same,
    compiled=moves.array_flip,
)
defvjp(
    np.diagonal,
    lambda g, ans, x, offset=0: call(linear.diag_vjp, g, like(x), offset),
    result=lambda a, offset=0: Kind(a.dtype, a.ndim - 1),
    compiled=moves.array_diagonal,
)
defvjp(
    np.reshape,
    lambda g, ans, x, shape: call(moves.reshape_vjp, g, like(x)),
    None,
    result=lambda a, shape: Kind(a.dtype, _ndim(shape)),
    compiled=moves.array_reshape,
)
defvjp(
    np.roll,
    lambda g, ans, x, shift, axis=None: call(moves.roll_vjp, g, shift, axis),
    None,
    result=_same,
    compiled=moves.array_roll,
)
defvjp(
    np.repeat,
    lambda g, ans, x, n, axis=None: call(moves.repeat_vjp, g, like(x), n, axis),
    None,
    result=lambda a, n, axis=None: Kind(a.dtype, 1 if axis is None else a.ndim),
    compiled=moves.array_repeat,
)
defvjp(
    np.tile,
    lambda g, ans, x, n: call(moves.tile_vjp, g, like(x), n),
    None,
    result=lambda a, n: Kind(a.dtype, max(a.ndim, _ndim(n))),
    compiled=moves.array_tile,
)
defvjp(
    np.broadcast_to,
    lambda g, ans, x, shape: g,
    None,
    result=lambda a, shape: Kind(a.dtype, _ndim(shape)),
)
for _function, _more in ((np.concatenate, 0), (np.stack, 1)):
    defvjp(
        _function,
        lambda g, ans, parts, axis=0: None,  # taken apart by ad.derive
        result=lambda parts, axis=0, more=_more: Kind(parts.dtype, parts.ndim + more),
    )
for _function in (np.matmul, np.dot):
    defvjp(
        _function,
        lambda g, ans, a, b: call(linear.matmul_vjp_left, g, a, b),
        lambda g, ans, a, b: call(linear.matmul_vjp_right, g, a, b),
        result=_product,
        compiled=linear.array_matmul,
    )
defvjp(
    np.outer,
    lambda g, ans, a, b: call(linear.outer_vjp_left, g, a, b),
    lambda g, ans, a, b: call(linear.outer_vjp_right, g, a, b),
    result=lambda a, b: Kind(_common(a, b), 2),
)
defvjp(
    np.trace,
    lambda g, ans, x, offset=0: call(linear.trace_vjp, g, like(x), offset),
    result=lambda a, offset=0: a.scalar,
)
defvjp(
    np.diag,
    lambda g, ans, x, k=0: call(linear.diag_vjp, g, like(x), k),
    result=lambda a, k=0: Kind(a.dtype, 3 - a.ndim),
)
for _function in (np.tril, np.triu):
    defvjp(_function, lambda g, ans, x, k=0, f=_function: call(f, g, k), result=_same)
defvjp(
    np.clip,
    lambda g, ans, x, low, high: call(choices.clip_vjp, g, x, low, high),
    lambda g, ans, x, low, high: call(choices.clip_vjp_low, g, x, low, high),
    lambda g, ans, x, low, high: call(choices.clip_vjp_high, g, x, low, high),
    result=_clipped,
)
defvjp(
    np.sort,
    lambda g, ans, x, axis=-1: call(choices.sort_vjp, g, x, axis),
    result=lambda a, axis=-1: Kind(a.dtype, 1 if axis is None else a.ndim),
    compiled=choices.array_sort,
    native=True,
)
defvjp(
    np.linalg.norm,
    lambda g, ans, x, ord=None, axis=None, keepdims=False: call(linalg.norm_vjp, g, ans, x, ord, axis),
    result=lambda a, ord=None, axis=None, keepdims=False: _reduced(a, axis, keepdims),
    compiled=linalg.array_norm,
)
defvjp(np.linalg.inv, lambda g, ans, a: call(linalg.inv_vjp, g, ans), result=_same)
defvjp(
    np.linalg.solve,
    lambda g, ans, a, b: call(linalg.solve_vjp_matrix, g, ans, a),
    lambda g, ans, a, b: call(linalg.solve_vjp_right, g, a),
    result=lambda a, b: Kind(_common(a, b), b.ndim),
)
defvjp(np.linalg.det, lambda g, ans, a: call(linalg.det_vjp, g, a), result=lambda a: a.scalar)
defvjp(np.linalg.cholesky, lambda g, ans, a: call(linalg.cholesky_vjp, g, ans), result=_same)
defvjp(np.size, None, result=lambda a: Kind.INT)


# Numba compiles these for whole arrays; with an axis the functions of ad.arrays take their place.
defvjp(
    np.sum,
    lambda g, ans, x, axis=None, keepdims=False: (
        g if axis is None or keepdims else call(reductions.sum_vjp, g, axis=axis)
    ),
    result=_summed,
    compiled=reductions.array_sum,
    native=True,
)
defvjp(
    np.mean,
    lambda g, ans, x, axis=None, keepdims=False: (
        g / call(np.size, like(x)) if axis is None else call(reductions.mean_vjp, g, like(x), axis)
    ),
    result=_averaged,
    compiled=reductions.array_mean,
    native=True,
)
for _function, _vjp, _compiled in (
    (np.prod, reductions.prod_vjp, reductions.array_prod),
    (np.max, reductions.max_vjp, reductions.array_max),
    (np.min, reductions.min_vjp, reductions.array_min),
):
    defvjp(
        _function,
        lambda g, ans, x, axis=None, keepdims=False, vjp=_vjp: call(vjp, g, x, axis),
        result=_reduced,
        compiled=_compiled,
        native=True,
    )
defvjp(
    np.var,
    lambda g, ans, x, axis=None, ddof=0, keepdims=False: call(reductions.var_vjp, g, x, axis, ddof),
    result=_averaged,
    compiled=reductions.array_var,
    native=True,
)
defvjp(
    np.std,
    lambda g, ans, x, axis=None, ddof=0, keepdims=False: call(reductions.std_vjp, g, ans, x, axis, ddof),
    result=_averaged,
    compiled=reductions.array_std,
    native=True,
)
for _function, _compiled in ((np.any, reductions.array_any), (np.all, reductions.array_all)):
    defvjp(_function, None, result=_decided, compiled=_compiled, native=True)


defvjp(
    np.cumsum,
    lambda g, ans, x, axis=None: call(scans.cumsum_vjp, g, x, axis),
    result=lambda a, axis=None: Kind(a.dtype if a.is_float else "int64", 1 if axis is None else a.ndim),
    compiled=scans.array_cumsum,
    native=True,
)
defvjp(
    np.cumprod,
    lambda g, ans, x, axis=None: call(scans.cumprod_vjp, g, x, axis),
    result=lambda a, axis=None: Kind(a.dtype if a.is_float else "int64", 1 if axis is None else a.ndim),
    compiled=scans.array_cumprod,
)
defvjp(
    np.diff,
    lambda g, ans, x, n=1, axis=-1: call(scans.diff_vjp, g, x, n, axis),
    result=lambda a, n=1, axis=-1: a,
    compiled=scans.array_diff,
)


def _of_argument(position: int) -> Callable[..., Kind]:
    """The kind of a contribution: that of the argument at a position of the helper's."""

    def result(*kinds: Kind) -> Kind:
        return kinds[position]

    return result


for _helper, _position in (
    (reductions.mean_vjp, 1),
    (reductions.prod_vjp, 1),
    (reductions.max_vjp, 1),
    (reductions.min_vjp, 1),
    (reductions.var_vjp, 1),
    (reductions.std_vjp, 2),
    (scans.cumsum_vjp, 1),
    (scans.cumprod_vjp, 1),
    (scans.diff_vjp, 1),
    (moves.transpose_vjp, 0),
    (moves.array_swapaxes, 0),
    (moves.array_flip, 0),
    (moves.reshape_vjp, 1),
    (moves.roll_vjp, 0),
    (moves.repeat_vjp, 1),
    (moves.tile_vjp, 1),
    (moves.concatenate_vjp, 0),
    (linear.matmul_vjp_left, 1),
    (linear.matmul_vjp_right, 2),
    (linear.outer_vjp_left, 1),
    (linear.outer_vjp_right, 2),
    (linear.trace_vjp, 1),
    (linear.diag_vjp, 1),
    (choices.clip_vjp, 1),
    (choices.clip_vjp_low, 1),
    (choices.clip_vjp_high, 1),
    (choices.sort_vjp, 1),
    (linalg.norm_vjp, 2),
    (linalg.inv_vjp, 1),
    (linalg.solve_vjp_matrix, 2),
    (linalg.solve_vjp_right, 0),
    (linalg.det_vjp, 1),
    (linalg.cholesky_vjp, 1),
):
    defvjp(_helper, None, result=_of_argument(_position))

for _function, _result in (
    (np.argmax, lambda a, axis=None: Kind("int64", 0 if axis is None else a.ndim - 1)),
    (np.argmin, lambda a, axis=None: Kind("int64", 0 if axis is None else a.ndim - 1)),
    (np.argsort, lambda a: Kind("int64", a.ndim)),
    (np.count_nonzero, lambda a: Kind.INT),
    (np.searchsorted, lambda a, v, side="left": Kind("int64", v.ndim)),
    (np.eye, lambda n, m=None, dtype=None: Kind(dtype.name if dtype else "float64", 2)),
    (np.identity, lambda n, dtype=None: Kind(dtype.name if dtype else "float64", 2)),
):
    defvjp(_function, None, result=_result)

defvjp(reductions.sum_vjp, None, result=_with_axes)
defvjp(moves.stack_vjp, None, result=lambda g, i, axis: Kind(g.dtype, g.ndim - 1))
for _helper in (creation.linspace_vjp_start, creation.linspace_vjp_stop, creation.arange_vjp_step):
    defvjp(_helper, None, result=lambda *_: Kind.FLOAT)

METHODS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        "sum",
        "prod",
        "mean",
        "max",
        "min",
        "var",
        "std",
        "cumsum",
        "cumprod",
        "any",
        "all",
        "argmax",
        "argmin",
        "argsort",
        "copy",
        "reshape",
        "transpose",
        "swapaxes",
        "repeat",
        "dot",
        "trace",
        "diagonal",
        "clip",
    )
}

METHOD_KEYWORDS: dict[Any, tuple[int, tuple[str, ...]]] = {
    np.sum: (1, ("axis",)),
    np.prod: (1, ("axis",)),
    np.mean: (1, ("axis",)),
    np.max: (1, ("axis",)),
    np.min: (1, ("axis",)),
    np.var: (1, ("axis",)),
    np.std: (1, ("axis",)),
    np.any: (1, ("axis",)),
    np.all: (1, ("axis",)),
    np.argmax: (1, ("axis",)),
    np.argmin: (1, ("axis",)),
    np.cumsum: (1, ("axis",)),
    np.cumprod: (1, ("axis",)),
    np.diff: (1, ("n", "axis")),
    np.transpose: (1, ("axes",)),
    np.swapaxes: (1, ("axis1", "axis2")),
    np.flip: (1, ("axis",)),
    np.diagonal: (1, ("offset",)),
    np.roll: (2, ("axis",)),
    np.repeat: (2, ("axis",)),
    np.concatenate: (1, ("axis",)),
    np.stack: (1, ("axis",)),
    np.trace: (1, ("offset",)),
    np.diag: (1, ("k",)),
    np.tril: (1, ("k",)),
    np.triu: (1, ("k",)),
    np.sort: (1, ("axis",)),
    np.linalg.norm: (1, ("ord", "axis")),
}
"""How many arguments of a function there are by position; further ones are keywords for `ad`: they are fixed."""
