"""Facts about generated code that its text does not hold: what is kept for the reverse sweep, and why.

The transformation notes them where it decides; the report reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ad.activity import Activity
from ad.derive import Contributions
from ad.function import Function
from ad.ir import Block, Expr, Kind, Stmt

__all__ = ["Facts", "Record", "Replayed", "Site"]


@dataclass(frozen=True)
class Record:
    """A value that is kept for the reverse sweep.

    `needs` are the statements whose adjoints read it.  `lost` is the statement that overwrites its variable; where
    `ends` is set, the loop or the branch at the end of whose body the value would be lost (None is the function).
    """

    name: str
    needs: frozenset[Stmt]
    lost: Stmt | None
    ends: bool = False


@dataclass(frozen=True, eq=False)
class Site:
    """A place where values are pushed together, `at` a statement: before it, or after it where that is the last one.

    What is pushed there is no record where it is a `snapshot` of a loop.
    """

    records: tuple[Record, ...]
    at: Stmt | None
    snapshot: bool = False


@dataclass(frozen=True)
class Replayed:
    """What a snapshot of a loop has, and the trip that the reverse sweep records."""

    state: tuple[tuple[tuple[str, ...], Kind], ...]
    """By kind, as it is pushed; the first of all is the number of the trip."""
    recorded: Block

    @property
    def names(self) -> tuple[str, ...]:
        """The variables of the user's."""
        return tuple(n for group, _ in self.state for n in group)[1:]


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known about a sweep of a function, or the function itself where there is no derivative.

    `forward` is the forward sweep, `kept` what variables hold for the reverse sweep (of a function whose two sweeps are
    one), `adjoints` maps the names of adjoints to those of their variables.  `derived` are statements with what their
    adjoints add up, `remade` names of views with the expressions that make them again, `again` statements that the
    reverse sweep runs again, `calls` the calls of functions that have sweeps of their own, each a reverse.Pair.
    `lanes` are the loops that run in lanes, each with its parallel.Roles and the adjoints that lanes have copies of;
    `replayed` the loops of the forward sweep whose trips the reverse sweep runs again.
    """

    function: Function
    forward: Block = ()
    activity: Activity | None = None
    kept: tuple[Site, ...] = ()
    adjoints: Mapping[str, str] = field(default_factory=dict)
    derived: tuple[tuple[Stmt, Contributions], ...] = ()
    remade: tuple[tuple[str, Expr], ...] = ()
    again: tuple[Stmt, ...] = ()
    calls: tuple[tuple[Stmt, Any], ...] = ()
    lanes: tuple[tuple[Stmt, Any, frozenset[str]], ...] = ()
    replayed: Mapping[Stmt, Replayed] = field(default_factory=dict)
