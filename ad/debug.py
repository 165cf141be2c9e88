"""Debug mode: a pass over the finished functions of a gradient, before they become text.

Every push is followed by that of a tag, the number of its place in the program, and every pop comes after a check of
the tag.  So that they have tags, decisions are pushed one by one instead of 63 to a word.  What statements compute, and
what is added to adjoints, is checked for NaN and infinity; what was there before is not looked at again.  All functions
take one more argument, the notes of the call (ad.checks).
"""

from dataclasses import replace
from typing import Any

import numpy as np

from ad import runtime
from ad.alias import viewed
from ad.checks import check_adjoint, check_tag, check_value
from ad.findings import Spot
from ad.function import is_element, kind_of
from ad.helpers import ADD_FITTING, ADD_TO, GATHER, SCATTER, SCATTER_ADD, ZEROS_LIKE
from ad.ir import (
    AddTo,
    Assign,
    Binary,
    Block,
    Call,
    Comment,
    Const,
    Expr,
    For,
    If,
    Index,
    Items,
    Kind,
    MultiAssign,
    Pop,
    Push,
    Return,
    Slice,
    Stmt,
    Store,
    Var,
    While,
    map_expressions,
    substitute,
    walk,
)
from ad.names import Namer
from ad.primitive import Primitive
from ad.records import Site
from ad.report import Line
from ad.terms import Terms, line_of
from ad.unit import Unit, effects

__all__ = ["instrument"]

_CHECK_VALUE, _CHECK_ADJOINT, _CHECK_TAG = (Primitive(f, ()) for f in (check_value, check_adjoint, check_tag))

_DIVISIONS = {runtime.div: "/", runtime.floordiv: "//", runtime.mod: "%"}
_NEW = {np.empty, np.empty_like, np.zeros, np.zeros_like, np.ones, np.ones_like, np.copy}
"""Functions whose results hold nothing new, or nothing that may be looked at."""


def instrument(main: Unit) -> tuple[Spot, ...]:
    """Put the checks into a gradient and all that it calls; the places that the numbers in its code stand for."""
    book = _Book(main)
    for unit in book.units:  # on the way through one, others are met
        (_Main if unit is main else _Pass)(unit, book).run()
    return tuple(book.spots)


class _Book:
    """The places of a program, and the functions that it has."""

    def __init__(self, main: Unit) -> None:
        function = main.facts.function
        start = line_of(function.source, function.source.tree.lineno)
        self.spots = [Spot(start, f"the beginning of {function.name}()")]
        self.tags: dict[Site, Const] = {}
        self.units = [main]

    def number(self, line: Line, what: str) -> Const:
        self.spots.append(Spot(line, what))
        return Const(len(self.spots) - 1)

    def meet(self, unit: Unit) -> None:
        if unit not in self.units:
            self.units.append(unit)


