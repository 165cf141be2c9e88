"""Whether a function of whole arrays can be called as the user calls it: what is wrong, in the user's own words."""

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from ad.arrayrules import METHOD_KEYWORDS, SHAPE
from ad.expressions import a_kind
from ad.ir import Kind
from ad.primitive import Primitive

__all__ = ["malformed", "mismatch"]

_OTHER: dict[Any, tuple[int, tuple[str, ...]]] = {
    np.array: (2, ("dtype",)),
    np.asarray: (2, ("dtype",)),
    np.ravel: (1, ()),
    np.shape: (1, ()),
    np.ndim: (1, ()),
    np.where: (3, ()),
    np.linspace: (3, ("endpoint",)),
    np.clip: (3, ("a_min", "a_max", "min", "max")),
    np.vstack: (1, ()),
    np.hstack: (1, ()),
    np.column_stack: (1, ()),
}
"""How many arguments functions take by position that have no rule of their own, and keywords."""

_SHAPES: dict[Any, int] = {
    np.zeros: 0,
    np.ones: 0,
    np.empty: 0,
    np.full: 0,
    np.reshape: 1,
    np.broadcast_to: 1,
    np.tile: 1,
}
_INTS: dict[Any, tuple[int, ...]] = {
    np.roll: (1,),
    np.repeat: (1,),
    np.linspace: (2,),
    np.eye: (0, 1),
    np.identity: (0,),
}
_LIKE: tuple[Any, ...] = (np.zeros_like, np.ones_like, np.empty_like, np.full_like)
_MAKERS: frozenset[Any] = frozenset(
    {*_LIKE, np.zeros, np.ones, np.empty, np.full, np.arange, np.linspace, np.eye, np.identity, np.where}
)
_JOIN = (np.concatenate, np.stack)
_NDIM: dict[Any, tuple[int, ...]] = {
    np.linalg.inv: (2,),
    np.linalg.det: (2,),
    np.linalg.cholesky: (2,),
    np.linalg.solve: (2,),
    np.trace: (2,),
    np.diagonal: (2,),
    np.tril: (2,),
    np.triu: (2,),
    np.diag: (1, 2),
}
_AXES = ("axis", "axis1", "axis2", "axes")


def malformed(rule: Primitive, given: int, keywords: Collection[str]) -> str | None:
    """What is wrong with the number of arguments by position, or with the names of the others."""
    function = rule.function
    try:
        inspect.signature(function).bind(*[None] * given, **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    except ValueError:  # the function has no signature
        pass
    most, names = _taken(rule)
    if given > most:
        return f"more than {most} by position, the array included, are not supported"
    for name in keywords:
        if name not in names:
            return f"the keyword {name} is not supported"
    return None


def _taken(rule: Primitive) -> tuple[int, tuple[str, ...]]:
    """How many arguments are taken by position, and which keywords."""
    function = rule.function
    if function in _OTHER:
        return _OTHER[function]
    parameters = inspect.signature(rule.result).parameters if callable(rule.result) else {}
    names = tuple(p.name for p in parameters.values() if p.default is not p.empty)
    if function in METHOD_KEYWORDS:
        count, more = METHOD_KEYWORDS[function]
        return count + len(more), (*names, *more)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return len(rule.vjps) + ("dtype" in names), names
    return len(parameters), names


def mismatch(function: Callable[..., Any], kinds: Sequence[Sequence[Kind]], keywords: dict[str, Any]) -> str | None:
    """What is wrong with the kinds of the arguments; those of all its items for an argument that is a tuple."""
    if function in _SHAPES and len(kinds) > _SHAPES[function]:
        for kind in kinds[_SHAPES[function]]:
            if kind is not Kind.INT:
                what = "a shape is" if function is not np.tile else "repetitions are"
                return f"{what} made of ints, not of {_said(kind)}; write int(...)"
    for i in _INTS.get(function, ()):
        if i < len(kinds) and tuple(kinds[i]) != (Kind.INT,):
            return f"argument {i + 1} must be an int, not {_said(*kinds[i])}"
    numpys = (getattr(function, "__module__", None) or "").partition(".")[0] == "numpy"
    if not kinds or function in _MAKERS or not kinds[0] or not numpys:
        return None
    first = kinds[0][0]
    if function in _JOIN:
        for kind in kinds[0]:
            if not kind.is_array or kind.ndim != first.ndim:
                return f"arrays of one number of dimensions can be joined, not {_said(first)} and {_said(kind)}"
    elif not first.is_array or len(kinds[0]) > 1:
        advice = ": write np.array(...)" if len(kinds[0]) > 1 else ""
        return f"it takes an array, not {_said(*kinds[0])}{advice}"
    if function in _NDIM and first.ndim not in _NDIM[function]:
        return f"it takes a {' or '.join(map(str, _NDIM[function]))}-D array, not {_said(first)}"
    ndim = first.ndim + (function is np.stack)
    for name in _AXES:
        value = keywords.get(name)
        for axis in value if isinstance(value, tuple) else (value,):
            if axis is None:
                continue
            if type(axis) is not int:
                return f"{name} must be an int, not {axis!r}"
            if not -ndim <= axis < ndim:
                return f"{name} {axis} is out of bounds for {_said(first)}"
    return None


def _said(*kinds: Kind) -> str:
    """An argument in words; it is a tuple where there are several kinds."""
    if len(kinds) != 1 or kinds[0].dtype == SHAPE:
        return "a tuple"
    return "None" if kinds[0].dtype == "none" else a_kind(*kinds)
