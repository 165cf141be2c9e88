"""How helpers for whole arrays reach compiled code.

Each helper is a Python function that also runs as it stands, on NumPy.  Compiled code gets it in one of two ways.
`@compiled` compiles the function itself, for the types of its arguments and for their values where these are literals
in the source (an axis, a bool, None).  `@specialised` decorates a function that returns the implementation for its
arguments, of which it may ask the dimensions, the dtype and literal values: compiled code asks it once, with types.
"""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np
from numba import njit, types
from numba.core.errors import TypingError
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.extending import overload
from numba.np.numpy_support import as_dtype

from ad.guard import Guarded

__all__ = [
    "OPTIONS",
    "Function",
    "as_float",
    "as_summable",
    "compiled",
    "dtype_of",
    "guarded",
    "is_array",
    "is_complex",
    "is_none",
    "literal",
    "replaced",
    "specialised",
]

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

guarded = njit(pipeline_class=Guarded, **OPTIONS)
"""Compiles what helpers call.  Unlike helpers, such functions are not compiled as their callers are by themselves."""

Function = Callable[..., Any]


def compiled(function: Function) -> Function:
    """Let compiled code call a Python function, compiled there for the types and literal values of its arguments."""
    overload(function, jit_options=OPTIONS, strict=False, prefer_literal=True)(lambda *args, **kwargs: function)
    return function


def specialised(choose: Function) -> Function:
    """Turn a function that returns an implementation for its arguments into one that runs it, compiled or not."""

    bind = signature(choose).bind

    @wraps(choose)
    def function(*args: Any, **kwargs: Any) -> Any:
        given = bind(*args, **kwargs).args if kwargs else args
        return choose(*given)(*given)

    # Not strict: signatures would have to agree in annotations, too, which a lambda has not.
    overload(function, jit_options=OPTIONS, strict=False, prefer_literal=True)(choose)
    return function


def literal(argument: Any, name: str) -> Any:
    """The value of an argument, which compiled code must have as a literal: else TypingError."""
    if isinstance(argument, types.Omitted):
        return argument.value
    if isinstance(argument, types.NoneType):
        return None
    if isinstance(argument, types.Literal):
        return argument.literal_value
    if isinstance(argument, types.BaseTuple):
        return tuple(literal(part, name) for part in argument)
    if isinstance(argument, types.Type):
        raise TypingError(f"{name} must be written out where it is used (2, None, True), not computed")
    return argument


def is_none(argument: Any) -> bool:
    """Whether an argument, or the type of one, is None."""
    if isinstance(argument, types.Omitted):
        argument = argument.value
    return argument is None or isinstance(argument, types.NoneType)


def is_array(argument: Any) -> bool:
    """Whether an argument, or the type of one, is an array."""
    return isinstance(argument, types.Array | np.ndarray)


def dtype_of(argument: Any) -> Any:
    """NumPy's dtype of an argument, or of the type of one: an array or a scalar."""
    if isinstance(argument, types.Type):
        return as_dtype(getattr(argument, "dtype", types.unliteral(argument)))
    return np.asarray(argument).dtype


def is_complex(argument: Any) -> bool:
    """Whether an argument, or the type of one, is complex: a scalar or an array."""
    return bool(dtype_of(argument).kind == "c")


@specialised
def as_float(x: Any) -> Function:
    """An array as floats, in the precision that NumPy uses: float64 for ints and bools."""
    return (lambda x: x) if dtype_of(x).kind in "fc" else (lambda x: x.astype(np.float64))


@specialised
def as_summable(x: Any) -> Function:
    """An array in the dtype in which NumPy adds and multiplies: 64 bits for ints and bools."""
    match dtype_of(x).kind:
        case "b" | "i":
            return lambda x: x.astype(np.int64)
        case "u":
            return lambda x: x.astype(np.uint64)
    return lambda x: x


def replaced(t: tuple[Any, ...], i: int, value: Any) -> tuple[Any, ...]:
    """The tuple `t` of equal types with `value` at place `i`."""
    return (*t[:i], value, *t[i + 1 :])


@overload(replaced, strict=False)
def _replaced(t: Any, i: Any, value: Any) -> Any:
    return lambda t, i, value: tuple_setitem(t, i, value)
