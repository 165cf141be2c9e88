"""A function in the user's terms: lines of the file, names, and expressions as they were written."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property

from ad.emit import text_of
from ad.helpers import GATHER
from ad.ir import Assign, Call, Const, Expr, Index, Kind, Len, Like, Stmt, Store, Var, substitute, walk_stmts
from ad.primitive import Primitive
from ad.records import Facts
from ad.report import Line
from ad.source import Source

__all__ = ["Terms", "line_of"]

_DEEP = 3
"""How deep expressions are put in the place of names within expressions."""


def line_of(source: Source, number: int) -> Line:
    return Line(number, source.line(number), source.name, source.filename)


class Terms:
    """The facts about a function, to speak about it."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def line(self, s: Stmt) -> Line:
        return line_of(s.source or self.facts.function.source, s.line)

    def lines(self, stmts: Iterable[Stmt]) -> tuple[Line, ...]:
        return tuple(sorted({self.line(s) for s in stmts}, key=lambda line: (line.function, line.number)))

    def called(self, name: str) -> str:
        """What the user calls a variable, by itself."""
        return self.facts.function.called.get(name, name).partition(" of ")[0]

    def text(self, e: Expr, most: int = 50) -> str:
        """An expression in the user's terms, cut where it is longer than `most`."""
        text = text_of(self.plain(e, 0), self.kinds)
        return text if len(text) <= most else f"{text[: most - 3]}..."

    def plain(self, e: Expr, depth: int) -> Expr:
        """An expression with the user's names.  What has none is replaced by what it stands for."""
        f = self.facts.function

        def change(part: Expr) -> Expr | None:
            match part:
                case Var(name) if name in f.called:
                    return Var(self.called(name))
                case Var(name) if depth < _DEEP and (value := self.definitions.get(name)) is not None:
                    return self.plain(value, depth + 1)
                case Call(callee, (Var(name), index)) if callee is GATHER:
                    return Index(self.called(name), substitute(index, change))
                case Call(Primitive(compiled=found) as callee, args, keywords) if found is not None:
                    plain = replace(callee, compiled=None)
                    return Call(plain, tuple(substitute(a, change) for a in args), keywords)
                case Index(name, index):
                    return Index(self.called(name), substitute(index, change))
                case Len(name, axis):
                    return Len(self.called(name), axis)
                case Like(name):
                    return Like(self.called(name))
            return None

        return substitute(e, change)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """Those of variables under both of their names."""
        kinds = self.facts.function.kinds
        return {**kinds, **{self.called(name): kind for name, kind in kinds.items()}}

    @cached_property
    def definitions(self) -> dict[str, Expr]:
        """What variables stand for that are assigned at one place only, and never written to."""
        found: dict[str, list[Expr]] = {}
        written: set[str] = set()
        for s in walk_stmts(self.facts.function.body):
            match s:
                case Assign(target, value):
                    found.setdefault(target, []).append(value)
                case Store(array):
                    written.add(array)
        once = {name: e[0] for name, e in found.items() if len(e) == 1 and name not in written}
        return {name: e for name, e in once.items() if not isinstance(e, Const)}