class _Pass:
    """Puts the checks into one function."""

    def __init__(self, unit: Unit, book: _Book) -> None:
        self.unit = unit
        self.book = book
        self.terms = Terms(unit.facts)
        source = unit.facts.function.source
        self.at = line_of(source, source.tree.lineno)
        """The line whose adjoint is under way."""
        self.kinds = unit.kinds = dict(unit.kinds)
        found = effects(unit.body)
        self.namer = Namer({*self.kinds, *found.reads, *found.writes, *unit.params})
        self.notes = self.namer.fresh("_notes")
        self.found = self.fresh("_tag", Kind.INT)

    def run(self) -> None:
        unit = self.unit
        unit.body = self.body()
        unit.params = self.with_notes(unit, unit.params, self.notes)
        unit.bits = None

    def body(self) -> Block:
        return self.block(self.unit.body)

    def block(self, block: Block) -> Block:
        return tuple(new for s in block for new in self.stmt(s))

    def stmt(self, s: Stmt) -> list[Stmt]:
        s = self.passing_notes(s)
        match s:
            case Comment() if s.line:
                self.at = self.terms.line(s)
            case Push():
                return self.push(s)
            case Pop():
                return self.pop(s)
            case Assign(target) if target == self.unit.bits:
                return []
            case For(body=body) | While(body=body):
                return [replace(s, body=self.block(body))]
            case If(_, then, orelse):
                return [replace(s, then=self.block(then), orelse=self.block(orelse))]
        return self.with_value_checks(s) if s.line else [s, *self.adjoint_checks(s)]

    # --------------------------------------------------------------------------------------------- names

    def fresh(self, wish: str, kind: Kind) -> str:
        name = self.namer.fresh(wish)
        self.kinds[name] = kind
        return name

    def named(self, wish: str, e: Expr, s: Stmt, out: list[Stmt]) -> Var:
        """A variable for a part of a statement, which is computed once."""
        name = self.fresh(wish, kind_of(_plain(e), self.kinds))
        out.append(Assign(name, e, line=s.line, source=s.source))
        return Var(name)

    # --------------------------------------------------------------------------------------------- calls

    def with_notes(self, unit: Unit, args: tuple[Any, ...], notes: Any) -> tuple[Any, ...]:
        """Arguments or parameters of a function, the notes after the tape."""
        front = 0 if unit.tape is None else 1
        return (*args[:front], notes, *args[front:])

    def passing_notes(self, s: Stmt) -> Stmt:
        """The statement with the notes among the arguments of what it calls."""

        def passed(e: Any) -> Any:
            return substitute(e, change)

        def change(e: Expr) -> Expr | None:
            match e:
                case Call(Unit() as callee, args):
                    self.book.meet(callee)
                    return replace(e, args=self.with_notes(callee, tuple(map(passed, args)), Var(self.notes)))
            return None

        match s:
            case AddTo(target=target):
                s = replace(s, target=passed(target))
            case Pop(targets=targets):
                s = replace(s, targets=tuple(map(passed, targets)))
        return map_expressions(s, passed)

    # ---------------------------------------------------------------------------------------------- tags

    def tag(self, s: Push | Pop, values: tuple[Expr, ...]) -> Const:
        """That of a push, which the pop that belongs to it has, too."""
        if s.site not in self.book.tags:
            what = ", ".join(self.text(v) for v in values)
            self.book.tags[s.site] = self.book.number(self.terms.line(s.site.at), what)
        return self.book.tags[s.site]

    def is_bits(self, values: tuple[Expr, ...]) -> bool:
        """Whether these are packed decisions, which there are none of any more."""
        return self.unit.bits is not None and values == (Var(self.unit.bits),)

    def push(self, s: Push) -> list[Stmt]:
        if self.is_bits(s.values):
            return []
        decisions = s.kind is Kind.BOOL
        pushes = [replace(s, values=(value,)) for value in s.values] if decisions else [s]
        return [*pushes, _push_tag(self.tag(s, s.values))]

    def pop(self, s: Pop) -> list[Stmt]:
        if self.is_bits(s.targets):
            return []
        decisions = s.kind is Kind.BOOL
        pops = [replace(s, targets=(target,)) for target in reversed(s.targets)] if decisions else [s]
        return [*self.check_tag(self.tag(s, s.targets)), *pops]

    def check_tag(self, tag: Const) -> list[Stmt]:
        return [Pop((Var(self.found),), Kind.INT), self.check(_CHECK_TAG, tag, Var(self.found))]

    # -------------------------------------------------------------------------------------------- checks

    def check(self, function: Primitive, number: Const, e: Expr) -> Stmt:
        return MultiAssign((), Call(function, (Var(self.notes), number, e)))

    def text(self, e: Expr) -> str:
        return self.terms.text(_plain(e))

    def about(self, e: Expr, of: str = "") -> str:
        """What is checked, in words."""
        element = "an element of " if kind_of(_plain(e), self.kinds).is_array else ""
        return f"{element}{of}{self.text(e)}"

    def check_value(self, s: Stmt, e: Expr, shown: Expr) -> Stmt:
        return self.check(_CHECK_VALUE, self.book.number(self.terms.line(s), self.about(shown)), e)

    def with_value_checks(self, s: Stmt) -> list[Stmt]:
        """A statement of the user's, with checks of what it makes."""
        out: list[Stmt] = []
        match s:
            case Assign(_, Call(Unit() as callee, args) as call):
                # What it returns is checked there.
                call = replace(call, args=self.checked_arguments(s, callee, args, out))
                return [*out, replace(s, value=call)]
            case Assign(target, value) if self.is_float(target) and not self.is_old(value):
                return [s, self.check_value(s, Var(target), Var(target))]
            case Store(array, index, value, op) if self.is_float(array) and (op or not _is_finite(value)):
                place = Index(array, self.settled(index, s, out))
                return [*out, replace(s, index=place.index), self.check_value(s, place, Index(array, index))]
            case MultiAssign((), Call(callee, (Var(array), index, value)) as call) if callee is SCATTER:
                if self.is_float(array) and not _is_finite(value):
                    at = self.settled(index, s, out)
                    new = replace(s, value=replace(call, args=(Var(array), at, value)))
                    items = Call(GATHER, (Var(array), at))
                    return [*out, new, self.check_value(s, items, Index(array, index))]
        return [s]

    def is_float(self, name: str) -> bool:
        return self.kinds[name].is_float

    def is_old(self, value: Expr) -> bool:
        """Whether there is nothing in a value that was not there before."""
        known = isinstance(value, Call) and isinstance(value.callee, Primitive) and value.callee.function in _NEW
        return known or isinstance(value, Var) or _is_finite(value) or viewed(_plain(value), self.kinds) is not None

    def checked_arguments(self, s: Stmt, callee: Unit, args: tuple[Expr, ...], out: list[Stmt]) -> tuple[Expr, ...]:
        """The arguments of a call; those that are computed for it are checked before."""
        kinds = callee.facts.function.param_kinds
        front = len(args) - len(kinds)
        found = list(args[:front])
        for arg, kind in zip(args[front:], kinds, strict=True):
            if kind.is_float and not kind.is_array and not self.is_old(arg) and not isinstance(arg, Index):
                shown, arg = arg, self.named("argument", arg, s, out)
                out.append(self.check_value(s, arg, shown))
            found.append(arg)
        return tuple(found)

    def settled(self, index: Expr, s: Stmt, out: list[Stmt]) -> Expr:
        """An index that stays the same when the statement has changed the array that it is computed from."""

        def change(e: Expr) -> Expr | None:
            if isinstance(e, Items | Slice):
                return None
            read = [p.array if isinstance(p, Index) else p.name for p in walk(e) if isinstance(p, Index | Var)]
            return self.named("index", e, s, out) if any(self.is_float(name) for name in read) else e

        return substitute(index, change)

    def adjoint_checks(self, s: Stmt) -> list[Stmt]:
        """Checks of the adjoints that a statement of the reverse sweep adds to."""
        match s:
            case Assign(target, value) if not self.is_old_adjoint(value):
                return self.adjoint_check(Var(target))
            case AddTo(target):
                return self.adjoint_check(target)
            case MultiAssign((), Call(callee, (Var() | Index() as target, _))) if callee in (ADD_FITTING, ADD_TO):
                return self.adjoint_check(target)
            case MultiAssign((), Call(callee, (Var(array), index, _))) if callee is SCATTER_ADD:
                return self.adjoint_check(Index(array, index))
        return []

    def is_old_adjoint(self, value: Expr) -> bool:
        """Whether there is nothing in an adjoint that was not in another one before."""
        match value:
            case Call(callee, _) if callee is ZEROS_LIKE:
                return True
            case Var(name) | Index(name, _):
                return name in self.terms.facts.adjoints
        return _is_finite(value) or viewed(value, self.kinds) is not None

    def adjoint_check(self, e: Var | Index) -> list[Stmt]:
        own = self.terms.facts.adjoints.get(e.name if isinstance(e, Var) else e.array)
        if own is None:
            return []
        shown = Var(own) if isinstance(e, Var) else Index(own, e.index)
        number = self.book.number(self.at, self.about(shown, "the adjoint of "))
        if isinstance(e, Index) and not is_element(_plain(e.index), self.kinds):
            return [self.check(_CHECK_ADJOINT, number, Call(GATHER, (Var(e.array), e.index)))]
        return [self.check(_CHECK_ADJOINT, number, e)]


