"""What Numba makes of an operation: the kinds of results are its own, never guessed."""

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from numba.core import types
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target

from ad.ir import Kind

__all__ = ["OPERATOR_FUNCTIONS", "NoSuchOperation", "kind_of_type", "result_of", "type_of_kind"]

OPERATOR_FUNCTIONS: dict[tuple[str, int], Callable[..., Any]] = {
    ("+", 2): operator.add,
    ("-", 2): operator.sub,
    ("*", 2): operator.mul,
    ("/", 2): operator.truediv,
    ("//", 2): operator.floordiv,
    ("%", 2): operator.mod,
    ("**", 2): operator.pow,
    ("-", 1): operator.neg,
    ("+", 1): operator.pos,
    ("&", 2): operator.and_,
    ("|", 2): operator.or_,
    ("^", 2): operator.xor,
    ("<<", 2): operator.lshift,
    (">>", 2): operator.rshift,
    ("~", 1): operator.invert,
    ("<", 2): operator.lt,
    ("<=", 2): operator.le,
    (">", 2): operator.gt,
    (">=", 2): operator.ge,
    ("==", 2): operator.eq,
    ("!=", 2): operator.ne,
}


class NoSuchOperation(Exception):
    """Numba has no such operation for operands of these kinds."""

    def __init__(self, what: str, kinds: tuple[Kind, ...]) -> None:
        super().__init__(f"Numba has no {what} of {' and '.join(map(str, kinds))}")


def type_of_kind(kind: Kind) -> types.Type:
    """Numba's type for a kind; the layout of arrays plays no part in the types of results."""
    scalar = types.boolean if kind.dtype == "bool" else getattr(types, kind.dtype)
    return types.Array(scalar, kind.ndim, "C") if kind.ndim else scalar


def kind_of_type(found: types.Type) -> Kind | None:
    """The kind of a type of Numba; None for what is neither a number nor an array of numbers."""
    if isinstance(found, types.Literal):
        found = found.literal_type
    if isinstance(found, types.Array):
        element = kind_of_type(found.dtype)
        name = "bool" if element is Kind.BOOL else str(found.dtype)
        return None if element is None else Kind(name, found.ndim) if found.ndim else element
    if isinstance(found, types.Boolean):
        return Kind.BOOL
    if isinstance(found, types.Integer):
        return Kind.INT
    if isinstance(found, types.Float | types.Complex):
        return Kind(str(found))
    return None


@lru_cache(maxsize=4096)
def result_of(function: Callable[..., Any], kinds: tuple[Kind, ...]) -> Kind | None:
    """The kind of ``function(*args)``; None where Numba has no such operation."""
    context = cpu_target.typing_context
    context.refresh()
    cpu_target.target_context.refresh()
    try:
        signature = context.resolve_function_type(function, tuple(type_of_kind(k) for k in kinds), {})
    except NumbaError:
        return None
    return None if signature is None else kind_of_type(signature.return_type)
