"""Generated functions of one gradient: the gradient itself, and forward and reverse sweeps of what it calls."""

from dataclasses import replace

import numpy as np

from ad.counting import Counting
from ad.function import Function
from ad.helpers import ZEROS_LIKE
from ad.ir import (
    WHOLE_AXIS,
    Assign,
    Block,
    Call,
    Cast,
    Comment,
    Computed,
    Const,
    Expr,
    If,
    Kind,
    MultiAssign,
    Place,
    Return,
    Stmt,
    Store,
    Var,
    assigned,
    parts_of,
)
from ad.looped import looped
from ad.lower import Lowered, lower
from ad.names import Namer
from ad.options import CodeOptions
from ad.planned import loops_planned
from ad.primitive import Primitive, primitive
from ad.records import Facts
from ad.remake import remade
from ad.reverse import Pair, Sweeps, sweep
from ad.runtime import assume
from ad.shapes import fitted
from ad.source import TOO_DEEP
from ad.symbolic import ONE, ZERO
from ad.tbr import Saves, find_saves
from ad.unit import SWEEP_BACK, Effects, Importer, Unit, effects
from tape.numba import failed

__all__ = ["Program"]

_DEEPEST = 90
_ASSUME = Primitive(assume, ())


class Program:
    """Makes the units of a gradient, each once.

    `parallel` says that its loops over ``prange`` run in lanes.  With `counting`, functions that have a tape take the
    address of counts after its handle, and count the trips of marked loops.
    """

    def __init__(
        self,
        code: CodeOptions | None = None,
        assuming: bool = False,
        parallel: bool = False,
        counting: Counting | None = None,
    ) -> None:
        self._code = code or CodeOptions()
        self._counting = counting
        self._assuming = assuming
        self._parallel = parallel
        self.assumed: list[Expr] = []
        """What the gradient assumes of lengths: where that is not so, it ends by NotAsAssumed before all else."""
        self.schedules: list[Computed] = []
        """Those that marked loops ask for, by their numbers."""
        self.marked = False
        """Whether there are loops whose trips the reverse sweep runs again, in what was made so far."""
        self._exact = self._code.record != "f4"
        self._primals: dict[Function, Unit] = {}
        self._pairs: dict[tuple[Function, tuple[bool, ...]], Pair] = {}
        self._making: dict[tuple[Function, tuple[bool, ...]], Pair] = {}
        self._recursive: set[tuple[Function, tuple[bool, ...]]] = set()

    def primal(self, f: Function) -> Unit:
        """The function itself, for calls that carry no derivative."""
        if f not in self._primals:
            unit = self._primals[f] = Unit(f.name, f.params, (), f.options, "", result_kind=f.result_kind)
            body = (*Importer(f.kinds, self.primal).block(f.body), Return((Var(f.result),)))
            doc, facts = f"{f.name}() itself.", Facts(f)
            unit.fill(
                Unit(f.name, f.params, body, f.options, doc, None, f.kinds, facts=facts, result_kind=f.result_kind)
            )
        return self._primals[f]

    def reads(self, f: Function, active: tuple[bool, ...]) -> tuple[bool, ...]:
        return self.pair(f, active).reads

    def _lowered(self, f: Function, active: tuple[bool, ...], assuming: bool = False) -> Lowered:
        wrt = {p for p, a in zip(f.params, active, strict=True) if a}
        f, assumed = looped(f, wrt, assuming)
        self.assumed += assumed
        lowered = lower(f, wrt, self.reads)
        _check_depth(lowered.function)
        return lowered

    def pair(self, f: Function, active: tuple[bool, ...]) -> Pair:
        """The two sweeps of a called function for a mask of active parameters."""
        key = (f, active)
        if key in self._making:
            self._recursive.add(key)
            return self._making[key]
        if key not in self._pairs:
            tape = f.namer.fresh("_tape")
            forward, reverse = (
                Unit(f"{f.name}_{part}", (), (), f.options, "", tape, result_kind=f.result_kind)
                for part in ("forward", "reverse")
            )
            if f.rerun:
                forward = self.primal(f)
            self._making[key] = Pair(forward, reverse, active, tuple(True for _ in f.params))
            made = self._make_pair(f, active)
            shell = self._making.pop(key)
            if key in self._recursive:
                shell.forward.fill(made.forward)
                shell.reverse.fill(made.reverse)
                made = shell
            self._pairs[key] = made
        return self._pairs[key]

    def _make_pair(self, f: Function, active: tuple[bool, ...]) -> Pair:
        split = not f.rerun
        lowered = self._lowered(f, active)
        lowered, again = remade(lowered if split else fitted(lowered), split)
        saves = replace(find_saves(lowered, split, self._exact), arrays=again)
        made = self._sweep(lowered, saves, None, split)
        low = lowered.function
        handle = tuple(name for name in (made.tape, made.counts) if name is not None)
        forward = self.primal(f)
        name, back = f"{f.name}_reverse", made.reverse
        doc = f"Reverse sweep of {f.name}(): from the adjoint of its result to those of its arguments."
        if f.rerun:
            name, doc = f"{f.name}_rerun", f"{f.name}() again, recording, and its reverse sweep at once."
            once_more = _without_result(made.forward, f.result, effects(made.reverse))
            back = [Comment("forward sweep"), *once_more, Comment(SWEEP_BACK), *made.reverse]
        elif made.tape:
            body = (*made.forward, Return((Var(f.result),)))
            recording = f"{f.name}(), recording what its reverse sweep needs."
            forward = self._unit(f"{f.name}_forward", (*handle, *f.params), body, f, recording, made)
        found = effects(back)
        given = set(f.params) if f.rerun else set(f.params) - assigned(low.body)
        reads = tuple(p in found.reads and p in given for p in f.params)
        if (f, active) in self._recursive:
            reads = tuple(True for _ in f.params)
        arrays = [p for p, k, a in zip(f.params, f.param_kinds, active, strict=True) if a and k.is_array]
        floats = [p for p, k, a in zip(f.params, f.param_kinds, active, strict=True) if a and not k.is_array]
        params = (
            *handle,
            *(p for p, read in zip(f.params, reads, strict=True) if read),
            *(made.adjoint_names.get(p) or low.namer.fresh(f"{p}_b") for p in arrays),
            made.adjoint_names[f.result],
        )
        results = tuple(made.adjoints.get(p, ZERO) for p in floats)
        reverse = self._unit(name, params, (*back, Return(results)), f, doc, made)
        return Pair(forward, reverse, active, reads)

    def gradient(self, f: Function, wrt: tuple[str, ...], planned: bool = False) -> Unit:
        """The function that returns the value and the gradient.

        With loops `planned`, where it has some to plan, the address of the planner comes before the parameters of `f`.

        Its parameters are the tape's handle (where it records anything), those of its lanes (where it has loops in
        lanes, and then it has a tape), the address of the counts (where it counts and has a tape) and those of `f`.  It
        returns the value, then the derivatives with respect to `wrt` in that order; where it uses a tape, first of all
        the tape's status, 0 if all is well.  A pop that fails ends it by PopFailed.
        """
        f = loops_planned(f) if planned else f
        active = tuple(p in wrt for p in f.params)
        lowered = self._lowered(f, active, self._assuming)
        lowered, again = remade(fitted(lowered), split=False)
        saves = replace(find_saves(lowered, split=False, exact=self._exact), arrays=again)
        made = self._sweep(lowered, saves, ONE, False, self._parallel)
        kinds = dict(zip(f.params, f.param_kinds, strict=True))
        namer = lowered.function.namer

        value: Expr = Var(f.result)
        forward: list[Stmt] = list(made.forward)
        if f.result in effects(made.reverse).writes:
            name = namer.fresh("value")
            forward.append(MultiAssign((name,), value))
            value = Var(name)
        last: list[Stmt] = []
        gradient: list[Expr] = []
        for p in wrt:
            gradient.append(self._result(p, kinds[p], made, namer, last))
        handle: tuple[str, ...] = ()
        if made.tape:
            handle = tuple(name for name in (made.tape, made.lanes, made.counts) if name is not None)
            status = namer.fresh("status")
            check_tape = Call(Primitive(failed, ()), (Var(made.tape),))
            zeros = tuple(_nothing(p, kinds[p]) for p in wrt)
            check: list[Stmt] = [
                MultiAssign((status,), check_tape),
                If(Var(status), (Return((Var(status), value, *zeros)),), ()),
            ]
            result = Return((Var(status), value, *gradient))
        else:
            check, result = [], Return((value, *gradient))
        if self._code.inplace == "update":
            forward = self._updated(f, forward, namer, made.bits)
        first = [MultiAssign((), Call(_ASSUME, (condition,))) for condition in self.assumed]
        body = [*first, Comment("forward sweep"), *forward, *check, Comment(SWEEP_BACK), *made.reverse, *last, result]
        doc = f"Value and gradient of {f.name}() with respect to {', '.join(wrt)}."
        unit = self._unit(f"{f.name}_grad", (*handle, *f.params), tuple(body), f, doc, made)
        unit.lanes, unit.schedules = made.lanes, tuple(self.schedules)
        return unit

    def _sweep(self, lowered: Lowered, saves: Saves, seed: Expr | None, split: bool, parallel: bool = False) -> Sweeps:
        how = self.pair, self.primal, self.schedules, self._exact, parallel, self._counting
        made = sweep(lowered, saves, seed, split, *how)
        self.marked = self.marked or bool(made.facts.replayed)
        return made

    def _unit(self, name: str, params: tuple[str, ...], body: Block, f: Function, doc: str, made: Sweeps) -> Unit:
        single = self._code.record == "f4"
        more = made.tape, made.kinds, single, made.bits, made.facts
        return Unit(name, params, body, f.options, doc, *more, result_kind=f.result_kind)

    def _updated(self, f: Function, forward: list[Stmt], namer: Namer, bits: str | None) -> list[Stmt]:
        """The forward sweep, with what it has written to copies of arguments written to these at its end."""
        out, back = list(forward), []
        first = 0 if bits is None else 1  # decisions start before the copies
        for k, p in enumerate(f.copied):
            at = first + 2 * k
            copy = out[at]
            assert isinstance(copy, Assign) and copy.value == Call(primitive(np.copy), (Var(p),)), copy
            kept = namer.fresh(f"{p}_final")
            out.insert(at + 1, Assign(kept, Var(copy.target)))
            back.append(Store(p, WHOLE_AXIS, Var(kept)))
        return [*out, *back]

    def _result(self, p: str, kind: Kind, made: Sweeps, namer: Namer, last: list[Stmt]) -> Expr:
        """The derivative with respect to a parameter, of the kind of the parameter."""
        found = made.adjoints.get(p)
        if kind.is_array:
            return found if found is not None else Call(ZEROS_LIKE, (Var(p),))
        found = found if found is not None else ZERO
        if kind in (Kind.FLOAT, Kind("complex128")):
            return found
        name = namer.fresh(f"{p}_b")
        last.append(Assign(name, Cast(kind, found)))
        return Var(name)


def _without_result(forward: list[Stmt], result: str, back: Effects) -> list[Stmt]:
    """A forward sweep without its last statement, where that makes a result that nobody reads, and records nothing."""
    match forward[-1:]:
        case [Assign(_, Call(Unit() as callee))] if callee.tape is not None:
            return forward
        case [Assign(target)] if target == result and result not in back.reads:
            return forward[:-1]
    return forward


def _nothing(p: str, kind: Kind) -> Expr:
    """A value of the type of a derivative, for where there is none."""
    if kind.is_array:
        return Call(ZEROS_LIKE, (Var(p),))
    return Const(0.0) if kind is Kind.FLOAT else Cast(kind, Const(0.0))


def _check_depth(f: Function) -> None:
    """Raise where statements stand in one another deeper than Python has levels of indentation."""
    level: Block = f.body
    for _ in range(_DEEPEST):
        level = tuple(part for s in level for part in parts_of(s))
    if level:
        (level[0].source or f.source).refuse(TOO_DEEP, Place(level[0].line))
