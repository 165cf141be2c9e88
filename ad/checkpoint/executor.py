"""The executor: carries out the actions of a schedule with the functions and arrays of a sweep."""

from collections.abc import Callable, Iterable
from typing import Any

from ad.checkpoint.actions import Action, Advance, Discard, End, Level, Restore, Reverse, Store
from ad.checkpoint.binomial import Base
from ad.checkpoint.layout import Layout, Misfit
from ad.checkpoint.saves import Lost, Saves
from ad.checkpoint.simulate import Counts
from ad.checkpoint.storage import Storage
from ad.errors import ADTypeError

__all__ = ["Executor", "Replan"]


class Replan(Exception):
    """What is stored is not what the schedule goes by; another one has to go on from there."""


class Executor:
    """The state of a sweep, and what each action does to it.

    `step`, `vjp_step`, `until` and `terminal` are the caller's functions, `vjp_step` with the gradient bound to it.
    """

    def __init__(
        self,
        step: Callable[[Any, int], Any],
        vjp_step: Callable[[Any, Any, int], Any],
        terminal: Callable[[Any], Any],
        until: Callable[[Any, int], bool] | None,
        state: Any,
        layout: Layout,
        n: int | None,
        storage: dict[Level, Storage],
        saves: Saves | None,
    ) -> None:
        self.n = n
        """The number of steps, once it is known."""
        self.todo: int | None = None
        """The steps below this one remain to be reversed; None until the final state was reached."""
        self.state = state
        self.at = 0
        self.final: Any = None
        self.adjoint: Any = None
        self.adjoint_layout: Layout | None = None
        self.counts = Counts()
        self.saves = saves
        self.ended: Callable[[], None] = lambda: None
        """Is called when the final state was reached."""
        self._step, self._vjp_step, self._terminal, self._until = step, vjp_step, terminal, until
        self._layout = layout
        self._storage = storage
        self._held = {level: len(place.steps()) for level, place in storage.items()}

    def length(self) -> int | None:
        return self.n

    def bases(self) -> list[Base]:
        """The snapshots that there are; those in memory that are reversed already are given up."""
        found: dict[int, Level] = {}
        for level in (Level.DISK, Level.RAM):  # of one that is in both, that in memory
            for step in self._storage[level].steps() if level in self._storage else ():
                if self.todo is None or step < self.todo:
                    found[step] = level
                elif level is Level.RAM:
                    self._discard(step, level)
        return sorted(found.items())

    def run(self, actions: Iterable[Action]) -> None:
        """Carry out a schedule.  Raises Replan where another one has to go on."""
        if self.state is not None:
            self._look()
        try:
            for action in actions:
                kind = type(action)
                if kind is Advance:
                    self._advance(*action)
                elif kind is Reverse:
                    self._reverse(*action)
                elif kind is Restore:
                    self._restore(*action)
                elif kind is Store:
                    self._store(*action)
                elif kind is Discard:
                    self._discard(*action)
                elif kind is End:
                    todo = self.begin_reverse(self.state)
                    self.ended()
                    if todo != self.n:
                        raise Replan
        except Lost:
            raise Replan from None

    def begin_reverse(self, final: Any) -> int:
        """Take the adjoint of the final state; what was saved of the reverse sweep, if anything, takes its place.

        Returns the number of steps that remain to be reversed.
        """
        assert self.n is not None
        # A copy, for a step that returns arrays of its own, which it will write to again; and so is the adjoint, which
        # may be the final state itself.
        self.final, self.todo = self._layout.copy(final), self.n
        if self.saves is not None:
            self.saves.final(self.n, self._layout.flat(final))
        try:
            adjoint = self._terminal(self.final)
        except Exception as error:
            self._note(error, "adjoint(state)")
            raise
        self.adjoint_layout = Layout(adjoint, "adjoint")
        self.adjoint = self.adjoint_layout.copy(adjoint)
        if self.saves is not None and (saved := self.saves.latest(self.adjoint_layout)) is not None:
            self.todo, self.adjoint = saved
        return self.todo

    # ---------------------------------------------------------------------------------------- the actions

    def _advance(self, start: int, stop: int) -> None:
        if self.saves is None:
            self._steps(start, stop)
        else:
            for i in range(start, stop):
                self._steps(i, i + 1)
                if self.todo is None:
                    self.saves.forward(self.at, self._layout.flat(self.state))
        self._look()

    def _steps(self, start: int, stop: int) -> None:
        step, flat, state = self._step, self._layout.flat, self.state
        i = start
        try:
            for i in range(start, stop):
                state = step(state, i)
                flat(state)
        except Misfit as error:
            raise self._misfit(f"step(state, {i})", error, state) from None
        except Exception as error:
            self._note(error, f"step(state, {i})")
            raise
        self.state, self.at = state, stop
        self.counts.forward += stop - start

    def _reverse(self, i: int) -> None:
        assert self.adjoint_layout is not None
        state, self.state = self.state, None  # the last one to have it may free it
        try:
            self.adjoint = self._vjp_step(state, self.adjoint, i)
            self.adjoint_layout.flat(self.adjoint)
        except Misfit as error:
            raise self._misfit(f"vjp_step(state, adjoint, {i})", error, self.adjoint) from None
        except Exception as error:
            self._note(error, f"vjp_step(state, adjoint, {i})")
            raise
        self.todo = i
        self.counts.reverse += 1
        if self.saves is not None:
            self.saves.reverse(i, self.adjoint_layout, self.adjoint)

    def _store(self, step: int, level: Level) -> None:
        self._storage[level].store(step, self._layout.flat(self.state))
        counts = self.counts
        counts.stored[level] += 1
        self._held[level] += 1
        counts.most[level] = max(counts.most[level], self._held[level])

    def _restore(self, step: int, level: Level, keep: bool) -> None:
        self.state = None  # makes room for the other one
        self.state = self._layout.nest(self._storage[level].restore(step, keep))
        self.at = step
        self.counts.restored[level] += 1
        self._held[level] -= not keep
        self._look()

    def _discard(self, step: int, level: Level) -> None:
        self._storage[level].discard(step)
        self._held[level] -= 1

    def _look(self) -> None:
        """Whether the sweep ends here, if that is for the caller to say."""
        if self.n is None and self._until is not None:
            try:
                ends = self._until(self.state, self.at)
            except Exception as error:
                self._note(error, f"until(state, {self.at})")
                raise
            if ends:
                self.n = self.at

    # ------------------------------------------------------------------------------------------ errors

    def _misfit(self, call: str, error: Misfit, found: Any) -> ADTypeError:
        hint = ": return it, also where arrays are updated in place" if found is None else ""
        return ADTypeError(f"{call} returned something else than it was given: {error}{hint}")

    def _note(self, error: Exception, call: str) -> None:
        steps = "" if self.n is None else f" of {self.n} steps"
        error.add_note(f"ad.checkpointed_sweep: this came from {call} of a sweep{steps}")
        if self.saves is not None:
            error.add_note(self.saves.note())
