"""Options of a gradient's call: how much memory its tape may use, where and how the rest goes, what code is made, and
whether the call shows how far it is.

They come from the call itself, else from `Gradient.with_options`, else from a surrounding ``with ad.options(...)``;
each option by itself.  Options of the code come from the first two only: other options, another compiled function.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypedDict, Unpack

from ad.errors import ADTypeError, ADValueError
from tape.compress import check_codec
from tape.sizes import parse_bytes

__all__ = [
    "OPTIONS",
    "CodeOptions",
    "Given",
    "TapeOptions",
    "checked",
    "code_options",
    "in_context",
    "in_force",
    "options",
    "shown",
    "tape_options",
]


class Given(TypedDict, total=False):
    """Options as a caller writes them."""

    memory: int | str | None
    spill_dir: str | os.PathLike[str] | None
    compress: str | None
    prefetch: bool | None
    progress: bool | None
    record: str | None
    inplace: str | None
    boundscheck: bool | None
    fastmath: bool | set[str] | None
    debug: bool | None


class TapeOptions(NamedTuple):
    """All options of a tape; equal where their tapes may stand in for each other.  None is the tape's own default."""

    memory: int | None = None
    spill_dir: str | None = None
    compress: str | None = None
    prefetch: bool | None = None


class CodeOptions(NamedTuple):
    """Options that change the generated code.

    None is the default: for `boundscheck` and `fastmath` the flags that the user's function was compiled with.  `debug`
    checks every pop against its push, and reports what is not finite where it first appears.
    """

    record: str | None = None
    inplace: str | None = None
    boundscheck: bool | None = None
    fastmath: Any = None
    debug: bool | None = None


_SHOWN = "progress"
OPTIONS = (*TapeOptions._fields, *CodeOptions._fields, _SHOWN)

_context: ContextVar[dict[str, Any] | None] = ContextVar("ad.options", default=None)
_shown_in_context: ContextVar[bool | None] = ContextVar("ad.options.progress", default=None)

in_context = _context.get
"""The checked options for the tape of the surrounding ``with ad.options(...)``, or None."""


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options as `TapeOptions` takes them.

    Raises ADTypeError for an option that does not exist or has the wrong type, and the errors of the tape for a
    `memory` that is no size and a `compress` that is no codec.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in OPTIONS:
            raise ADTypeError(f"there is no option {name!r}; the options are {', '.join(OPTIONS)}")
        if value is not None:
            value = _CHECKS[name](value)
        found[name] = value
    return found


def tape_options(found: Mapping[str, Any]) -> dict[str, Any]:
    """Those of checked options that are for the tape."""
    return {name: value for name, value in found.items() if name in TapeOptions._fields}


def shown(found: Mapping[str, Any]) -> Callable[[], bool | None]:
    """What says whether a call with these checked options shows how far it is: where it is called, if they do not."""
    if _SHOWN not in found:
        return _shown_in_context.get
    value = bool(found[_SHOWN])
    return lambda: value


def code_options(found: Mapping[str, Any]) -> CodeOptions:
    """Those of checked options that are for the code."""
    return CodeOptions(**{name: value for name, value in found.items() if name in CodeOptions._fields})


def _directory(value: Any) -> str:
    if not isinstance(value, str | os.PathLike) or not isinstance(path := os.fspath(value), str):
        raise ADTypeError(f"spill_dir: a path or None, not {type(value).__name__}")
    return os.path.abspath(path)  # the same directory after a change of the working directory


def _flag(name: str) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ADTypeError(f"{name}: True or False, not {type(value).__name__}")
        return value

    return check


def _choice(name: str, *choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise ADValueError(f"{name}: {' or '.join(map(repr, choices))}, not {value!r}")
        return str(value)

    return check


_FASTMATH = {"fast", "nnan", "ninf", "nsz", "arcp", "contract", "afn", "reassoc"}


def _fastmath(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if not isinstance(value, set | frozenset | tuple) or not set(value) <= _FASTMATH:
        raise ADValueError(f"fastmath: True, False or a set of {', '.join(sorted(_FASTMATH))}, not {value!r}")
    return tuple(sorted(value))


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "memory": lambda value: parse_bytes(value, "memory"),
    "spill_dir": _directory,
    "compress": check_codec,
    "prefetch": _flag("prefetch"),
    "progress": _flag("progress"),
    "record": _choice("record", "f8", "f4"),
    "inplace": _choice("inplace", "copy", "update"),
    "boundscheck": _flag("boundscheck"),
    "fastmath": _fastmath,
    "debug": _flag("debug"),
}


def in_force(given: Mapping[str, Any]) -> TapeOptions:
    """Checked options for the tape of a call, those of the surrounding ``with ad.options(...)`` included."""
    context = _context.get()
    return TapeOptions(**given) if context is None else TapeOptions(**{**context, **given})


def options(**given: Unpack[Given]) -> AbstractContextManager[None]:
    """Options for all gradients that are called in a ``with`` block, in this thread or asyncio task.

    Parameters
    ----------
    memory : int, str or None
        The most memory that the tape of a call may use (``"256 MiB"``); what is over goes to disk in the background
        and comes back ahead of the reverse sweep.  None for no limit.
    spill_dir : path or None
        The directory for what goes to disk; None for that of temporary files.
    compress : {"auto", "lz4", "zstd"} or None
        Whether it is compressed on the way (the extra ``layered-tape[compress]``): ``"lz4"`` is fast, ``"zstd"``
        smaller, ``"auto"`` measures and compresses only where that is faster.
    prefetch : bool or None
        False reads back only what the reverse sweep has come to, and waits for it: to see what reading ahead is worth.
    progress : bool or None
        True shows a line on the terminal while a call goes on (needs tqdm; where standard error is none, nothing is
        shown): of each loop marked by `ad.checkpointed` the trips forward, run again and reversed, of how many, the
        time that is left, and what is on the tape.  It has code of its own, which counts trips.

    A gradient that needs no tape ignores them.  An inner block changes the options that it names.
    Options of the code (`record`, `inplace`, `boundscheck`, `fastmath`, `debug`) belong to a call, or to
    `Gradient.with_options`.

    >>> with ad.options(memory="1 GiB", spill_dir="/scratch"):
    ...     g(1.0, 10**9)
    """
    found = checked(given)
    code = [name for name in found if name in CodeOptions._fields]
    if code:
        raise ADTypeError(f"{code[0]} changes the code of a gradient: give it to the call, or to with_options")
    return _within(found)


@contextmanager
def _within(given: dict[str, Any]) -> Iterator[None]:
    token = _context.set({**(_context.get() or {}), **tape_options(given)})
    shown_token = _shown_in_context.set(given.get(_SHOWN, _shown_in_context.get()))
    try:
        yield
    finally:
        _shown_in_context.reset(shown_token)
        _context.reset(token)
