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

    The rule is NumPy's "same kind" cast (int to float, float64 to float32, never float to int or complex to float),
    with nothing lost unnoticed: an integer must fit exactly, text, bytes and dates must not be cut.  The fields of a
    structured item follow the same rule, one by one.
    """
    dtype = cell.dtype
    if x is np.ma.masked:
        raise TapeTypeError("a masked value has none to push")
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
            raise TapeValueError(f"the integer does not fit a {dtype} tape")
    elif whole and dtype.kind in "fc":
        if abs(int(x)) > 2 ** (np.finfo(dtype).nmant + 1):
            raise TapeValueError(f"the integer is not exact on a {dtype} tape; push float(x) to round it")
    elif dtype.kind in "SU":
        if not np.can_cast(value.dtype, dtype, "safe"):
            raise TapeTypeError(f"a {value.dtype} does not go on a {dtype} tape")
    elif not np.can_cast(value.dtype, dtype, "same_kind"):
        raise TapeTypeError(f"{type(x).__name__} does not go on a {dtype} tape")
    try:
        with np.errstate(over="ignore"):  # float64 beyond float32's range is inf, as in compiled code
            cell[()] = int(x) if whole else value
    except OverflowError:  # NumPy 2.5 and later, for dates; earlier ones store another date
        raise TapeValueError(f"{value} does not fit a {dtype} tape: it is not exact") from None
    # A date that the unit of the tape cannot hold comes back as another one.
    if dtype.kind in "mM" and not np.isnat(value) and cell.astype(value.dtype) != value:
        raise TapeValueError(f"{value} is not exact on a {dtype} tape")


def _as_void(x: Any, cell: npt.NDArray[Any]) -> None:
    dtype = cell.dtype
    if isinstance(x, np.void) or (isinstance(x, np.ndarray) and x.ndim == 0):
        if x.dtype != dtype:
            raise TapeTypeError(f"an item of dtype {x.dtype} does not go on a {dtype} tape")
        cell[()] = x
    elif dtype.names is None and isinstance(x, bytes):
        if len(x) != dtype.itemsize:
            raise TapeValueError(f"{len(x)} bytes for a {dtype} tape, whose items have {dtype.itemsize}")
        cell[()] = np.void(x)
    elif dtype.names is not None and isinstance(x, tuple):
        if len(x) != len(dtype.names):
            raise TapeTypeError(f"a tuple of {len(x)} for the {len(dtype.names)} fields of {dtype}")
        for name, part in zip(dtype.names, x, strict=True):
            _as_field(part, cell[name])
    else:  # a bare number would be spread over all fields
        raise TapeTypeError(f"{type(x).__name__} does not go on a {dtype} tape; push a tuple or numpy.void")


def _as_field(part: Any, field: npt.NDArray[Any]) -> None:
    if not field.ndim:
        as_item(part, field)
        return
    parts = np.asarray(part, dtype=object)
    if parts.shape != field.shape:
        raise TapeTypeError(f"a field of shape {field.shape} is given a value of shape {parts.shape}")
    for place in np.ndindex(field.shape):
        as_item(parts[place], field[(*place, ...)])


def as_array(items: Any, dtype: np.dtype[Any], name: str = "items") -> npt.NDArray[Any]:
    """`items` as a one-dimensional contiguous ndarray of `dtype`; an array shares its memory or is refused.

    Of a subclass only the memory counts: none of its methods is called.  Masked arrays are refused.
    """
    if isinstance(items, np.ma.MaskedArray):
        raise TapeTypeError(f"{name}: a masked array; fill it with filled(), or push compressed()")
    is_array = isinstance(items, np.ndarray)
    array = np.ndarray.view(items, np.ndarray) if is_array else _from_sequence(items, dtype, name)
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
