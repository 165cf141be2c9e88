"""What a sweep saves in its directory: snapshots as a level of storage, and adjoints."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ad.checkpoint.directory import Directory
from ad.checkpoint.layout import Layout, Leaf

__all__ = ["Files", "Lost", "Saves"]


class Lost(Exception):
    """A snapshot is damaged."""


class Files:
    """The snapshots in a `Directory`, as a level of storage; those that are there already are taken for stored ones.

    A snapshot that is restored for the last time stays until the adjoint has passed it and is saved.  Beside those that
    the schedule stores there are at most two of the forward sweep, and state 0.
    """

    def __init__(self, directory: Directory, leaves: Sequence[Leaf]) -> None:
        self._directory = directory
        self._leaves = leaves
        self._held = set(directory.numbers("state"))
        self._written = set(self._held)
        self._ahead: list[int] = []

    def store(self, step: int, leaves: list[Any]) -> None:
        if step not in self._written:
            self._directory.write("state", step, self._leaves, leaves)
            self._written.add(step)
        if step in self._ahead:
            self._ahead.remove(step)
        self._held.add(step)

    def store_ahead(self, step: int, leaves: list[Any]) -> None:
        """A snapshot of the forward sweep, beside those of the schedule; of these the newest two stay."""
        if step in self._written:
            return
        self.store(step, leaves)
        self._ahead.append(step)
        for old in self._ahead[:-2]:
            self.discard(old)
        del self._ahead[:-2]

    def restore(self, step: int, keep: bool) -> list[Any]:
        found = self._directory.read("state", step, self._leaves)
        if found is None:
            self.discard(step)
            raise Lost
        if not keep:
            self._held.remove(step)
        return found

    def discard(self, step: int) -> None:
        self._held.discard(step)
        self._written.discard(step)
        self._directory.remove("state", step)

    def steps(self) -> list[int]:
        return sorted(self._held)

    def passed(self, todo: int) -> bool:
        """Whether there are files of states that the adjoint, which is at state `todo`, has passed."""
        return any(step >= todo for step in self._written)

    def forget(self, todo: int) -> None:
        """Remove them."""
        for step in [step for step in self._written if step >= todo]:
            self.discard(step)

    def close(self) -> None:
        pass


class Saves:
    """When what is saved of a sweep: of the forward sweep a state, of the reverse sweep the adjoint, `every` so many
    seconds; and the adjoint whenever it has passed a snapshot, which goes then.
    """

    def __init__(
        self, directory: Directory, files: Files, every: float, state: Layout, gradient: Layout, arrays: list[Any]
    ) -> None:
        self._directory, self._files = directory, files
        self._every = every
        self._state, self._gradient, self._arrays = state, gradient, arrays
        self._adjoints = directory.numbers("adjoint")
        self._saved = time.monotonic()

    def forward(self, at: int, leaves: list[Any]) -> None:
        if self._due():
            self._files.store_ahead(at, leaves)
            self._saved = time.monotonic()

    def reverse(self, todo: int, layout: Layout, adjoint: Any) -> None:
        if self._due() or self._files.passed(todo):
            leaves = [*layout.leaves, *self._gradient.leaves]
            self._directory.write("adjoint", todo, leaves, [*layout.flat(adjoint), *self._arrays])
            self._files.forget(todo)
            self._adjoints = [todo, *(k for k in self._adjoints if k != todo)]
            for old in self._adjoints[2:]:
                self._directory.remove("adjoint", old)
            del self._adjoints[2:]
            self._saved = time.monotonic()

    def final(self, n: int, leaves: list[Any]) -> None:
        if n not in self._directory.numbers("final"):
            self._directory.write("final", n, self._state.leaves, leaves)

    def saved_final(self) -> tuple[int, Any] | None:
        """The number of steps and the final state, if it was reached."""
        for n in self._directory.numbers("final"):
            leaves = self._directory.read("final", n, self._state.leaves)
            if leaves is not None:
                return n, self._state.nest(leaves)
        return None

    def latest(self, layout: Layout) -> tuple[int, Any] | None:
        """The newest adjoint and its state; the gradient is filled in."""
        while self._adjoints:
            todo = self._adjoints[0]
            leaves = self._directory.read("adjoint", todo, [*layout.leaves, *self._gradient.leaves])
            if leaves is not None:
                for array, x in zip(self._arrays, leaves[len(layout.leaves) :]):
                    np.copyto(array, x)
                return todo, layout.nest(leaves[: len(layout.leaves)])
            del self._adjoints[0]
        return None

    def note(self) -> str:
        """What to do after an error."""
        where = self._directory.path
        if self._adjoints:
            return f"the same call goes on at the adjoint of state {self._adjoints[0]}, saved in {where}"
        return f"the same call goes on at state {max(self._files.steps(), default=0)}, saved in {where}"

    def _due(self) -> bool:
        return time.monotonic() - self._saved >= self._every
