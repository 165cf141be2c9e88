"""Functions that move, repeat or regroup elements, and their rules.

Views.  What returns a view needs no rule: its adjoint is the same view of the adjoint.  For what Numba does not compile
(or, for np.transpose and np.swapaxes, compiles only in seconds):

    x.transpose(axes), np.transpose(x, axes)   array_transpose(x, axes); None reverses them
    np.swapaxes(x, axis1, axis2)               array_swapaxes(x, axis1, axis2)
    np.flip(x, axis)                           array_flip(x, axis)
    np.squeeze(x, axis)                        array_squeeze(x, axis); the axis cannot be left out
    np.diagonal(x, offset)                     array_diagonal(x, offset), of a matrix

np.reshape gives a view of a C-contiguous array, also here.  Of others NumPy gives a view where it can, which no
compiled code can know beforehand: `array_reshape` then always copies.

Copies, forward, and the rules:

    np.reshape(x, shape)       array_reshape(x, shape)      reshape_vjp(g, x)
    np.ravel(x), x.flatten()   Numba's                      reshape_vjp(g, x)
    np.roll(x, shift, axis)    array_roll(x, shift, axis)   roll_vjp(g, shift, axis)
    np.repeat(x, n, axis)      array_repeat(x, n, axis)     repeat_vjp(g, x, n, axis)
    np.tile(x, n)              array_tile(x, n)             tile_vjp(g, x, n); n is an int or a tuple of ints
    np.concatenate             Numba's                      concatenate_vjp(g, start, stop, axis)
    np.stack                   Numba's                      stack_vjp(g, i, axis)
    np.broadcast_to            Numba's                      g: adding it up does the rest

As they are registered:

    defvjp(np.reshape, lambda g, ans, x, shape: call(reshape_vjp, g, x))
    defvjp(np.ravel, lambda g, ans, x: call(reshape_vjp, g, x))
    defvjp(np.transpose, lambda g, ans, x, axes=None: call(transpose_vjp, g, axes))
    defvjp(np.flip, lambda g, ans, x, axis=None: call(array_flip, g, axis))
    defvjp(np.roll, lambda g, ans, x, shift, axis=None: call(roll_vjp, g, shift, axis))
    defvjp(np.repeat, lambda g, ans, x, n, axis=None: call(repeat_vjp, g, x, n, axis))
    defvjp(np.tile, lambda g, ans, x, n: call(tile_vjp, g, x, n))
    defvjp(np.broadcast_to, lambda g, ans, x, shape: g)

Of np.concatenate the operand that begins at `start` and ends before `stop` along the axis gets concatenate_vjp(g,
start, stop, axis); of np.stack operand i gets stack_vjp(g, i, axis); both are views of g.  np.hstack is concatenate
along axis 1, or 0 for 1-d operands; np.vstack concatenate along axis 0, or stack for 1-d operands; np.column_stack
concatenate along axis 1, or stack along axis 1 for 1-d operands.

Every axis is a literal; shifts, counts and bounds may be computed.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable
from numpy.lib.stride_tricks import as_strided

from ad.arrays.accumulate import add_to
from ad.arrays.axes import (
    fold,
    lengths,
    normalised,
    picking,
    reduced_axes,
    reduced_count,
    regrouped,
    resized,
    transposition,
    unfold,
)
from ad.arrays.compiled import Function, compiled, guarded, literal, replaced, specialised
from ad.arrays.known import ROLLS, VIEWS, WRITES_NOTHING

__all__ = [
    "array_diagonal",
    "array_flip",
    "array_repeat",
    "array_reshape",
    "array_roll",
    "array_squeeze",
    "array_swapaxes",
    "array_tile",
    "array_transpose",
    "concatenate_vjp",
    "lent_reshape",
    "repay",
    "repeat_vjp",
    "reshape_vjp",
    "roll_vjp",
    "stack_vjp",
    "tile_vjp",
    "transpose_vjp",
]


# -------------------------------------------------------------------------------------------------- views


def _order(axes: Any, ndim: int) -> tuple[int, ...]:
    """The permutation that np.transpose takes.  Raises ValueError."""
    if axes is None:
        return tuple(range(ndim))[::-1]
    order = tuple(normalised(a, ndim) for a in axes)
    if sorted(order) != list(range(ndim)):
        raise ValueError(f"axes {axes} are not a permutation of the {ndim} axes of the array")
    return order


@specialised
def array_transpose(x: Any, axes: Any) -> Function:
    """np.transpose: a view."""
    turn = transposition(_order(literal(axes, "axes"), x.ndim))
    return lambda x, axes: turn(x)


@specialised
def transpose_vjp(g: Any, axes: Any) -> Function:
    """The rule of np.transpose: a view."""
    order = _order(literal(axes, "axes"), g.ndim)
    turn = transposition(tuple(order.index(a) for a in range(g.ndim)))
    return lambda g, axes: turn(g)


def _swap(a: int, b: int, ndim: int) -> Function:
    order = list(range(ndim))
    order[a], order[b] = b, a
    return transposition(tuple(order))


@specialised
def array_swapaxes(x: Any, axis1: Any, axis2: Any) -> Function:
    """np.swapaxes: a view."""
    turn = _swap(normalised(literal(axis1, "axis1"), x.ndim), normalised(literal(axis2, "axis2"), x.ndim), x.ndim)
    return lambda x, axis1, axis2: turn(x)


@specialised
def array_flip(x: Any, axis: Any) -> Function:
    """np.flip: a view."""
    ndim = x.ndim

    def flipping(axes: tuple[int, ...]) -> Function:
        if not axes:
            return register_jitable(lambda x: x)
        turn, rest = _swap(0, axes[0], ndim), flipping(axes[1:])
        return register_jitable(lambda x: rest(turn(turn(x)[::-1])))

    flipped = flipping(reduced_axes(x, axis))
    return lambda x, axis: flipped(x)


@specialised
def array_squeeze(x: Any, axis: Any) -> Function:
    """np.squeeze of named axes: a view.  Raises ValueError where one has not length 1."""
    if literal(axis, "axis") is None:
        raise TypeError("np.squeeze needs an axis here: how many dimensions are left must be known while compiling")
    axes = reduced_axes(x, axis)
    lengths, rest = picking(axes), transposition(tuple(a for a in range(x.ndim) if a not in axes))

    def implementation(x: Any, axis: Any) -> Any:
        for n in lengths(x.shape):
            if n != 1:
                raise ValueError("cannot squeeze an axis whose length is not 1")
        return rest(x)

    return implementation


@compiled
def array_diagonal(x: Any, offset: int = 0) -> Any:
    """np.diagonal of a matrix: a view."""
    corner = x[max(-offset, 0) :, max(offset, 0) :]
    return as_strided(corner, (min(corner.shape),), (corner.strides[0] + corner.strides[1],))


@specialised
def concatenate_vjp(g: Any, start: Any, stop: Any, axis: Any) -> Function:
    """The rule of np.concatenate for one operand: a view of its part of `g`."""
    turn = _swap(0, normalised(literal(axis, "axis"), g.ndim), g.ndim)
    return lambda g, start, stop, axis: turn(turn(g)[start:stop])


@specialised
def stack_vjp(g: Any, i: Any, axis: Any) -> Function:
    """The rule of np.stack for operand `i`: a view of its part of `g`."""
    place = normalised(literal(axis, "axis"), g.ndim)
    front = transposition((place, *(a for a in range(g.ndim) if a != place)))
    return lambda g, i, axis: front(g)[i]


# ------------------------------------------------------------------------------------------------- copies


@register_jitable
def _completed(size: int, shape: Any) -> Any:
    """The shape of an array of that size, with a number for -1."""
    known, missing = 1, -1
    for i in range(len(shape)):
        if shape[i] >= 0:
            known *= shape[i]
        elif missing < 0:
            missing = i
        else:
            raise ValueError("multiple negative shape values")
    if missing >= 0:
        inferred = size // known if known else 0
        shape = replaced(shape, missing, inferred)
        known *= inferred
    if known != size:
        raise ValueError("total size of new array must be unchanged")
    return shape


@specialised
def array_reshape(x: Any, shape: Any) -> Function:
    """np.reshape: a view of a C-contiguous array, else a copy.  `shape` is an int or a tuple of ints, one may be -1."""
    if isinstance(x, types.Array) and x.layout == "C" and isinstance(shape, types.BaseTuple) and len(shape):
        return lambda x, shape: regrouped(x, _completed(x.size, lengths(shape)))
    if getattr(x, "layout", "C") == "C":
        return lambda x, shape: x.reshape(shape)
    return lambda x, shape: np.ascontiguousarray(x).reshape(shape)


@specialised
def lent_reshape(a: Any, shape: Any) -> Function:
    """The adjoint of ``x.reshape(shape)``, of which `a` is that of `x`: a view where there is one, else zeros."""
    if isinstance(a, np.ndarray):
        return lambda a, shape: array_reshape(a if a.flags.c_contiguous else np.zeros(a.shape, a.dtype), shape)
    if a.layout == "C":
        return lambda a, shape: array_reshape(a, shape)
    return lambda a, shape: array_reshape(np.zeros(a.shape, a.dtype), shape)


@specialised
def repay(a: Any, g: Any) -> Function:
    """The end of what `lent_reshape` gave: added to `a` where it was no view."""
    if isinstance(a, np.ndarray):
        return lambda a, g: None if a.flags.c_contiguous else add_to(a, array_reshape(g, a.shape))
    if a.layout == "C":
        return lambda a, g: None
    return lambda a, g: add_to(a, array_reshape(g, a.shape))


@compiled
def reshape_vjp(g: Any, x: Any) -> Any:
    """The rule of np.reshape and np.ravel."""
    return array_reshape(np.ascontiguousarray(g), x.shape)


@register_jitable
def _roll_into(out: Any, x: Any, first: int) -> None:
    """Elements of one dimension; what is first comes to stand at `first`."""
    head, tail, end = out[:first], out[first:], x[len(x) - first :]
    for i in range(len(tail)):
        tail[i] = x[i]
    for i in range(len(head)):
        head[i] = end[i]


@guarded
def _roll(x: Any, shift: int) -> Any:
    out = np.empty_like(x)
    if out.size > 0:
        n, m = x.shape[1], x.shape[1] * x.shape[2]
        rows, rolled = x.reshape((x.shape[0], m)), out.reshape((x.shape[0], m))
        for o in range(x.shape[0]):
            _roll_into(rolled[o], rows[o], shift % n * x.shape[2])
    return out


@guarded
def _roll_all(x: Any, shift: int) -> Any:
    out = np.empty_like(x)
    if len(x) > 0:
        _roll_into(out, x, shift % len(x))
    return out


@specialised
def array_roll(x: Any, shift: int, axis: Any = None) -> Function:
    """np.roll along one axis, or of the elements in C order."""
    if x.ndim == 1 and literal(axis, "axis") in (None, 0, -1):
        return lambda x, shift, axis=None: _roll_all(np.ascontiguousarray(x), shift)
    if literal(axis, "axis") is None:
        return lambda x, shift, axis=None: _roll_all(np.ascontiguousarray(x).reshape(x.size), shift).reshape(x.shape)
    return lambda x, shift, axis=None: unfold(_roll(fold(x, axis), shift), x, axis)


@compiled
def roll_vjp(g: Any, shift: int, axis: Any = None) -> Any:
    """The rule of np.roll."""
    return array_roll(g, -shift, axis)


# ---------------------------------------------------------------------------------------------- repetition


@guarded
def _repeat(x: Any, each: int, whole: int) -> Any:
    """Every element `each` times, and all that `whole` times, along the middle axis."""
    outer, n, inner = x.shape
    out = np.empty((outer, n * each * whole, inner), x.dtype)
    for o in range(outer):
        for k in range(out.shape[1]):
            for i in range(inner):
                out[o, k, i] = x[o, k // each % n, i]
    return out


@guarded
def _repeat_rule(g: Any, n: int, each: int) -> Any:
    out = np.zeros((g.shape[0], n, g.shape[2]), g.dtype)
    for o in range(g.shape[0]):
        for k in range(g.shape[1]):
            for i in range(g.shape[2]):
                out[o, k // each % n, i] += g[o, k, i]
    return out


@specialised
def array_repeat(x: Any, n: Any, axis: Any) -> Function:
    """np.repeat of each element `n` times."""
    if literal(axis, "axis") is None:
        return lambda x, n, axis: _repeat(fold(x, axis), n, 1).reshape(x.size * n)
    return lambda x, n, axis: _repeat(fold(x, axis), n, 1).reshape(resized(x, axis, x.shape[axis] * n))


@compiled
def repeat_vjp(g: Any, x: Any, n: int, axis: Any = None) -> Any:
    """The rule of np.repeat."""
    return unfold(_repeat_rule(fold(g, axis), reduced_count(x, axis), n), x, axis)


@compiled
def _tiled(x: Any, n: int, axis: Any) -> Any:
    return _repeat(fold(x, axis), 1, n).reshape(resized(x, axis, x.shape[axis] * n))


@compiled
def _untiled(g: Any, n: int, axis: Any) -> Any:
    """The rule of `_tiled` for an array that had length `n` there."""
    return _repeat_rule(fold(g, axis), n, 1).reshape(resized(g, axis, n))


def _along(axes: tuple[int, ...], step: Function) -> Function:
    """The function that takes an array through ``step(x, counts[axis], axis)`` for one axis after another."""
    if not axes:
        return register_jitable(lambda x, counts: x)
    axis, rest = axes[0], _along(axes[1:], step)
    return register_jitable(lambda x, counts: rest(step(x, counts[axis], axis), counts))


def _with_ones(missing: int) -> Function:
    """The function that puts as many ones before a tuple."""
    ones = (1,) * missing
    return register_jitable((lambda t: ones + t) if missing else (lambda t: t))


def _axes_of_tile(x: Any, n: Any) -> tuple[tuple[int, ...], Function, Function]:
    """The axes of the result, and what completes the shape of `x` and the counts `n` to as many."""
    counts = len(n)
    ndim = max(x.ndim, counts)
    return tuple(range(ndim)), _with_ones(ndim - x.ndim), _with_ones(ndim - counts)


@specialised
def array_tile(x: Any, n: Any) -> Function:
    """np.tile: `n` times along the last axis, or as often along each as a tuple says."""
    if not isinstance(n, tuple | types.BaseTuple):
        return lambda x, n: _tiled(x, n, -1)
    axes, of_shape, of_counts = _axes_of_tile(x, n)
    tiled = _along(axes, _tiled)
    return lambda x, n: tiled(np.ascontiguousarray(x).reshape(of_shape(x.shape)), of_counts(n))


@specialised
def tile_vjp(g: Any, x: Any, n: Any) -> Function:
    """The rule of np.tile."""
    if not isinstance(n, tuple | types.BaseTuple):
        return lambda g, x, n: _untiled(g, x.shape[-1], -1)
    axes, of_shape, _ = _axes_of_tile(x, n)
    untiled = _along(axes, _untiled)
    return lambda g, x, n: untiled(g, of_shape(x.shape)).reshape(x.shape)


WRITES_NOTHING.update(globals()[_name] for _name in __all__ if _name != "repay")
ROLLS.update({array_roll: 1, roll_vjp: -1})
VIEWS.update({array_diagonal, array_flip, array_reshape, array_squeeze, array_swapaxes, array_transpose})
VIEWS.update({lent_reshape, reshape_vjp, transpose_vjp})
