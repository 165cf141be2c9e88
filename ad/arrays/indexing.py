"""Index arrays and masks: reading, writing, and their adjoints, where an element may be meant more than once.

    y = gather(x, index)         x[index]
    scatter(u, index, e)         u[index] = e

    scatter_add(xb, index, yb)             the adjoint of gather: an element that was read twice gets both
    eb = take_and_clear_at(ub, index)      the adjoint of scatter: of two values for one element, the last one counts
    set_zero_at(ub, index)                 the adjoint of scatter of a constant

`index` is what stands between the brackets: an array of ints of any number of dimensions, a mask (an array of bools
for all dimensions of `x` or the first ones), or a tuple of these with ints, slices, ``...`` and None, with NumPy's
meaning.  Numba checks no index array, and takes no mask of several dimensions.  Here an index out of range raises
IndexError before anything is read or written; `in_range` tells it without raising.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import register_jitable

from ad.arrays.accumulate import narrow, overlap
from ad.arrays.axes import transposition
from ad.arrays.compiled import Function, compiled, is_array, replaced, specialised

__all__ = ["gather", "in_range", "scatter", "scatter_add", "set_zero_at", "take_and_clear_at"]


# ----------------------------------------------------------------------------------- what an index consists of


class _Entry(NamedTuple):
    place: int  # in the index; that of `...` for the slices that it stands for
    kind: str  # "array", "mask", "int", "slice" or "new"
    axis: int  # the first axis of the indexed array that it takes


def _kind(part: Any) -> str:
    if is_array(part):
        return "mask" if part.dtype in (types.bool_, np.bool_) else "array"
    if part is None or isinstance(part, types.NoneType):
        return "new"
    if isinstance(part, types.EllipsisType | type(Ellipsis)):
        return "dots"
    return "slice" if isinstance(part, slice | types.SliceType) else "int"


def _entries(x: Any, index: Any) -> list[_Entry]:
    """The entries of an index into `x`, trailing slices added."""
    listed = list(index) if isinstance(index, tuple | types.BaseTuple) else [index]
    kinds = [_kind(part) for part in listed]
    takes = {"mask": 0, "new": 0, "dots": 0}
    axes = [part.ndim if kind == "mask" else takes.get(kind, 1) for kind, part in zip(kinds, listed)]
    rest = x.ndim - sum(axes)
    if rest < 0:
        raise IndexError(f"too many indices: the array has {x.ndim} dimensions, {sum(axes)} are indexed")
    if "dots" not in kinds:
        kinds, axes = [*kinds, "dots"], [*axes, 0]
    entries, axis = [], 0
    for place, (kind, n) in enumerate(zip(kinds, axes)):
        if kind == "dots":
            entries += [_Entry(place, "slice", axis + i) for i in range(rest)]
            axis += rest
        else:
            entries.append(_Entry(place, kind, axis))
            axis += n
    return entries


# ------------------------------------------------------------------------------------------------- checks


@register_jitable
def _ints_in_range(ints: Any, n: int) -> bool:
    outside = 0
    for i in ints.flat:
        outside += i < -n or i >= n
    return outside == 0


@register_jitable
def _mask_fits(mask: Any, shape: Any, axis: int) -> bool:
    wrong = 0
    for i in range(mask.ndim):
        wrong += mask.shape[i] != shape[axis + i]
    return wrong == 0


@specialised
def in_range(x: Any, index: Any) -> Function:
    """Whether all ints of an index into `x` are in range, and its masks have the shape of the axes that they select."""

    def check_from(entries: list[_Entry]) -> Function:
        if not entries:
            return register_jitable(lambda x, index: True)
        rest, (place, kind, axis) = check_from(entries[1:]), entries[0]

        def array(x: Any, index: Any) -> bool:
            return _ints_in_range(index[place], x.shape[axis]) and rest(x, index)

        def mask(x: Any, index: Any) -> bool:
            return _mask_fits(index[place], x.shape, axis) and rest(x, index)

        def integer(x: Any, index: Any) -> bool:
            return -x.shape[axis] <= index[place] < x.shape[axis] and rest(x, index)

        return register_jitable({"array": array, "mask": mask, "int": integer}[kind])

    if not isinstance(index, tuple | types.BaseTuple):
        return lambda x, index: in_range(x, (index,))
    return check_from([e for e in _entries(x, index) if e.kind in ("array", "mask", "int")])


@register_jitable
def _check(x: Any, index: Any) -> None:
    if not in_range(x, index):
        raise IndexError("an index is out of bounds, or a mask has not the shape of what it selects from")


@specialised
def _arrays(index: Any) -> Function:
    """The index as a tuple, with the indices of the true elements in place of each mask."""

    @register_jitable
    def first(index: Any) -> Any:
        return (index[0],)

    @register_jitable
    def where_true(index: Any) -> Any:
        return np.nonzero(index[0])

    if not isinstance(index, tuple | types.BaseTuple):
        return lambda index: _arrays((index,))
    head = where_true if _kind(index[0]) == "mask" else first
    return head if len(index) == 1 else (lambda index: head(index) + _arrays(index[1:]))


# ---------------------------------------------------------------------------------------------- element by element


class _Layout(NamedTuple):
    """How the result of an index is laid out: the axes of all index arrays together begin at `first`."""

    whole: bool  # no axis is left over: single elements are selected
    first: int
    order: tuple[int, ...]  # puts the axes of the index arrays in front


def _layout(x: Any, index: Any) -> _Layout:
    entries = _entries(x, index)
    chosen = [i for i, e in enumerate(entries) if e.kind in ("array", "int")]  # ints count as arrays here
    ndim = max(index[e.place].ndim for e in entries if e.kind == "array")
    together = chosen == list(range(chosen[0], chosen[-1] + 1))
    first = chosen[0] if together else 0
    rest = len(entries) - len(chosen)
    axes = tuple(range(ndim + rest))
    middle = axes[first : first + ndim]
    return _Layout(rest == 0, first, middle + axes[:first] + axes[first + ndim :])


@specialised
def _front(value: Any, x: Any, index: Any) -> Function:
    """A view of ``x[index]``, with the axes of the index arrays in front."""
    layout = _layout(x, index)
    turn = transposition(layout.order)
    return (lambda value, x, index: turn(value)) if layout.first else (lambda value, x, index: value)


@specialised
def _spanned(index: Any) -> Function:
    """The shape of all index arrays together."""
    places = [i for i, part in enumerate(index) if is_array(part)]

    def joint(places: list[int]) -> Function:
        place = places[0]
        if len(places) == 1:
            return register_jitable(lambda index: index[place].shape)
        rest = joint(places[1:])
        return register_jitable(lambda index: np.broadcast_shapes(index[place].shape, rest(index)))

    return joint(places)


@specialised
def _element(index: Any, e: Any) -> Function:
    """The index without arrays that means element `e` of the shape of all index arrays together."""

    @register_jitable
    def array(index: Any, e: Any) -> Any:
        return (_at(index[0], e),)

    @register_jitable
    def other(index: Any, e: Any) -> Any:
        return (index[0],)

    head = array if is_array(index[0]) else other
    return head if len(index) == 1 else (lambda index, e: head(index, e) + _element(index[1:], e))


@specialised
def _at(a: Any, e: Any) -> Function:
    """Element `e` of an array that is broadcast to more dimensions or along axes of length 1."""
    blank, extra = (0,) * a.ndim, len(e) - a.ndim

    def implementation(a: Any, e: Any) -> Any:
        own = blank
        for i in range(a.ndim):
            own = replaced(own, i, e[i + extra] if a.shape[i] > 1 else 0)
        return a[own]

    return implementation


# -------------------------------------------------------------------------------------- reading and writing
#
# Where single elements are selected a loop does it: it compiles faster than what Numba has, and older versions of Numba
# know no more than one index array.


@specialised
def _read(x: Any, index: Any) -> Function:
    def elements(x: Any, index: Any) -> Any:
        out = np.empty(_spanned(index), x.dtype)
        for e in np.ndindex(out.shape):
            out[e] = x[_element(index, e)]
        return out

    return elements if _layout(x, index).whole else (lambda x, index: x[index])


@specialised
def _write(target: Any, index: Any, value: Any) -> Function:
    def constant(target: Any, index: Any, value: Any) -> None:
        for e in np.ndindex(_spanned(index)):
            target[_element(index, e)] = value

    def elements(target: Any, index: Any, value: Any) -> None:
        shape = _spanned(index)
        v = np.broadcast_to(value.copy() if overlap(target, value) else value, shape)
        for e in np.ndindex(shape):
            target[_element(index, e)] = v[e]

    def rows(target: Any, index: Any, value: Any) -> None:
        target[index] = value

    if not _layout(target, index).whole:
        return rows
    return elements if is_array(value) else constant


@compiled
def gather(x: Any, index: Any) -> Any:
    """``x[index]``, a copy.  Raises IndexError."""
    _check(x, index)
    return _read(x, _arrays(index))


@compiled
def scatter(target: Any, index: Any, value: Any) -> None:
    """``target[index] = value``.  Raises IndexError, and ValueError for a value of another shape."""
    _check(target, index)
    _write(target, _arrays(index), value)


@compiled
def set_zero_at(target: Any, index: Any) -> None:
    """``target[index] = 0``.  Raises IndexError."""
    scatter(target, index, 0)


# ------------------------------------------------------------------------------------------------ adjoints


@register_jitable
def _unravelled(k: int, shape: Any) -> Any:
    """The indices of element `k`, in C order, of an array of this shape."""
    e = shape
    for i in range(len(shape) - 1, -1, -1):
        e = replaced(e, i, k % shape[i])
        k //= shape[i]
    return e


@register_jitable
def _product(shape: Any) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


@specialised
def _add_elements(target: Any, index: Any, value: Any) -> Function:
    whole = _layout(target, index).whole

    def implementation(target: Any, index: Any, value: Any) -> None:
        shape = _spanned(index)
        v = _front(value, target, index)
        for i in range(len(shape)):
            if v.shape[i] != shape[i]:
                raise ValueError("the adjoint of an indexed array has not the shape that the index gives")
        for e in np.ndindex(shape):
            if whole:
                target[_element(index, e)] += v[e]
            else:
                row = target[_element(index, e)]
                np.add(row, v[e], row)

    def constant(target: Any, index: Any, value: Any) -> None:
        for e in np.ndindex(_spanned(index)):
            target[_element(index, e)] += value

    return implementation if is_array(value) else constant


@compiled
def scatter_add(target: Any, index: Any, value: Any) -> None:
    """``target[index] += value``, where an element that the index means twice gets both values.

    `value` is a scalar, or has the shape of ``target[index]``; it is converted to the dtype of `target`, to which a
    complex value adds its real part where that is real.  Raises IndexError, and ValueError for a value of another
    shape.
    """
    _check(target, index)
    _add_elements(target, _arrays(index), narrow(value, target))


@specialised
def _take_elements(target: Any, index: Any) -> Function:
    def implementation(target: Any, index: Any) -> Any:
        taken = _read(target, index)
        shape = _spanned(index)
        v = _front(taken, target, index)
        for k in range(_product(shape) - 1, -1, -1):  # backward: the value that was written last is the one that counts
            e = _unravelled(k, shape)
            v[e] = target[_element(index, e)]
            target[_element(index, e)] = 0
        return taken

    return implementation


@compiled
def take_and_clear_at(target: Any, index: Any) -> Any:
    """The adjoint of e in ``u[index] = e``, taken out of `target`, the adjoint of u, which is set to zero there.

    Of several values for one element the last was kept: it gets the adjoint, the others get 0.  Raises IndexError.
    """
    _check(target, index)
    return _take_elements(target, _arrays(index))
