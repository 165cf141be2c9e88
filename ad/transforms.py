"""`grad` and `value_and_grad`."""

import inspect
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from numba.core.dispatcher import Dispatcher

from ad.arguments import adapt, has_float, leaves, structure_of
from ad.build import Kernel
from ad.counting import Counting
from ad.debug import instrument
from ad.emit import emit
from ad.errors import ADError, ADTypeError, ADValueError
from ad.fastcall import checked_call
from ad.findings import Findings
from ad.guess import likely_kinds
from ad.library import Library, Structure
from ad.options import (
    OPTIONS,
    CodeOptions,
    Given,
    checked,
    code_options,
    in_context,
    shown,
    tape_options,
)
from ad.planned import can_be_planned
from ad.program import Program
from ad.report import Report
from ad.source import TOO_DEEP, python_function
from ad.specialisation import Specialisation
from ad.tapes import latest_stats, latest_traffic
from ad.values import UserFunction
from tape import LayerStats, TapeStats

if TYPE_CHECKING:
    from ad.cuda.gradient import BatchGradient

__all__ = ["Gradient", "Wrt", "grad", "value_and_grad"]

Wrt = str | int | Sequence[str | int] | None

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.KEYWORD_ONLY)


@overload
def grad(f: Callable[..., float], wrt: Wrt = None, *, target: Literal["cpu"] = "cpu") -> "Gradient": ...
@overload
def grad(f: Callable[..., float], wrt: Wrt = None, *, target: Literal["cuda"]) -> "BatchGradient": ...
def grad(f: Callable[..., float], wrt: Wrt = None, *, target: str = "cpu") -> "Gradient | BatchGradient":
    """The gradient of a scalar function, compiled.

    Parameters
    ----------
    f:
        A plain Python function or one compiled with ``numba.njit`` that returns a float.  Its arguments are numbers and
        arrays of float64, float32, complex, ints or bools, tuples of these, None and functions; what it may do with
        them is in docs/language.md.  Numbers and arrays of its module or closure count as constants.
    wrt:
        The arguments to differentiate with respect to: a name, an index, or a sequence of these.  By default all
        that are floats or float arrays at the call.
    target:
        ``"cuda"`` for a function of numbers on a GPU, a thread for each set of arguments (the extra ``cuda``): the
        result, an `ad.cuda.gradient.BatchGradient`, takes arrays in place of numbers.

    Returns
    -------
    Gradient:
        A function of the same arguments.  It returns the derivative with respect to a single argument as it is, those
        with respect to several (or a sequence) as a tuple: a float for a float, an array of the same shape and dtype
        for an array, a tuple of these for a tuple.

    A call also takes the options of `ad.options`, as in ``g(a, b, memory="256 MiB")``.

    Raises ADTypeError or ADValueError for arguments that make no sense.  The call raises `UnsupportedSyntax` for code
    outside the supported subset, and what `f` itself raises.

    >>> def area(a, b): return a * b
    >>> grad(area)(2.0, 3.0)
    (3.0, 2.0)
    """
    return _made(f, wrt, False, target)


@overload
def value_and_grad(f: Callable[..., float], wrt: Wrt = None, *, target: Literal["cpu"] = "cpu") -> "Gradient": ...
@overload
def value_and_grad(f: Callable[..., float], wrt: Wrt = None, *, target: Literal["cuda"]) -> "BatchGradient": ...
def value_and_grad(f: Callable[..., float], wrt: Wrt = None, *, target: str = "cpu") -> "Gradient | BatchGradient":
    """Like `grad`, but the function returns the pair (value of `f`, gradient)."""
    return _made(f, wrt, True, target)


def _made(f: Callable[..., float], wrt: Wrt, with_value: bool, target: str) -> "Gradient | BatchGradient":
    if target == "cpu":
        return Gradient(f, wrt, with_value)
    if target != "cuda":
        raise ADValueError(f'target: {target!r}; it is "cpu" or "cuda"')
    from tape.cuda.select import require_numba_cuda

    require_numba_cuda()
    from ad.cuda.gradient import BatchGradient  # which can be imported only where that package is installed

    return BatchGradient(f, wrt, with_value)


