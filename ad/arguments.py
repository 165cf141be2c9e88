"""Arguments of a call: of which kinds they are, and clear words for what is not supported."""

from types import FunctionType
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

from ad.errors import ADTypeError
from ad.ir import Kind
from ad.library import Constant, Structure, TupleOf
from ad.primitive import find

__all__ = ["adapt", "flattened", "has_float", "leaves", "structure_of"]

_ARRAYS = frozenset(
    [
        "float64",
        "float32",
        "complex128",
        "complex64",
        "bool",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    ]
)


def adapt(name: str, value: Any) -> Any:
    """The argument as compiled code takes it: small NumPy integers become ints, subclasses of arrays plain views."""
    if isinstance(value, np.integer) and not isinstance(value, np.int64):
        return int(value)
    if isinstance(value, np.ma.MaskedArray):
        raise ADTypeError(f"argument {name!r} is a masked array: pass its data, and the mask as weights")
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray:
        return np.asarray(value)
    if isinstance(value, tuple):
        items = [adapt(f"{name}[{i}]", item) for i, item in enumerate(value)]
        if all(a is b for a, b in zip(items, value, strict=True)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def structure_of(name: str, value: Any, differentiate: bool) -> Structure:
    """The structure of an argument.  Raises ADTypeError, naming it, for what is not supported or has no derivative."""
    structure = _structure(name, value)
    if differentiate and not has_float(structure):
        if structure in (Kind.INT, Kind.BOOL):
            raise ADTypeError(
                f"argument {name!r} is {'an int' if structure is Kind.INT else 'a bool'}, and there is no derivative "
                f"with respect to it: pass float({name})"
            )
        if isinstance(structure, Kind):
            what = "bools" if structure.dtype == "bool" else "ints"
            raise ADTypeError(
                f"argument {name!r} is an array of {what}, and there is no derivative with respect to it: pass "
                f"{name}.astype(float)"
            )
        raise ADTypeError(f"argument {name!r} holds no float, so there is no derivative with respect to it")
    return structure


def has_float(structure: Structure) -> bool:
    """Whether there is a derivative with respect to an argument, or to a part of it."""
    match structure:
        case Kind():
            return structure.is_float
        case TupleOf(items):
            return any(has_float(item) for item in items)
    return False


def leaves(structure: Structure) -> list[Kind]:
    """The kinds of the numbers and arrays of an argument, in order."""
    match structure:
        case Kind():
            return [structure]
        case TupleOf(items):
            return [kind for item in items for kind in leaves(item)]
    return []


def flattened(value: Any, structure: Structure) -> list[Any]:
    """The numbers and arrays of an argument, in order."""
    match structure:
        case Kind():
            return [value]
        case TupleOf(items):
            return [leaf for part, item in zip(value, items, strict=True) for leaf in flattened(part, item)]
    return []


def _structure(name: str, value: Any) -> Structure:
    if isinstance(value, np.ndarray):
        return _array_kind(name, value)
    if isinstance(value, bool | np.bool_):
        return Kind.BOOL
    if isinstance(value, float):  # np.float64 is one
        return Kind.FLOAT
    if isinstance(value, int | np.int64):
        if not -(2**63) <= value < 2**63:
            raise ADTypeError(f"argument {name!r} is an int that does not fit 64 bits: pass a float")
        return Kind.INT
    if isinstance(value, np.float32):
        return Kind("float32")
    if isinstance(value, np.floating):
        raise ADTypeError(f"argument {name!r} is a {type(value).__name__}, not float64: pass float({name})")
    if isinstance(value, complex):  # np.complex128 is one
        return Kind("complex128")
    if isinstance(value, np.complexfloating):
        raise ADTypeError(f"argument {name!r} is a {type(value).__name__}, not complex128: pass complex({name})")
    if isinstance(value, tuple):
        items = tuple(_structure(f"{name}[{i}]", item) for i, item in enumerate(value))
        return TupleOf(items, type(value) if hasattr(value, "_fields") else None)
    if value is None or isinstance(value, FunctionType | Dispatcher | np.ufunc | str | type) or find(value):
        return Constant(value)
    if isinstance(value, list):
        raise ADTypeError(f"argument {name!r} is a list: pass np.array({name}, dtype=float)")
    raise ADTypeError(
        f"argument {name!r} is a {type(value).__name__}; supported are float, int and bool scalars, arrays of float64, "
        "float32, ints and bools, tuples of these, functions and None"
    )


def _array_kind(name: str, value: np.ndarray) -> Kind:
    if value.ndim == 0:
        raise ADTypeError(f"argument {name!r} is an array without dimensions: pass float({name})")
    if value.dtype.name in _ARRAYS and value.dtype.isnative:
        return Kind(value.dtype.name, value.ndim)
    if value.dtype.kind in "fiub":
        wanted = "np.float64" if value.dtype.kind == "f" else "np.int64"
        raise ADTypeError(
            f"argument {name!r} is an array of {value.dtype}, which Numba does not compile: pass "
            f"{name}.astype({wanted})"
        )
    raise ADTypeError(f"argument {name!r} is an array of {value.dtype}; floats, ints and bools are supported")
