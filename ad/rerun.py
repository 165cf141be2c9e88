"""Functions whose calls the reverse sweep runs again, instead of having their inside recorded: `remat`."""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import numpy as np

from ad.alias import shared_arrays, viewed
from ad.errors import ADTypeError
from ad.flow import never_empty
from ad.ir import Assign, Block, Call, For, If, Kind, Place, Rebind, Stmt, Store, Var, While, assigned, walk_stmts
from ad.names import Namer
from ad.primitive import find, primitive
from ad.source import Source, python_function
from ad.webs import rename_arrays

__all__ = ["is_rerun", "remat", "standing_apart"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_MARK = "__ad_remat__"


def remat(function: _Function) -> _Function:
    """Mark a function: where a differentiated function calls it, nothing of its inside is recorded.

    The reverse sweep runs the call again, recording, and reverses it at once.  So the tape has to hold the inside of
    one call at a time, instead of that of all; of each call is recorded what it reads, where that is overwritten later.
    It costs one more run of the function; where marked functions call one another, one more for each level.

    Parameters
    ----------
    function:
        A plain function or one compiled by Numba.  Calls that no derivative passes through run it as it is; so does a
        gradient of the function itself, which records as always.  It must return a number, or an array that is no part
        of an argument, and leave its arguments alone: where a differentiated function calls one that does not,
        UnsupportedSyntax says so.

    Returns the function itself.

    JAX calls this ``jax.checkpoint`` or ``jax.remat``, PyTorch ``torch.utils.checkpoint``; here `ad.checkpoint` is
    about snapshots of time loops.

    Raises ADTypeError for what is no such function, and for one with rules of its own, of which nothing is recorded.

    >>> @ad.remat
    ... def step(u, c):
    ...     return u - c * u * (u - np.roll(u, 1))
    """
    plain = python_function(function, "what ad.remat decorates")
    if find(function) is not None:
        raise ADTypeError(f"{plain.__name__}() has rules of its own, so nothing of it is recorded: take ad.remat off")
    setattr(plain, _MARK, True)
    return function


def is_rerun(function: Any) -> bool:
    """Whether `remat` has marked a plain function."""
    return getattr(function, _MARK, False) is True


def standing_apart(
    body: Block,
    kinds: dict[str, Kind],
    params: Collection[str],
    copied: Collection[str],
    result: str,
    place: Place | None,
    namer: Namer,
    source: Source,
    called: dict[str, str],
) -> tuple[Block, str]:
    """The body of a marked function that shares no array with its callers, and the name of its result.

    `copied` are the parameters that it writes to.  Arrays that are given to the name of a parameter get a name of their
    own, for the adjoint of a parameter is the caller's.

    Raises UnsupportedSyntax where arrays are shared.
    """
    shared = shared_arrays(body, kinds)
    for p in copied:
        own = {n for n, user in called.items() if user == called.get(p, p)}
        arrays = {n for name in own for n in shared.get(name, ())}
        store = next(s for s in walk_stmts(body) if isinstance(s, Store) and s.array in arrays)
        (store.source or source).refuse(
            f"{source.name}() writes to its argument {called.get(p, p)}, which ad.remat does not support: work on a "
            "copy of it and return that, or take ad.remat off",
            Place(store.line),
        )
    if kinds[result].is_array:
        for p in params:
            if kinds[p].is_array and result in _views(body, {p}, kinds):
                source.refuse(
                    f"what {source.name}() returns may be {called.get(p, p)} itself or a part of it: under ad.remat a "
                    "function returns an array of its own, write .copy()",
                    place,
                )
        values = [s.value for s in walk_stmts(body) if isinstance(s, Assign) and s.target == result]
        if result in shared or any(viewed(value, kinds) is not None for value in values):
            old, result = result, namer.fresh("result")
            kinds[result] = kinds[old]
            line = place.line if place is not None else source.tree.lineno
            body = (*body, Assign(result, Call(primitive(np.copy), (Var(old),)), line=line))
    new = {p: namer.fresh(p) for p in params if kinds[p].is_array and p in assigned(body)}
    entry: list[Stmt] = []
    for p, name in new.items():
        kinds[name], called[name] = kinds[p], called.get(p, p)
        entry.append(Assign(name, Var(p), line=source.tree.lineno))
    return (*entry, *rename_arrays(body, new)), new.get(result, result)


def _views(block: Block, views: set[str], kinds: dict[str, Kind]) -> set[str]:
    """The names that may stand for an array or a part of it after a block, of which `views` did before it."""
    views = set(views)
    for s in block:
        match s:
            case Assign(target, value):
                (views.add if viewed(value, kinds) in views else views.discard)(target)
            case Rebind(targets, sources):
                new = {target for target, name in zip(targets, sources, strict=True) if name in views}
                views = views.difference(targets) | new
            case If(_, then, orelse):
                views = _views(then, views, kinds) | _views(orelse, views, kinds)
            case For(body=body) | While(body=body):
                after = _views(body, views, kinds)
                while not after <= views:
                    views = views | after
                    after = _views(body, views, kinds)
                views = after if isinstance(s, For) and never_empty(s) else views
    return views
