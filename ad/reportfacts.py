"""From the facts about generated code to a report.

The transformation noted them where it decided (ad.records); nothing is read from the generated text.  The form of what
is recorded is that of tape.handle (numbers), ad.bits (decisions) and tape.arrays (arrays).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ad.function import Function
from ad.ir import (
    Assign,
    Binary,
    Block,
    Call,
    Compare,
    Const,
    Expr,
    For,
    If,
    Kind,
    Push,
    Select,
    Stmt,
    Store,
    Unary,
    Var,
    While,
    children,
    expressions,
    shape_of,
    walk,
    walk_stmts,
)
from ad.records import Facts, Record, Replayed, Site
from ad.report import CheckpointedLoop, Item, Lanes, Line, Loop, Report, Size
from ad.terms import Terms, line_of
from ad.unit import Unit

__all__ = ["report_of"]

_WORD = 8
_SHAPE = shape_of("")
_NOTHING = Size()


def report_of(unit: Unit, wrt: tuple[str, ...], options: Mapping[str, Any]) -> Report:
    """The report on a gradient; `wrt` are the arguments that it is for, as the user calls them."""
    walks: dict[Facts, _Walk] = {}
    main = _Walk(unit.facts, unit.single, walks).view
    function = main.facts.function
    swept, rerun, unchanged, inlined = _Lines(), _Lines(), _Lines(), _Lines()
    small: dict[str, tuple[int, Line]] = {}
    for walk_ in list(walks.values()):
        walk_.note_calls(swept, rerun, unchanged)
        f = walk_.view.facts.function
        for i in f.inlined:
            inlined.add(i.name, line_of(i.source, i.line))
        for array in f.small:
            small.setdefault(array.name, (array.size, line_of(array.source or f.source, array.line)))
    lasting = _lasting(unit.facts)
    items = [replace(i, rerun=i.rerun or facts not in lasting) for facts, w in walks.items() for i in w.items]
    return Report(
        function.name,
        function.source.filename,
        wrt,
        tuple(items),
        tuple(loop for w in walks.values() for loop in w.loops),
        tuple(main.lanes()),
        MappingProxyType({main.called(p): main.writing(p) for p in function.copied}),
        MappingProxyType(small),
        inlined.frozen(),
        swept.frozen(),
        rerun.frozen(),
        unchanged.frozen(),
        tuple(dict.fromkeys(r for w in walks.values() for r in w.view.recomputed())),
        MappingProxyType(main.passive(wrt)),
        MappingProxyType(dict(options)),
        tuple(dict.fromkeys(loop for w in walks.values() for loop in w.replayed)),
    )


def _lasting(main: Facts) -> set[Facts]:
    """The functions that record for longer than a call is run again."""
    found: set[Facts] = set()
    pending = [main]
    while pending:
        facts = pending.pop()
        found.add(facts)
        called = [pair.reverse.facts for _, pair in facts.calls]
        pending += [f for f in called if f not in found and not f.function.rerun]
    return found


class _Lines:
    """Lines under names, each once."""

    def __init__(self) -> None:
        self.found: dict[str, dict[Line, None]] = {}

    def add(self, name: str, line: Line) -> None:
        self.found.setdefault(name, {})[line] = None

    def frozen(self) -> Mapping[str, tuple[Line, ...]]:
        return MappingProxyType({name: tuple(lines) for name, lines in self.found.items()})


# ------------------------------------------------------------------------------ what one function is known to do


class _View(Terms):
    """What is known about a function, as the report has it."""

    def writing(self, p: str) -> Line | None:
        """The first line that writes to an array that starts as a parameter, or changes places with it."""
        f, activity = self.facts.function, self.facts.activity
        assert activity is not None
        copies = [n for n in activity.shared if f.called.get(n) == f.called.get(p)]
        arrays = set().union(*(activity.shared[n] for n in copies))
        return next((self.line(s) for s in walk_stmts(f.body) if isinstance(s, Store) and s.array in arrays), None)

    def lanes(self) -> Iterator[Lanes]:
        for s, roles, copied in self.facts.lanes:
            found = (roles.private, roles.sums, roles.rows, roles.shared, copied)
            known = [sorted({self.called(n) for n in names if n in self.facts.function.called}) for names in found]
            yield Lanes(self.line(s), *map(tuple, known))

    def recomputed(self) -> Iterator[tuple[Line, str]]:
        for s, found in self.facts.derived:
            assert isinstance(s, Assign | Store)
            own = {part for part in walk(s.value) if _computes(part)}
            for e in found.values():
                for part in _outermost(e, own):
                    yield self.line(s), self.text(part, 90)
        for s in walk_stmts(self.facts.again):
            if isinstance(s, Assign) and not isinstance(s.value, Var | Const):
                yield self.line(s), self.text(s.value, 90)
        for name, value in self.facts.remade:
            made = [s for s in walk_stmts(self.facts.function.body) if isinstance(s, Assign) and s.target == name]
            yield self.line(made[0]), self.text(value, 90)

    def passive(self, wrt: tuple[str, ...]) -> dict[str, str]:
        f, activity = self.facts.function, self.facts.activity
        assert activity is not None
        varied, useful, both = activity.anywhere()
        active = {f.called.get(n) for n in both}
        found: dict[str, str] = {}
        given = " or ".join(wrt) if len(wrt) < 4 else "what the gradient is with respect to"
        for name in (*f.params, *f.called):
            called = f.called.get(name, name)
            if name not in f.kinds or not f.kinds[name].is_float or called in active:
                continue
            if name in f.params and name not in varied:
                reason = "no derivative is asked for"
            elif name not in varied:
                reason = f"does not depend on {given}"
            elif name not in useful:
                reason = "the result depends on it in no differentiable way"
            else:
                reason = f"where it depends on {given}, the result depends on it in no differentiable way"
            found.setdefault(called, reason)
        return found


def _computes(e: Expr) -> bool:
    if isinstance(e, Unary) and isinstance(e.operand, Const | Var):
        return False
    return isinstance(e, Binary | Compare | Select | Unary) or (isinstance(e, Call) and bool(e.args))


def _outermost(e: Expr, wanted: set[Expr]) -> Iterator[Expr]:
    if e in wanted:
        yield e
        return
    for part in children(e):
        yield from _outermost(part, wanted)


# --------------------------------------------------------------------------------- walking the forward sweeps


@dataclass
class _Tally:
    """What a block records in one go, loops within it not counted."""

    most: Size = _NOTHING
    least: Size = _NOTHING
    decisions: int = 0
    trip_counts: int = 0
    calls: list[Line] = field(default_factory=list)

    def add(self, other: "_Tally") -> None:
        self.most, self.least = self.most + other.most, self.least + other.least
        self.decisions += other.decisions
        self.trip_counts += other.trip_counts
        self.calls += other.calls

    def add_either(self, a: "_Tally", b: "_Tally") -> None:
        """One of two branches."""
        self.most += a.most | b.most
        self.least += min(a.least, b.least, key=lambda size: (len(size.arrays), size.bytes, size.bits))
        self.decisions += max(a.decisions, b.decisions)
        self.trip_counts += max(a.trip_counts, b.trip_counts)
        self.calls += [*a.calls, *b.calls]


class _Walk:
    """The forward sweep of one function; `walks` has those of all that are met, in this order."""

    def __init__(self, facts: Facts, single: bool, walks: dict[Facts, "_Walk"]) -> None:
        walks[facts] = self
        self.view = _View(facts)
        self.single = single
        self.walks = walks
        self.items: list[Item] = []
        self.loops: list[Loop] = []
        self.replayed: list[CheckpointedLoop] = []
        self.again = False  # in a trip that is recorded when it is run again
        self.calls: list[tuple[str, Line]] = []
        self.tally = _Tally()  # of calls of itself
        self.tally = self.block(facts.forward, (), False)
        for site in facts.kept:
            for record in site.records:
                value = Var(record.name.removesuffix(_SHAPE))
                shape_only = value.name != record.name
                kind = facts.function.kinds[value.name]
                self.items.append(self.item(record, site, value, kind, shape_only, _NOTHING, (), False, False))
        for _, pair in facts.calls:
            if pair.reverse.facts not in walks:  # it records nothing
                _Walk(pair.reverse.facts, single, walks)

    def note_calls(self, swept: "_Lines", rerun: "_Lines", unchanged: "_Lines") -> None:
        derived: dict[tuple[str, Line], Function] = {}
        for s, pair in self.view.facts.calls:
            callee = pair.reverse.facts.function
            derived[callee.name, self.view.line(s)] = callee
        for name, line in self.calls:
            callee = derived.get((name, line))
            (unchanged if callee is None else rerun if callee.rerun else swept).add(name, line)

    def block(self, block: Block, loops: tuple[Line, ...], branch: bool) -> _Tally:
        tally = _Tally()
        for s in block:
            for e in expressions(s):
                for part in walk(e):
                    if isinstance(part, Call) and isinstance(part.callee, Unit):
                        tally.add(self.call(s, part.callee))
            match s:
                case Push():
                    tally.add(self.push(s, loops, branch))
                case For() | While() if s in self.view.facts.replayed:
                    self.run_again(s, self.view.facts.replayed[s], loops)
                case If(_, then, orelse):
                    tally.add_either(self.block(then, loops, True), self.block(orelse, loops, True))
                case For(body=body) | While(body=body):
                    self.loop(s, body, loops)
        return tally

    def run_again(self, s: For | While, replayed: Replayed, loops: tuple[Line, ...]) -> None:
        """A loop that is run again, and what a trip records then."""
        assert s.checkpoints is not None
        sizes = [self.size(tuple(Var(n) for n in group), kind, False) for group, kind in replayed.state]
        state = tuple(self.view.text(Var(n)) for n in replayed.names)
        marks, line = s.checkpoints, self.view.line(s)
        numbers = (self.view.text(e) if e is not None else None for e in (marks.snapshots, marks.period, marks.disk))
        self.replayed.append(CheckpointedLoop(line, state, sum(sizes, _NOTHING), marks.schedule, *numbers))
        outside, self.again = self.again, True
        self.loop(s, replayed.recorded, loops)
        self.again = outside

    def loop(self, s: Stmt, body: Block, loops: tuple[Line, ...]) -> None:
        place, line = len(self.loops), self.view.line(s)
        found = self.block(body, (*loops, line), False)
        numbers = found.decisions, found.trip_counts
        self.loops.insert(place, Loop(line, loops, found.most, found.least, *numbers, tuple(found.calls)))

    def call(self, s: Stmt, unit: Unit) -> _Tally:
        line = self.view.line(s)
        self.calls.append((unit.facts.function.name, line))
        if unit.facts.activity is None:
            return _Tally()
        known = self.walks.get(unit.facts) or _Walk(unit.facts, self.single, self.walks)
        found = _Tally(calls=[line])
        found.add(known.tally)
        # Its decisions are packed by themselves, the last ones into a word that is recorded when it returns.
        found.most, found.least = replace(found.most, bits=0), replace(found.least, bits=0)
        return found

    def push(self, s: Push, loops: tuple[Line, ...], branch: bool) -> _Tally:
        found = _Tally()
        if s.site.snapshot:
            return found
        whole = self.size(s.values, s.kind, s.shape_only)
        whole = replace(whole, bytes=-(-whole.bytes // _WORD) * _WORD)
        found.most = found.least = whole
        for value, record in zip(s.values, s.site.records, strict=True):
            size = self.size((value,), s.kind, s.shape_only)
            item = self.item(record, s.site, value, s.kind, s.shape_only, size, loops, branch, True)
            self.items.append(item)
            found.decisions += item.kind == "decision"
            found.trip_counts += item.kind == "trip count"
        return found

    def item(
        self,
        record: Record,
        site: Site,
        value: Expr,
        kind: Kind,
        shape_only: bool,
        size: Size,
        loops: tuple[Line, ...],
        branch: bool,
        on_tape: bool,
    ) -> Item:
        variable = self.view.text(value)
        text = f"shape of a {kind}" if shape_only else str(kind)
        for s in record.needs:
            if isinstance(s, If) and s.cond == Var(record.name):
                text = "decision"
            elif isinstance(s, For | While) and s.trips == record.name:
                text = "trip count"
        if not record.needs:  # those that fill no word when a function returns
            variable, text = "last decisions", "word"
        lost = self.view.line(record.lost) if record.lost is not None else None
        assert site.at is not None
        line, needs = self.view.line(site.at), self.view.lines(record.needs)
        return Item(variable, text, line, loops, size, needs, lost, record.ends, branch, on_tape, self.again)

    def size(self, values: tuple[Expr, ...], kind: Kind, shape_only: bool) -> Size:
        if kind is Kind.BOOL:
            return Size(bits=len(values))
        narrowed = self.single and kind.dtype in ("float64", "complex128")
        each = np.dtype(kind.dtype).itemsize
        if kind.is_array:
            elements = () if shape_only else ((each // 2 if narrowed else each, self.view.text(values[0])),)
            return Size(kind.ndim * _WORD, arrays=elements)
        parts = len(values) * (2 if kind.is_complex else 1)
        return Size(parts * _WORD // 2 if narrowed else parts * _WORD)
