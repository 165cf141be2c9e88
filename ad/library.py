"""Functions that call each other: parsed once, specialised for the kinds of their arguments."""

from ad.errors import ADTypeError
from ad.expressions import UserFunction
from ad.flow import check_assigned
from ad.function import Function, Options
from ad.ir import Kind, Place
from ad.kinds import assign_kinds
from ad.parse import Parsed, parse
from ad.source import Source

__all__ = ["Library"]


class Library:
    """Specialisations of user functions, each made once."""

    def __init__(self) -> None:
        self._parsed: dict[UserFunction, Parsed] = {}
        self._made: dict[tuple[UserFunction, tuple[Kind, ...]], Function] = {}
        self._under_way: list[tuple[UserFunction, Source]] = []

    def parsed(self, function: UserFunction) -> Parsed:
        if function not in self._parsed:
            self._parsed[function] = parse(Source.of(function.function))
        return self._parsed[function]

    def specialise(self, function: UserFunction, kinds: tuple[Kind, ...], at: Place | None = None) -> Function:
        """The typed function for arguments of these kinds; `at` is where the caller calls it.

        Raises UnsupportedSyntax for what is outside the subset, recursion included.
        """
        key = (function, kinds)
        if key in self._made:
            return self._made[key]
        if any(f == function for f, _ in self._under_way):
            self._under_way[-1][1].refuse(
                f"{function.function.__name__}() calls itself, which is not supported: write a loop", at
            )
        parsed = self.parsed(function)
        self._under_way.append((function, parsed.source))
        try:
            made = assign_kinds(parsed, kinds, Options.of(function.dispatcher), self.specialise)
            check_assigned(made)
        finally:
            self._under_way.pop()
        if made.result_kind is Kind.BOOL or made.result_kind.is_array:
            parsed.source.refuse(
                f"{parsed.name}() returns a {made.result_kind.value}: return a float", parsed.result_place
            )
        self._made[key] = made
        return made

    def require_float(self, f: Function) -> None:
        """Raise unless the result is a float."""
        if f.result_kind is not Kind.FLOAT:
            raise ADTypeError(f"{f.name}() returns an {f.result_kind.value}, which has no derivative: return a float")
