"""Reverse loops that gather: every element of an array that the trips add to is added to once.

The adjoint of a stencil adds to several elements at every trip, ``ub[i - 1] += ...; ub[i] += ...``: what one trip adds
the next one reads again, and no compiler vectorises that.  Here a trip of the loop collects what several trips of the
user's loop, the `lead` of which is counted from the first of them, add to one element.  Trips near the ends, whose
elements get less, have small loops of their own.  The loop runs upwards: backwards, compilers turn every vector round.

What is added to an element is linear in the adjoint that it comes from, so that may be factored out: ``g * a + g * b``
is ``g * (a + b)`` where that is less work.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ad.collect import collected
from ad.function import kind_of
from ad.ir import (
    AddTo,
    Assign,
    Binary,
    Block,
    Call,
    Comment,
    Compare,
    Const,
    Expr,
    For,
    If,
    Index,
    Kind,
    Select,
    Stmt,
    Store,
    Unary,
    Var,
    expressions,
    names,
    substitute,
    walk,
)
from ad.primitive import primitive
from ad.ranges import shifted
from ad.symbolic import add, coefficient, mul
from ad.trips import Add, Stream, Trip, offset_of
from ad.windows import Windows

__all__ = ["gathered"]

_MAX, _MIN = primitive(max), primitive(min)
_SLOW = 8
"""Additions that take as long as a division or a call."""
_LONG = 64
"""Operations of an expression that is not worth factoring."""

_Line = tuple[Comment | None, Stmt]


def gathered(trip: Trip) -> list[Stmt]:
    """The loops that do what the trips do, in the place of the loop from the last trip to the first."""
    return _Gather(trip).run()


@dataclass
class _Term:
    """What is added to an element of a stream, `lead` trips ahead of the loop's variable."""

    made: Add
    lead: int
    value: Expr


