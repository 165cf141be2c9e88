"""Arguments of a call: which kinds they are, and clear words for what is not supported."""

from typing import Any

import numpy as np

from ad.errors import ADTypeError
from ad.ir import Kind

__all__ = ["adapt", "kind_of_argument"]

_F8 = np.dtype("f8")
_I8 = np.dtype("i8")


def adapt(name: str, value: Any) -> Any:
    """The argument as compiled code takes it: small NumPy integers become ints, subclasses of arrays plain views."""
    if isinstance(value, np.integer) and not isinstance(value, np.int64):
        return int(value)
    if isinstance(value, np.ma.MaskedArray):
        raise ADTypeError(f"argument {name!r} is a masked array: pass its data, and the mask as weights")
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray:
        return np.asarray(value)
    return value


def kind_of_argument(name: str, value: Any, differentiate: bool) -> Kind:
    """The kind of an argument.  Raises ADTypeError, naming it, for what is not supported or has no derivative."""
    kind = _kind(name, value)
    if differentiate and kind in (Kind.INT, Kind.BOOL):
        raise ADTypeError(
            f"argument {name!r} is {'an int' if kind is Kind.INT else 'a bool'}, and there is no derivative with "
            f"respect to it: pass float({name})"
        )
    if differentiate and kind is Kind.INTS:
        raise ADTypeError(
            f"argument {name!r} is an array of ints, and there is no derivative with respect to it: pass "
            f"{name}.astype(float)"
        )
    return kind


def _kind(name: str, value: Any) -> Kind:
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
    if isinstance(value, np.floating):
        raise ADTypeError(f"argument {name!r} is a {type(value).__name__}, not float64: pass float({name})")
    if isinstance(value, complex | np.complexfloating):
        raise ADTypeError(f"argument {name!r} is complex, which is not supported: pass real and imaginary parts")
    if isinstance(value, list | tuple):
        raise ADTypeError(f"argument {name!r} is a {type(value).__name__}: pass np.array({name}, dtype=float)")
    raise ADTypeError(
        f"argument {name!r} is a {type(value).__name__}; supported are float, int and bool scalars and one-dimensional "
        "float64 or int64 arrays"
    )


def _array_kind(name: str, value: np.ndarray) -> Kind:
    if value.ndim == 0:
        raise ADTypeError(f"argument {name!r} is an array without dimensions: pass float({name})")
    if value.ndim > 1:
        raise ADTypeError(
            f"argument {name!r} has {value.ndim} dimensions; arrays have one for now: pass {name}.ravel() and compute "
            "the index"
        )
    if value.dtype == _F8:
        return Kind.FLOATS
    if value.dtype == _I8:
        return Kind.INTS
    if value.dtype.kind == "f":
        raise ADTypeError(
            f"argument {name!r} is an array of {value.dtype}, not float64: pass {name}.astype(np.float64)"
        )
    if value.dtype.kind in "iub":
        raise ADTypeError(f"argument {name!r} is an array of {value.dtype}, not int64: pass {name}.astype(np.int64)")
    raise ADTypeError(f"argument {name!r} is an array of {value.dtype}; float64 and int64 are supported")