class _Main(_Pass):
    """The same for the function that the user calls: arguments are checked, and that the tape ends as it began."""

    def body(self) -> Block:
        f = self.unit.facts.function
        arguments: list[Stmt] = []
        for k, (p, kind) in enumerate(zip(f.params, f.param_kinds, strict=True)):
            if kind.is_float:
                what = "argument" if k < len(f.params) - len(f.constants) else "constant"
                number = self.book.number(self.at, self.about(Var(p), f"the {what} "))
                arguments.append(self.check(_CHECK_VALUE, number, Var(p)))
        head, *body = self.block(self.unit.body)
        end = body.pop()
        assert isinstance(head, Comment) and isinstance(end, Return), "a gradient begins with a comment"
        if self.unit.tape is None:
            return (head, *arguments, *body, end)
        return (head, *arguments, _push_tag(Const(0)), *body, *self.check_tag(Const(0)), end)


def _push_tag(tag: Const) -> Stmt:
    return Push((tag,), Kind.INT)


def _is_finite(e: Expr) -> bool:
    return isinstance(e, Const) and bool(np.isfinite(e.value))


def _plain(e: Expr) -> Expr:
    """An expression as it was before it became a part of generated code."""

    def change(part: Expr) -> Expr | None:
        match part:
            case Call(Primitive(function=function), (left, right)) if function in _DIVISIONS:
                return Binary(_DIVISIONS[function], _plain(left), _plain(right))
            case Call(Unit() as callee, args):
                f = callee.facts.function
                return Call(f, tuple(_plain(a) for a in args[len(args) - len(f.params) :]))
        return None

    return substitute(e, change)
