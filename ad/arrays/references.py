"""Where an array lies in another one, as numbers, and the view that such numbers stand for.

    at = offset_in(view, base)                       elements from the first one of `base` to that of `view`
    step = step_of(view, axis)                       elements from one of `view` to the next one along an axis
    view = view_at(base, at, (n, m), (step, step))   the view again; of the adjoint of `base`, the same view

`base` is an array that owns its memory: C- or F-contiguous.
"""

from typing import Any

from numpy.lib.stride_tricks import as_strided

from ad.arrays.compiled import Function, compiled, replaced, specialised

__all__ = ["offset_in", "step_of", "view_at"]


@compiled
def offset_in(view: Any, base: Any) -> int:
    """How many elements after the first one of `base` the first one of `view` lies in memory."""
    return (view.ctypes.data - base.ctypes.data) // base.itemsize


@compiled
def step_of(view: Any, axis: int) -> int:
    """How many elements of memory lie between elements of `view` that follow each other along an axis."""
    return view.strides[axis] // view.itemsize


@specialised
def _flat(base: Any) -> Function:
    """The elements as they lie in memory."""
    if getattr(base, "layout", None) == "F" or (hasattr(base, "flags") and not base.flags.c_contiguous):
        return lambda base: base.T.reshape(base.size)
    return lambda base: base.reshape(base.size)


@specialised
def view_at(base: Any, at: Any, shape: Any, steps: Any) -> Function:
    """The view of `base` that begins at an element, with a shape and with steps counted in elements.

    Raises IndexError for one that is not within `base`.
    """
    ndim = len(shape)

    def implementation(base: Any, at: Any, shape: Any, steps: Any) -> Any:
        strides, low, high = steps, at, at
        for i in range(ndim):
            strides = replaced(strides, i, steps[i] * base.itemsize)
            reach = max(shape[i] - 1, 0) * steps[i]
            low, high = low + min(reach, 0), high + max(reach, 0)
        if min(shape) > 0 and (low < 0 or high >= base.size):
            raise IndexError("a view that is not within its array")
        return as_strided(_flat(base)[at:], shape, strides)

    return implementation
