"""Any axis of any array as the middle axis of a 3-d one.

A reduction or scan over some axes is written once, over the middle axis of a C-contiguous array of shape (outer, n,
inner): `fold` gives that form and `unfold` takes it back.  For a C-contiguous array and neighbouring axes both are
views; other layouts, and axes that are not neighbours, cost a copy.  Results have the form (outer, inner).

`axis` is what NumPy takes: None, an int or a tuple of ints, negative ones counted from the end.  AxisError and
ValueError as NumPy raises them; in compiled code they come while compiling.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload, register_jitable
from numba.np.arrayobj import make_array, populate_array
from numpy.lib.stride_tricks import as_strided

from ad.arrays.compiled import Function, is_array, literal, replaced, specialised

__all__ = [
    "fold",
    "fold_result",
    "lengths",
    "normalised",
    "picking",
    "reduced_axes",
    "reduced_count",
    "reduced_shape",
    "regrouped",
    "resized",
    "spread",
    "transposition",
    "unfold",
    "unfold_result",
]


class _Plan(NamedTuple):
    """After a transposition by `order`, which `back` undoes, the reduced axes are lo ... hi - 1."""

    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    order: tuple[int, ...]
    back: tuple[int, ...]
    lo: int
    hi: int

    @property
    def moves(self) -> bool:
        return self.order != tuple(range(len(self.order)))


def normalised(axis: int, ndim: int) -> int:
    """The axis counted from the front.  Raises AxisError."""
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


def reduced_axes(x: Any, axis: Any) -> tuple[int, ...]:
    """The axes that the literal `axis` means, in ascending order."""
    axis = literal(axis, "axis")
    if axis is None:
        return tuple(range(x.ndim))
    axes = tuple(sorted(normalised(a, x.ndim) for a in (axis if isinstance(axis, tuple) else (axis,))))
    if len(set(axes)) < len(axes):
        raise ValueError("duplicate value in 'axis'")
    return axes


def _plan(x: Any, axis: Any) -> _Plan:
    ndim, reduced = x.ndim, reduced_axes(x, axis)
    kept = tuple(a for a in range(ndim) if a not in reduced)
    lo = reduced[0] if reduced else ndim
    order = tuple(range(ndim))
    if reduced != tuple(range(lo, lo + len(reduced))):
        lo, order = len(kept), kept + reduced
    return _Plan(kept, reduced, order, tuple(order.index(a) for a in range(ndim)), lo, lo + len(reduced))


@register_jitable
def _product(shape: Any, lo: int, hi: int) -> int:
    n = 1
    for i in range(lo, hi):
        n *= shape[i]
    return n


def regrouped(x: Any, shape: tuple[int, ...]) -> Any:
    """A C-contiguous array in another shape of the same size, which is not checked: a view."""
    return x.reshape(shape)


@intrinsic
def _regrouped(typing: Any, x: Any, shape: Any) -> Any:
    # Numba asks a function of its runtime whether a view will do, at every call.
    kind = x.copy(ndim=len(shape))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        old, new = make_array(x)(context, builder, args[0]), make_array(kind)(context, builder)
        lengths = cgutils.unpack_tuple(builder, args[1], len(shape))
        strides = [old.itemsize]
        for n in lengths[:0:-1]:
            strides.insert(0, builder.mul(strides[0], n))
        populate_array(new, old.data, lengths, strides, old.itemsize, old.meminfo, old.parent)
        return impl_ret_borrowed(context, builder, kind, new._getvalue())

    return kind(x, shape), codegen


@intrinsic
def lengths(typing: Any, shape: Any) -> Any:
    """A tuple of whole numbers, literals or not, as one of ints."""
    kind = types.UniTuple(types.intp, len(shape))

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = cgutils.unpack_tuple(builder, args[0], len(shape))
        cast = [context.cast(builder, part, own, types.intp) for part, own in zip(parts, shape, strict=True)]
        return context.make_tuple(builder, kind, cast)

    return kind(shape), codegen


@overload(regrouped, strict=False)
def _lower_regrouped(x: Any, shape: Any) -> Any:
    if len(shape) == 0 or x.layout != "C":
        return lambda x, shape: x.reshape(shape)
    return lambda x, shape: _regrouped(x, shape)


def picking(places: tuple[int, ...]) -> Function:
    """The function that takes the elements at `places` out of a tuple of ints."""
    blank = (0,) * len(places)

    @register_jitable
    def picked(t: Any) -> Any:
        out = blank
        for i in range(len(places)):
            out = replaced(out, i, t[places[i]])
        return out

    return picked if places else register_jitable(lambda t: ())


def transposition(order: tuple[int, ...]) -> Function:
    """The function that views an array with its axes in another order, or without those that `order` lacks.

    np.transpose with axes would do for the first, but takes Numba seconds to compile.
    """
    picked = picking(order)
    return register_jitable(lambda x: as_strided(x, picked(x.shape), picked(x.strides)))


@specialised
def _moved(x: Any, axis: Any) -> Function:
    """`x` with the reduced axes side by side."""
    plan = _plan(x, axis)
    turn = transposition(plan.order)
    return (lambda x, axis: turn(x)) if plan.moves else (lambda x, axis: x)


@specialised
def fold(x: Any, axis: Any) -> Function:
    """`x` as a C-contiguous array (outer, n, inner) whose middle axis runs over `axis`, in C order."""
    plan, ndim = _plan(x, axis), x.ndim
    lo, hi = plan.lo, plan.hi

    def implementation(x: Any, axis: Any) -> Any:
        y = _moved(x, axis)
        s = y.shape
        return regrouped(np.ascontiguousarray(y), (_product(s, 0, lo), _product(s, lo, hi), _product(s, hi, ndim)))

    return implementation


@specialised
def unfold(y: Any, x: Any, axis: Any) -> Function:
    """A C-contiguous array `y` of the size of ``fold(x, axis)`` in the shape of `x`: a view."""
    plan = _plan(x, axis)
    turn_back = transposition(plan.back)
    if plan.moves:
        return lambda y, x, axis: turn_back(regrouped(y, _moved(x, axis).shape))
    return lambda y, x, axis: regrouped(y, x.shape)


@specialised
def reduced_shape(x: Any, axis: Any, keepdims: Any) -> Function:
    """The shape of a reduction of `x` over `axis`."""
    plan = _plan(x, axis)
    reduced, kept = plan.reduced, picking(plan.kept)

    def with_ones(x: Any, axis: Any, keepdims: bool) -> Any:
        shape = x.shape
        for a in reduced:
            shape = replaced(shape, a, 1)
        return shape

    if not literal(keepdims, "keepdims"):
        return lambda x, axis, keepdims: kept(x.shape)
    return with_ones if reduced else (lambda x, axis, keepdims: x.shape)


@specialised
def reduced_count(x: Any, axis: Any) -> Function:
    """How many elements of `x` a reduction over `axis` takes into one."""
    plan = _plan(x, axis)
    lo, hi = plan.lo, plan.hi
    return lambda x, axis: _product(_moved(x, axis).shape, lo, hi)


@specialised
def resized(x: Any, axis: Any, n: Any) -> Function:
    """The shape of `x` with length `n` along one axis."""
    place = normalised(literal(axis, "axis"), x.ndim)
    return lambda x, axis, n: replaced(x.shape, place, n)


@specialised
def unfold_result(r: Any, x: Any, axis: Any, keepdims: Any) -> Function:
    """The result `r` of form (outer, inner) as the reduction returns it: a scalar, or a view of `r`."""
    if _plan(x, axis).kept or literal(keepdims, "keepdims"):
        return lambda r, x, axis, keepdims: regrouped(r, reduced_shape(x, axis, keepdims))
    return lambda r, x, axis, keepdims: r[0, 0]


@specialised
def fold_result(g: Any, x: Any, axis: Any) -> Function:
    """The adjoint `g` of a reduction of `x` over `axis`, with or without the reduced axes, as (outer, inner)."""
    plan, ndim = _plan(x, axis), x.ndim
    lo, hi = plan.lo, plan.hi

    def implementation(g: Any, x: Any, axis: Any) -> Any:
        s = _moved(x, axis).shape
        return regrouped(np.ascontiguousarray(g), (_product(s, 0, lo), _product(s, hi, ndim)))

    return implementation if is_array(g) else (lambda g, x, axis: np.full((1, 1), g))


@specialised
def spread(g: Any, x: Any, axis: Any) -> Function:
    """The adjoint `g` of a reduction of `x` over `axis`, so that it broadcasts against `x`; a view where it can be."""
    if not is_array(g) or g.ndim == x.ndim:
        return lambda g, x, axis: g
    return lambda g, x, axis: regrouped(np.ascontiguousarray(g), reduced_shape(x, axis, True))