class _Gather:
    def __init__(self, trip: Trip) -> None:
        self.trip = trip
        self.s = trip.places.s
        self.context = trip.places.context
        along = [a for a in trip.adds if a.place.axis is not None]
        tops: dict[Stream, int] = {}
        for a in along:
            tops[a.place.stream] = max(tops.get(a.place.stream, a.place.offset), a.place.offset)
        self.terms = [_Term(a, tops[a.place.stream] - a.place.offset, a.value) for a in along]
        self.width = max((t.lead for t in self.terms), default=0)
        self.ahead: dict[tuple[str, int], str] = {}
        self.fixed, self.kept = self.find_fixed(), self.find_kept()
        self.scattered: list[_Line] = [(t.made.comment, AddTo(t.made.target, t.value)) for t in self.terms]
        whole = self.body([*self.fixed, *self.scattered, *self.kept])
        reached = [trip.places.of(e) for _, line in whole for e in _elements(line)]
        self.windows = Windows(trip.places, reached)

    def run(self) -> list[Stmt]:
        s, fixed, kept = self.s, self.fixed, self.kept
        if self.width == 0:
            return [*self.windows.made(), self.loop(s.start, s.stop, [*self.scattered, *fixed, *kept])]
        last = self.context.fresh("last", Kind.INT)
        low = [self.where(t, "<", shifted(s.start, t.lead)) for t in self.terms if t.lead > 0]
        high = [self.where(t, ">=", Binary("+", Var(last), Const(t.lead))) for t in self.terms if t.lead < self.width]
        out: list[Stmt] = [*self.windows.made()]
        if fixed:
            out.append(self.loop(s.start, s.stop, fixed))
        end = Call(_MIN, (shifted(s.start, self.width), s.stop))
        out.append(self.loop(s.start, end, low))
        out.append(Assign(last, Call(_MAX, (shifted(s.stop, -self.width), s.start))))
        out.append(self.loop(s.start, Var(last), [*self.sums_of_terms(), *kept]))
        out.append(self.loop(Var(last), s.stop, [*high, *kept]))
        return out

    # ------------------------------------------------------------------------------------------ what a trip does

    def find_fixed(self) -> list[_Line]:
        """Sums that do not go along with the loop."""
        kinds = self.context.kinds
        sums: list[_Line] = [
            (c, AddTo(Var(name), value, any_order=kinds[name] is kind_of(value, kinds) is Kind.FLOAT))
            for name, value, c in self.trip.sums
        ]
        return sums + [(a.comment, AddTo(a.target, a.value)) for a in self.trip.adds if a.place.axis is None]

    def find_kept(self) -> list[_Line]:
        """The new values of elements that belong to the trip."""
        return [(None, Store(e.array, e.index, value)) for e, value in self.trip.elements.values()]

    def where(self, t: _Term, op: str, bound: Expr) -> _Line:
        """What a trip near an end adds to an element that the loop between the ends does not reach."""
        stmt: Stmt = AddTo(t.made.target, t.value)
        always = t.lead == self.width if op == "<" else t.lead == 0
        return t.made.comment, stmt if always else If(Compare(Var(self.s.var), (op,), (bound,)), (stmt,), ())

    def sums_of_terms(self) -> list[_Line]:
        values = self.cheapest()
        out: list[_Line] = []
        for stream in dict.fromkeys(t.made.place.stream for t in self.terms):
            own = [(t, v) for t, v in zip(self.terms, values, strict=True) if t.made.place.stream == stream]
            own.sort(key=lambda pair: -pair[0].lead)  # the user's trips from the last to the first
            target = own[-1][0].made.target
            total = self.at(own[0][1], own[0][0].lead)
            for t, value in own[1:]:
                total = add(total, self.at(value, t.lead))
            out.append((own[0][0].made.comment, AddTo(target, total)))
        return out

    # ----------------------------------------------------------------------------------------------- its text

    def loop(self, start: Expr, stop: Expr, lines: Sequence[_Line]) -> For:
        body = [(comment, self.windowed(line)) for comment, line in self.body(lines)]
        return For(self.s.var, start, stop, Const(1), tuple(_with_comments(body)))

    def windowed(self, line: Stmt) -> Stmt:
        if isinstance(line, If):
            return replace(line, then=tuple(self.windows.stmt(s) for s in line.then))
        return self.windows.stmt(line)

    def body(self, lines: Sequence[_Line]) -> list[_Line]:
        """Lines after the variables that they need, those of later trips first."""
        roots = [root for _, line in lines for s in _leaves(line) for root in expressions(s)]
        read = names(*roots)
        made: list[_Line] = []
        for lead in range(self.width, -1, -1):
            here = [t for t in self.trip.temporaries if (self.ahead.get((t, lead)) if lead else t) in read]
            for t in self.trip.needed([Var(t) for t in here]):
                value = self.at(self.trip.temporaries[t], lead)
                made.append((self.trip.comments[t], Assign(self.name(t, lead), value)))
        return made + list(lines)

    def name(self, temporary: str, lead: int) -> str:
        """The variable of a trip so far ahead."""
        if lead == 0:
            return temporary
        if (temporary, lead) not in self.ahead:
            self.ahead[temporary, lead] = self.context.fresh(temporary, self.context.kinds[temporary])
        return self.ahead[temporary, lead]

    def at(self, e: Expr, lead: int) -> Expr:
        """An expression of a trip so far ahead."""
        var, temporaries = self.s.var, self.trip.temporaries

        def change(part: Expr) -> Expr | None:
            if (offset := offset_of(part, var)) is not None:
                return shifted(Var(var), offset + lead)
            if isinstance(part, Var) and part.name in temporaries:
                return Var(self.name(part.name, lead))
            return None

        return substitute(e, change) if lead else e

    # ------------------------------------------------------------------------------------------------- its work

    def cheapest(self) -> list[Expr]:
        """The value of each term, with its adjoint factored out where those of one trip are less work then."""
        chosen: list[Expr] = [t.value for t in self.terms]
        for lead in {t.lead for t in self.terms}:
            at = [k for k, t in enumerate(self.terms) if t.lead == lead]
            plain = [self.terms[k].value for k in at]
            other = [self.factored(v) or v for v in plain]
            if self.work(other) < self.work(plain):
                for k, value in zip(at, other, strict=True):
                    chosen[k] = value
        return chosen

    def work(self, values: Sequence[Expr]) -> int:
        needed = self.trip.needed(values)
        return sum(self.operations(e) for e in (*values, *(self.trip.temporaries[t] for t in needed)))

    def varies(self, e: Expr) -> bool:
        return self.s.var in names(e) or not self.trip.temporaries.keys().isdisjoint(names(e))

    def operations(self, e: Expr) -> int:
        """What an expression takes at every trip; compilers move what is the same at all of them out of the loop."""
        total = 0
        for part in walk(e):
            if isinstance(part, Binary | Unary | Call | Select) and self.varies(part):
                plain = isinstance(part, Unary) or (isinstance(part, Binary) and part.op in "+-*")
                total += 1 if plain else _SLOW
        indices = [p.index for p in walk(e) if isinstance(p, Index)]
        return total - sum(self.operations(i) for i in indices)

    def factored(self, value: Expr) -> Expr | None:
        """``g * c`` of the value, g the first of its variables that this can be done with."""
        sizes: dict[str, int] = {}
        for name, made in self.trip.temporaries.items():
            sizes[name] = 1 + self.operations(made) + sum(sizes.get(n, 0) for n in _reads(made))
        if sum(sizes.get(n, 0) for n in _reads(value)) > _LONG:
            return None
        for seed in self.trip.needed([value]):
            if self.context.kinds[seed] is Kind.FLOAT:
                found = coefficient(self.written_out(value, seed), seed)
                if found is not None:
                    return mul(Var(seed), collected(found, self.varies))
        return None

    def written_out(self, e: Expr, seed: str) -> Expr:
        """An expression without variables that rest on `seed`, but for itself."""

        def change(part: Expr) -> Expr | None:
            match part:
                case Var(name) if name != seed and name in self.trip.temporaries:
                    if seed in self.trip.needed([part]):
                        return self.written_out(self.trip.temporaries[name], seed)
            return None

        return substitute(e, change)


def _with_comments(lines: Sequence[_Line]) -> list[Stmt]:
    """Statements with a comment wherever those of another line begin."""
    out: list[Stmt] = []
    last: Comment | None = None
    for comment, s in lines:
        if comment is not None and comment is not last:
            out.append(comment)
            last = comment
        out.append(s)
    return out


def _leaves(s: Stmt) -> Block:
    return s.then if isinstance(s, If) else (s,)


def _reads(e: Expr) -> list[str]:
    """The variables of an expression, each as often as it is read."""
    return [part.name for part in walk(e) if isinstance(part, Var)]


def _elements(s: Stmt) -> Iterator[Index]:
    """The elements of arrays that a statement reads, adds to or writes."""
    match s:
        case AddTo(Index() as target):
            yield target
        case Store(array, index):
            yield Index(array, index)
    for root in expressions(s):
        yield from (e for e in walk(root) if isinstance(e, Index))