class Gradient:
    """A compiled gradient; made by `grad` and `value_and_grad`."""

    def __init__(
        self, f: Callable[..., float], wrt: Wrt, with_value: bool, options: dict[str, Any] | None = None
    ) -> None:
        if isinstance(f, Gradient):
            raise ADTypeError("derivatives of derivatives are not supported yet")
        self._plain: FunctionType = python_function(f, "the function to differentiate")
        self._user = UserFunction(self._plain, f if isinstance(f, Dispatcher) else None)
        self._signature = inspect.signature(self._plain, follow_wrapped=False)
        for p in self._signature.parameters.values():
            if p.kind not in _NAMED:
                raise ADTypeError(
                    f"{self._plain.__name__}() has *{p.name}, which is not supported: name every argument"
                )
        self._names = tuple(self._signature.parameters)
        self._wrt_given = wrt
        self._wrt = _names_of(wrt, self._names, self._plain.__name__)
        self._bare = wrt is None or isinstance(wrt, str | int)
        self._with_value = with_value
        self._options = checked(options or {})
        self._call_options = tuple(name for name in OPTIONS if name not in self._names)
        self._libraries: dict[CodeOptions, Library] = {}
        self._arity = sum(p.kind is not p.KEYWORD_ONLY for p in self._signature.parameters.values())
        self._all_positional = self._arity == len(self._names)
        self._quick: Callable[..., Any] = self._find_call
        self._specials: dict[tuple[CodeOptions, tuple[Structure, ...]], Specialisation] = {}
        self._latest: tuple[tuple[Structure, ...], CodeOptions] | None = None
        self._lock = threading.RLock()
        self.__name__ = f"{self._plain.__name__}_grad"
        self.__qualname__ = self.__name__
        self.__module__ = self._plain.__module__
        self.__doc__ = f"{'Value and gradient' if with_value else 'Gradient'} of {self._plain.__name__}()."
        self.__signature__ = self._signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not kwargs and len(args) == self._arity:
            return self._quick(*args)
        return self._slow_call(args, kwargs)

    def __repr__(self) -> str:
        name = "value_and_grad" if self._with_value else "grad"
        wrt = "" if self._wrt_given is None else f", wrt={self._wrt_given!r}"
        options = ", ".join(f"{option}={value!r}" for option, value in self._options.items())
        more = f".with_options({options})" if options else ""
        return f"ad.{name}({self._plain.__name__}{wrt}){more}"

    def __reduce__(self) -> Any:
        return Gradient, (self._user.dispatcher or self._plain, self._wrt_given, self._with_value, self._options)

    def with_options(self, **given: Unpack[Given]) -> "Gradient":
        """The same gradient with options of its own: those of `ad.options`, and options of the code.

        Both share what is compiled for equal options of the code.

        Parameters
        ----------
        record : {"f8", "f4"} or None
            ``"f4"`` records floats in single precision.
        inplace : {"copy", "update"} or None
            ``"update"`` leaves in the arguments what the function writes to them.
        boundscheck, fastmath : bool (or a set of flags) or None
            Numba's flags; None for those of the function.
        debug : bool or None
            True checks every pop of the tape against the push that it belongs to (ADError where these do not match),
            and warns by `NotFiniteWarning` of the first value and the first adjoint that are NaN or infinite, at their
            lines.  The results are the same.

        An option in a call, ``g(a, b, memory="256 MiB")``, goes before one given here, and this before `ad.options`.
        Where the function has a parameter of an option's name, a call passes that, and the option can only be given
        here or by `ad.options`.

        Raises ADTypeError or ADValueError for options that make no sense.
        """
        other = object.__new__(Gradient)
        other.__dict__.update(self.__dict__)
        other._options = {**self._options, **checked(given)}
        if self._latest is not None:
            other._latest = self._latest[0], code_options(other._options)
        other._quick = other._find_call
        return other

    @property
    def source(self) -> str:
        """The generated adjoint, as readable Python: that of the latest kinds of arguments.

        Before the first call, that for likely ones: arrays where the function indexes them, ints in the bounds of
        ranges and in indices, floats elsewhere.
        Raises ADError where that does not fit.
        """
        return self._likely_special().kernel.source

    @property
    def primal(self) -> Callable[..., float]:
        """The function itself, compiled: the user's own where Numba compiled it, else for the latest arguments' kinds.

        Raises ADError before the first call where the kinds cannot be guessed, as `source` does.
        """
        return self._user.dispatcher or self._likely_special().primal

    def report(self) -> Report:
        """What is recorded for the reverse sweep, where, and why; to print, or to read its fields.

        Like `source`, it is that of the latest kinds of arguments, or of likely ones before the first call; `options`
        are those in force now.  Raises ADError where likely ones do not fit.
        """
        progress = shown(self._options)()
        return self._likely_special().report({**(in_context() or {}), **self._options, "progress": progress})

    def stats(self) -> TapeStats | None:
        """Statistics of the tape that this thread's latest gradient used; None where none was needed yet.

        Calls share a tape, so `high_bytes` is the most that any of them had on it, not that of the latest one.
        """
        return latest_stats()

    def traffic(self) -> LayerStats | None:
        """What that tape moved to disk and back; None where it has no memory limit (see `Tape.traffic`)."""
        return latest_traffic()

    # ------------------------------------------------------------------------------------------ slow path

    def _likely_special(self) -> Specialisation:
        """The specialisation of the latest call, or before the first one that for likely kinds."""
        if self._latest is not None:
            return self._special(*self._latest)
        try:
            code = code_options(self._options)
            source = self._library(code).source(self._user)
            return self._special(likely_kinds(source, self._signature), code)
        except ADError as error:
            raise ADError(
                f"the adjoint depends on the kinds of the arguments: call {self.__name__} once, then look ({error})"
            ) from error

    def _find_call(self, *args: Any) -> Any:
        return self._slow_call(args, {})

    def _slow_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call with arguments of any form; the next one of the same types is quick."""
        options = self._options
        if kwargs:
            given = {name: kwargs.pop(name) for name in self._call_options if name in kwargs}
            options = {**options, **checked(given)}
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            unknown = self._call_options and kwargs.keys() - {*self._names}
            advice = f"; its options are {', '.join(self._call_options)}" if unknown else ""
            raise ADTypeError(f"{self.__name__}(): {error}{advice}") from None
        bound.apply_defaults()
        values = list(bound.arguments.values())
        chosen = self._wrt or ()
        kinds = []
        for i, name in enumerate(self._names):
            values[i] = adapt(name, values[i])
            kinds.append(structure_of(name, values[i], name in chosen))
        special = self._special(tuple(kinds), code_options(options))
        for_tape, shows = tape_options(options), shown(options)
        special.compile(values, for_tape, shows)
        call = special.call(for_tape, shows)
        same = len(args) == len(values) and all(a is b for a, b in zip(args, values, strict=True))
        if self._all_positional and same and options is self._options:
            self._quick = checked_call(args, kinds, *special.shortcut(call), self._find_call)
        return call(*special.leaves(values))

    def _library(self, code: CodeOptions) -> Library:
        if code not in self._libraries:
            self._libraries[code] = Library(code.boundscheck, code.fastmath)
        return self._libraries[code]

    def _special(self, kinds: tuple[Structure, ...], code: CodeOptions) -> Specialisation:
        with self._lock:
            special = self._specials.get((code, kinds))
            if special is None:
                with suppress(RecursionError):
                    special = self._specials[code, kinds] = self._make_special(kinds, code)
            if special is None:
                self._library(code).source(self._user).refuse(TOO_DEEP, None)
            self._latest = kinds, code
            return special

    def _make_special(
        self,
        kinds: tuple[Structure, ...],
        code: CodeOptions,
        assuming: bool = True,
        planned: bool = False,
        counted: bool = False,
    ) -> Specialisation:
        by_name = dict(zip(self._names, kinds, strict=True))
        wrt = self._wrt or tuple(n for n in self._names if has_float(by_name[n]))
        if not wrt:
            raise ADTypeError(
                f"{self._plain.__name__}() has no float argument to differentiate with respect to: pass 1.0, not 1"
            )
        library = self._library(code)
        function = library.specialise(self._user, kinds)
        library.require_float(function)
        # A tuple has a parameter for each of its leaves.
        inner = iter(function.params)
        params = {n: [next(inner) for _ in leaves(kind)] for n, kind in by_name.items()}
        floats = {n: [p for p, k in zip(params[n], leaves(by_name[n]), strict=True) if k.is_float] for n in wrt}
        counting = Counting() if counted else None
        program = Program(code, assuming, parallel=not code.debug, counting=counting)
        unit = program.gradient(function, tuple(p for n in wrt for p in floats[n]), planned)
        to_plan = 0 if code.debug else len(can_be_planned(function))
        findings = Findings(instrument(unit)) if code.debug else None
        results = tuple(by_name[n] for n in wrt)
        make = partial(self._make_special, kinds, code, assuming=assuming, planned=planned, counted=counted)
        names = tuple(n for n in self._names for _ in leaves(by_name[n]))
        return Specialisation(
            function,
            Kernel.of(emit(unit)),
            unit,
            kinds,
            names,
            results,
            self._bare and len(wrt) == 1,
            self._with_value,
            wrt,
            findings,
            code.inplace == "update",
            partial(make, assuming=False) if program.assumed else None,
            to_plan,
            partial(make, planned=True) if to_plan and not planned else None,
            counting,
            partial(make, counted=True) if program.marked and not counted else None,
        )


def _names_of(wrt: Wrt, names: tuple[str, ...], function: str) -> tuple[str, ...] | None:
    """The names of the arguments that `wrt` asks for; None for all floats."""
    if wrt is None:
        if not names:
            raise ADTypeError(f"{function}() has no arguments")
        return None
    if not isinstance(wrt, str | int | Sequence):
        raise ADTypeError(f"wrt: a name, an index or a sequence of these, not {wrt!r}")
    listed = [wrt] if isinstance(wrt, str | int) else list(wrt)
    if not listed:
        raise ADValueError("wrt is empty: name at least one argument")
    found: list[str] = []
    for item in listed:
        if isinstance(item, str):
            if item not in names:
                raise ADValueError(f"wrt: {function}() has no argument {item!r}; it has {', '.join(names)}")
            name = item
        elif isinstance(item, int) and not isinstance(item, bool):
            if not -len(names) <= item < len(names):
                raise ADValueError(f"wrt: {function}() has {len(names)} arguments, there is no index {item}")
            name = names[item]
        else:
            raise ADTypeError(f"wrt: a name, an index or a sequence of these, not {item!r}")
        if name in found:
            raise ADValueError(f"wrt names {name!r} twice")
        found.append(name)
    return tuple(found)
