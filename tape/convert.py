"""From what a caller passes to items of a tape's dtype, with nothing lost unnoticed."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tape.errors import TapeTypeError, TapeValueError

__all__ = ["as_array", "as_item", "fixed_dtype"]


def fixed_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """The dtype of a tape: fixed size, no Python objects, no sub-arrays."""
    try:
        found = np.dtype(dtype)
    except TypeError as error:
        raise TapeTypeError(f"dtype: {dtype!r} is no NumPy dtype ({error})") from None
    if found.hasobject:
        raise TapeTypeError(f"dtype: {found} holds Python objects; a tape holds plain memory")
    if found.subdtype is not None:
        raise TapeTypeError(f"dtype: {found} is an array type; use a structured dtype with one field of that type")
    if found.itemsize == 0:
        raise TapeTypeError(f"dtype: {found} has no size of its own; give one, such as 'S16'")
    return found


def as_item(x: Any, cell: npt.NDArray[Any]) -> None:
    """Store `x` in `cell`, a 0-d array of the tape's dtype.

    The rule is NumPy's "same kind" cast (int to float, float64 to float32, never float to int or complex to
    float), with two additions: an integer must fit exactly, and text must not be cut.
    """
    dtype = cell.dtype
    if dtype.kind == "V":
        _as_void(x, cell)
        return
    value = np.asarray(x)
    if value.ndim:
        raise TapeTypeError(f"one item has no dimensions, and this has shape {value.shape}; use extend()")
    whole = value.dtype.kind in "iu" or (value.dtype.kind == "O" and isinstance(x, int))
    if whole and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not limits.min <= int(x) <= limits.max:
            raise TapeValueError(f"{int(x)} does not fit a {dtype} tape")
    elif whole and dtype.kind in "fc":
        if abs(int(x)) > 2 ** (np.finfo(dtype).nmant + 1):
            raise TapeValueError(f"the integer {int(x)} is not exact on a {dtype} tape; push float(x) to round it")
    elif not np.can_cast(value.dtype, dtype, "safe" if dtype.kind in "SU" else "same_kind"):
        raise TapeTypeError(f"{type(x).__name__} does not go on a {dtype} tape")
    with np.errstate(over="ignore"):  # float64 beyond float32's range is inf, as in compiled code
        cell[()] = int(x) if whole else value


def _as_void(x: Any, cell: npt.NDArray[Any]) -> None:
    # A bare number would be spread over all fields.
    if not isinstance(x, tuple | np.void | bytes) and not (isinstance(x, np.ndarray) and x.ndim == 0):
        raise TapeTypeError(f"{type(x).__name__} does not go on a {cell.dtype} tape; push a tuple or numpy.void")
    if isinstance(x, np.void | np.ndarray) and x.dtype != cell.dtype:
        raise TapeTypeError(f"an item of dtype {x.dtype} does not go on a {cell.dtype} tape")
    try:
        cell[()] = x
    except (TypeError, ValueError, OverflowError) as error:
        raise TapeTypeError(f"{x!r} does not go on a {cell.dtype} tape: {error}") from None


def as_array(items: Any, dtype: np.dtype[Any], name: str = "items") -> npt.NDArray[Any]:
    """`items` as a one-dimensional contiguous array of `dtype`; arrays are passed through or refused, not converted."""
    array = items if isinstance(items, np.ndarray) else _from_sequence(items, dtype, name)
    if array.dtype != dtype:
        raise TapeTypeError(f"{name}: an array of dtype {array.dtype} for a {dtype} tape; convert it with astype()")
    if array.ndim != 1:
        raise TapeValueError(f"{name}: an array of shape {array.shape}; one dimension is wanted (see numpy.ravel)")
    if not array.flags.c_contiguous:
        raise TapeValueError(f"{name}: a strided array; make it contiguous with numpy.ascontiguousarray()")
    return array


def _from_sequence(items: Any, dtype: np.dtype[Any], name: str) -> npt.NDArray[Any]:
    if isinstance(items, str | bytes) or not hasattr(items, "__iter__"):
        raise TapeTypeError(f"{name}: an array or sequence, not {type(items).__name__}")
    values = list(items)
    array = np.empty(len(values), dtype)
    for i, value in enumerate(values):
        as_item(value, array[i : i + 1].reshape(()))
    return array
