"""A gradient for one combination of kinds of arguments: its kernel, and how a call reaches it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ad.arguments import flattened
from ad.build import Kernel
from ad.checks import new_notes
from ad.counting import CountedLoop, Counting
from ad.emit import emit
from ad.errors import ADValueError, UnsupportedSyntax
from ad.fastcall import builder
from ad.findings import Findings
from ad.function import Function
from ad.ir import Kind
from ad.library import Structure
from ad.options import TapeOptions, in_force
from ad.planned import can_be_planned
from ad.planning import ADDRESS, Known, Outcome, Planning, under_way
from ad.program import Program
from ad.progress import Line
from ad.report import PlannedLoop, Report
from ad.reportfacts import report_of
from ad.runtime import NotAsAssumed
from ad.scheduling import scheduled
from ad.tapes import latest_tape, on_lanes, on_tape
from ad.terms import line_of
from ad.unit import Unit

__all__ = ["Specialisation"]

Shows = Callable[[], bool | None]
"""What says whether the call that is made now shows how far it is."""


class Specialisation:
    """A gradient for one combination of structures of arguments.

    `names` are the arguments that the kernel's parameters belong to, `results` the structures of those that there are
    derivatives with respect to.  With `findings` the kernel takes notes of a debugging run, and these read them.
    `updates` says that the arguments which the function writes to are written to.  `otherwise` makes what serves where
    arguments are not as this one assumes.  It has `loops` that are planned where there is a memory limit; `planned`
    makes the gradient that does so, in which it is None.  With `counting` it counts the trips of marked loops, for the
    line of a call to show; `counted` makes the gradient that does so.
    """

    def __init__(
        self,
        function: Function,
        kernel: Kernel,
        unit: Unit,
        kinds: tuple[Structure, ...],
        names: tuple[str, ...],
        results: tuple[Structure, ...],
        single: bool,
        with_value: bool,
        wrt: tuple[str, ...],
        findings: Findings | None,
        updates: bool,
        otherwise: Callable[[], "Specialisation"] | None,
        loops: int,
        planned: Callable[[], "Specialisation"] | None,
        counting: Counting | None,
        counted: Callable[[], "Specialisation"] | None,
    ) -> None:
        self.function = function
        self.kernel = kernel
        self.unit = unit
        self.uses_tape = unit.tape is not None
        self.kinds = kinds
        self.names = names
        self.single = single
        self.results = results
        self.with_value = with_value
        self.wrt = wrt
        self.findings = findings
        self.updates = updates
        self._make_otherwise = otherwise
        self._loops = loops
        self._make_planned = planned
        self._planning = loops > 0 and planned is None
        self._plans: Known = {}
        self._counting = counting
        self._make_counted = counted
        self.outcomes: tuple[Outcome, ...] = ()
        self._latest_planned: Specialisation | None = None
        self._compiled = False
        self._plain_results = all(isinstance(r, Kind) for r in results)
        self._structured = builder(results)
        self._written = tuple(function.params.index(p) for p in function.copied)
        arrays = [k for k, p in enumerate(function.params) if function.kinds[p].is_array]
        self._apart = [(i, j) for i in self._written for j in arrays if j > i or j not in self._written]

    @cached_property
    def primal(self) -> Callable[..., float]:
        """The function without its derivative, compiled."""
        compiled = Kernel.of(emit(Program().primal(self.function))).function
        if all(isinstance(k, Kind) for k in self.kinds) and not self.function.constants:
            return compiled
        return lambda *args: compiled(*self.leaves(args), *self.function.constants)

    def report(self, options: Mapping[str, Any]) -> Report:
        """The report, with the options that were given; those of the code are the ones that it was made with."""
        flags = self.function.options
        defaults = {**TapeOptions()._asdict(), "record": "f8", "inplace": "copy"}
        given = {name: value for name, value in options.items() if value is not None}
        made_with = {"boundscheck": flags.boundscheck, "fastmath": flags.fastmath, "checked division": flags.checked}
        found = report_of(self.unit, self.wrt, {**defaults, **given, **made_with})
        planned = self._latest_planned
        return replace(found, planned=planned.planned_loops()) if planned is not None else found

    def planned_loops(self) -> tuple[PlannedLoop, ...]:
        """What the latest call has planned."""
        loops = can_be_planned(self.function)
        lines = [line_of(s.source or self.function.source, s.line) for s in loops]
        return tuple(PlannedLoop.of(lines[o.number], o) for o in self.outcomes)

    def leaves(self, values: Sequence[Any]) -> Sequence[Any]:
        """The numbers and arrays of arguments."""
        return [leaf for v, kind in zip(values, self.kinds, strict=True) for leaf in flattened(v, kind)]

    def compile(self, values: Sequence[Any], options: dict[str, Any], shows: Shows) -> None:
        """Compile for the first arguments that come, with options that are to be used."""
        if not (self.uses_tape and shows()):
            self._compile_for(options, self.leaves(values))

    def _compile_for(self, options: dict[str, Any], leaves: Sequence[Any]) -> None:
        if not self._is_planned(options):
            self._compile(leaves)

    def _compile(self, leaves: Sequence[Any]) -> None:
        if not self._compiled:
            self.check_written(leaves)  # Numba's own words would name no argument
            handle: list[Any] = [0] if self.uses_tape else []
            if self.unit.lanes is not None:
                handle.append(np.zeros(1, np.uint64))
            notes = [new_notes()] if self.findings is not None else []
            counts = [0] if self._counting is not None and self.uses_tape else []
            planner = [ADDRESS] if self._planning else []
            self.kernel.compile([*handle, *notes, *counts, *planner, *leaves, *self.function.constants])
            self._compiled = True

    def call(self, options: dict[str, Any], shows: Shows | None = None, line: Line | None = None) -> Callable[..., Any]:
        """The function of the arguments' leaves to call, with options of its own.

        `shows` says at each call whether it has a line; `line` is that of this call.
        """
        single, with_value = self.single, self.with_value
        plain_results, structured, written = self._plain_results, self._structured, self._written
        kernel = self.on_leaves() if line is None else self._seen(self.on_leaves(), line)
        if self.unit.schedules:
            kernel = scheduled(kernel, self.unit.schedules)
        shows = shows if self.uses_tape else None  # without one there is nothing to show
        if self.unit.lanes is not None:
            run = on_lanes(kernel, options, self.serially)
        else:
            run = on_tape(kernel, options) if self.uses_tape else _pairing(kernel)
        if self.findings is not None:
            run = self.findings.reported(run)
        if self._planning:
            run = self._planned_run(run, options)
        to_plan = self._make_planned is not None

        def call(*leaves: Any) -> Any:
            if shows is not None and shows():
                return self._show(leaves, options)
            if to_plan and self._is_planned(options):
                return self._by_plan(leaves, options, line)
            if written:
                self.check_written(leaves)
            try:
                value, derivatives = run(*leaves)
            except NotAsAssumed:
                return self._without_assuming(leaves, options, line)
            found = derivatives if plain_results else structured(derivatives)
            gradient = found[0] if single else tuple(found)
            return (value, gradient) if with_value else gradient

        return call

    def serially(self, *leaves: Any) -> None:
        """The function itself, without threads: where a trip in a lane has raised, it raises the same."""
        leaves = leaves[1:] if self._planning else leaves
        Kernel.of(emit(Program().primal(self.function))).function(*leaves, *self.function.constants)

    @cached_property
    def _otherwise(self) -> "Specialisation":
        assert self._make_otherwise is not None
        return self._make_otherwise()

    def _without_assuming(self, leaves: Sequence[Any], options: dict[str, Any], line: Line | None) -> Any:
        """A call where the arguments are not as assumed."""
        self._otherwise._compile(leaves)
        return self._otherwise.call(options, line=line)(*leaves)

    @cached_property
    def _counted(self) -> "Specialisation":
        """The gradient whose calls count the trips of marked loops; itself where there are none."""
        return self if self._make_counted is None else self._make_counted()

    def _show(self, leaves: Sequence[Any], options: dict[str, Any]) -> Any:
        """A call with a line on the terminal; without a terminal, one like any other."""
        line = Line()
        if not line.is_shown:
            self._compile_for(options, leaves)
            return self.call(options)(*leaves)
        special = self._counted
        special._compile_for(options, leaves)
        with line:
            try:
                return special.call(options, line=line)(*leaves)
            finally:
                if special._is_planned(options):
                    self._latest_planned = special._latest_planned

    @cached_property
    def _marked_loops(self) -> tuple[CountedLoop, ...]:
        return self._counting.loops(self.unit) if self._counting is not None else ()

    def _seen(self, kernel: Callable[..., Any], line: Line) -> Callable[..., Any]:
        """The kernel, whose tape and counts the line shows."""
        counting = self._counting
        before = sum((True, self.unit.lanes is not None, self.findings is not None))  # of the parameter for counts

        def seen(*args: Any) -> Any:
            tape = latest_tape()
            assert tape is not None
            if counting is None:
                line.see(tape)
                return kernel(*args)
            counts = counting.new_counts()
            line.see(tape, self._marked_loops, counts, under_way() if self._planning else None)
            return kernel(*args[:before], counts.ctypes.data, *args[before:])

        return seen

    @cached_property
    def planned(self) -> "Specialisation | None":
        """The gradient that plans its loops; None where names share arrays in a way that only one loop may have."""
        assert self._make_planned is not None
        try:
            return self._make_planned()
        except UnsupportedSyntax:
            return None

    def _is_planned(self, options: dict[str, Any]) -> bool:
        """Whether a call with these options is for the gradient that plans its loops."""
        return self._make_planned is not None and in_force(options).memory is not None and self.planned is not None

    def _by_plan(self, leaves: Sequence[Any], options: dict[str, Any], line: Line | None) -> Any:
        assert self.planned is not None
        self._latest_planned = self.planned
        self.planned._compile(leaves)
        return self.planned.call(options, line=line)(*leaves)

    def _planned_run(self, run: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
        def plan_and_run(*leaves: Any) -> Any:
            given = in_force(options)
            assert given.memory is not None
            with Planning(self._loops, given.memory, given.spill_dir, given.compress, self._plans) as planning:
                found = run(ADDRESS, *leaves)
            self.outcomes = tuple(planning.outcomes)
            return found

        return plan_and_run

    def on_leaves(self) -> Callable[..., Any]:
        """The kernel without the parameters for arrays of the module."""
        kernel, constants = self.kernel.function, self.function.constants
        return (lambda *leaves: kernel(*leaves, *constants)) if constants else kernel

    def check_written(self, leaves: Sequence[Any]) -> None:
        """Raise where an array that is written to is read-only, or shares memory with another argument."""
        for i in self._written if self.updates else ():
            if not leaves[i].flags.writeable:
                raise ADValueError(
                    f"the argument {self.names[i]!r} is read-only, and {self.function.name}() writes to it: pass a "
                    'copy, or leave inplace="update" out'
                )
        for i, j in self._apart:
            if np.may_share_memory(leaves[i], leaves[j]) and np.shares_memory(leaves[i], leaves[j]):
                raise ADValueError(
                    f"the arguments {self.names[i]!r} and {self.names[j]!r} share memory, and "
                    f"{self.function.name}() writes to {self.names[i]!r}: pass a copy of one of them"
                )

    def shortcut(self, call: Callable[..., Any]) -> tuple[Callable[..., Any], str]:
        """What to call instead of `call` where that is the kernel alone; what to return of it, as an expression."""
        alone = self.findings is None and self._make_otherwise is None
        if self.uses_tape or self._written or not self._plain_results or not alone:
            return call, "{}"
        if self.single:
            return self.on_leaves(), "{}" if self.with_value else "{}[1]"
        return self.on_leaves(), "((result := {})[0], result[1:])" if self.with_value else "{}[1:]"


def _pairing(kernel: Callable[..., Any]) -> Callable[..., tuple[float, tuple[float, ...]]]:
    def run(*args: Any) -> tuple[float, tuple[float, ...]]:
        result = kernel(*args)
        return (result[0], result[1:]) if isinstance(result, tuple) else (result, ())

    return run
