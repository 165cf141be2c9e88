"""Loops of which the reverse sweep keeps snapshots, instead of records of all trips: the mark `checkpointed`."""

import ast
import operator
from typing import Any, TypeVar

from numba.extending import overload

from ad.checkpoint.library import disk_revolve, h_revolve, mixed, periodic_disk_revolve
from ad.checkpoint.settings import Schedule, name_of
from ad.errors import ADTypeError, ADValueError
from ad.ir import Checkpoints, Compare, Computed, Const, Expr, If, Raise
from ad.values import Build

__all__ = ["COMPUTED", "SCHEDULES", "checkpointed", "marked"]

_Iterable = TypeVar("_Iterable")

SCHEDULES = ("binomial", "online", "periodic", "store_all")
COMPUTED: dict[str, Schedule] = {f.__name__: f for f in (h_revolve, disk_revolve, periodic_disk_revolve, mixed)}
"""Schedules that are computed in Python when the loop is reached, as a user's own are."""

_NAMES = ("snapshots", "disk_snapshots", "schedule", "period")
_KNOWN = f"in a compiled loop there are {', '.join((*SCHEDULES, *COMPUTED))}, and functions that make one"


def checkpointed(
    loop: _Iterable,
    *,
    snapshots: int | None = None,
    disk_snapshots: int | None = None,
    schedule: str | Schedule | None = None,
    period: int | None = None,
) -> _Iterable:
    """Mark a loop: a gradient stores snapshots of its state, and runs trips again, instead of recording all of them.

    ``for i in ad.checkpointed(range(n), snapshots=10)`` marks a loop over a range, an array, enumerate or zip;
    ``while ad.checkpointed(condition, snapshots=10)`` one whose number of trips is not known before.  The state is what
    a trip reads of what trips assign: numbers, and the contents of arrays.  The forward sweep runs the loop as it is,
    and copies the state to the tape before some trips.  The reverse sweep begins with the newest snapshot, runs trips
    up to the last one that is not reversed, runs that one recording, and reverses it at once.

    Parameters
    ----------
    loop:
        What the loop is over, or the condition of a while loop.
    snapshots: int, at least 1; 0 with schedules that are computed
        How many may be on the tape at a time; with "binomial" and a copy of the last state on top.  By default as many
        that no trip is run more than twice before it is reversed, which is about the root of twice the number of trips;
        twice as many where that is not known.  But where neither this nor a schedule is given, and the gradient has a
        memory limit, it is planned what to record, to spill and to run again (see docs/checkpointing.md).
    disk_snapshots: int, at least 0
        How many more there may be for schedules that are computed, which take them for those on disk.  They lie on the
        same tape: with a memory limit the oldest snapshots go to disk, whichever these are.
    schedule:
        "binomial" takes the fewest trips for a known number of them, also where the loop is left early (Griewank and
        Walther 2000); the default of a for loop.  "online" is the same for an unknown number, the default of a while
        loop.  "periodic" stores a snapshot every `period` trips, however many these are, and between them as many as
        `snapshots` says, by default all.  With "store_all" the mark has no effect.  "h_revolve", "disk_revolve",
        "periodic_disk_revolve" and "mixed" are those of ad.checkpoint, and need checkpoint_schedules.  A function
        ``(n, snapshots, disk_snapshots)``, or a `functools.partial` of one, that the module or the enclosing function
        has under a name gives the actions of a schedule (see ad.checkpoint), in which the newest snapshot is restored
        first.  These are computed in Python when the loop is reached, once for the same numbers, and are for loops
        that run to their end.
    period: int, at least 1
        Of the schedule "periodic".

    Returns `loop` as it is.  Outside of differentiation, by Python and by Numba, the loop runs as if it had no mark.

    Raises
    ------
    ADTypeError, ADValueError
        For numbers that are none or are too small, and for a schedule that is not there.  In a function that is
        differentiated these are UnsupportedSyntax, and a ValueError when the loop is reached.  The gradient raises
        ADValueError for a schedule that cannot be carried out, and what a function raises comes out as it is; a note
        names the loop.

    Values and gradients are those without the mark, to the last bit; but of trips that do not depend on one another,
    the gradient without it may add up the contributions in another order.

    >>> total = 0.0
    >>> for i in checkpointed(range(3), snapshots=2):
    ...     total += 0.5 * i
    >>> total
    1.5
    """
    _check(schedule, period is not None, disk_snapshots is not None)
    least = _least(schedule)
    for name, value in (("snapshots", snapshots), ("disk_snapshots", disk_snapshots), ("period", period)):
        if value is None:
            continue
        try:
            number = operator.index(value)
        except TypeError:
            raise ADTypeError(f"ad.checkpointed: {name} is a whole number, not {type(value).__name__}") from None
        if number < least[name]:
            raise ADValueError(_too_small(name, least[name]))
    return loop


@overload(checkpointed)
def _checkpointed(
    loop: Any, snapshots: Any = None, disk_snapshots: Any = None, schedule: Any = None, period: Any = None
) -> Any:
    def implement(
        loop: Any, snapshots: Any = None, disk_snapshots: Any = None, schedule: Any = None, period: Any = None
    ) -> Any:
        return loop

    return implement


def _is_computed(schedule: Any) -> bool:
    return schedule in COMPUTED if isinstance(schedule, str) else callable(schedule)


def _least(schedule: Any) -> dict[str, int]:
    """The least that numbers may be."""
    return {"snapshots": 0 if _is_computed(schedule) else 1, "disk_snapshots": 0, "period": 1}


def _too_small(name: str, least: int) -> str:
    return f"ad.checkpointed: {name} must be at least {least}"


def _check(schedule: Any, has_period: bool, has_disk: bool) -> None:
    """Raise ADValueError for a schedule that is not there, or has another number."""
    computed = _is_computed(schedule)
    if schedule is not None and schedule not in SCHEDULES and not computed:
        raise ADValueError(f"ad.checkpointed: there is no schedule {schedule!r}: {_KNOWN}")
    if has_period and schedule != "periodic":
        raise ADValueError('ad.checkpointed: period goes with schedule="periodic"')
    if schedule == "periodic" and not has_period:
        raise ADValueError('ad.checkpointed: schedule="periodic" needs a period')
    if has_disk and not computed:
        raise ADValueError(
            "ad.checkpointed: disk_snapshots goes with a schedule that tells them from others, as h_revolve does: give "
            "snapshots as the number of all of them, of which the oldest go to disk where memory= says so"
        )


def marked(scope: Any, node: ast.For | ast.While) -> tuple[ast.expr, Checkpoints | None]:
    """What a loop is over, or its condition, without the mark; and what the mark says.

    `scope` is the parse.Scope that reads the loop; the numbers of the mark are put before the loop.
    """
    what = node.iter if isinstance(node, ast.For) else node.test
    if not (isinstance(what, ast.Call) and scope.resolve(what.func) is checkpointed):
        return what, None
    given = {k.arg: k.value for k in what.keywords}
    if len(what.args) != 1 or not given.keys() <= {*_NAMES}:
        scope.refuse(f"ad.checkpointed() takes what the loop is over, and {', '.join(_NAMES)} by name", what)
    given = {name: e for name, e in given.items() if not (isinstance(e, ast.Constant) and e.value is None)}
    schedule: Any = "binomial" if isinstance(node, ast.For) else "online"
    if "schedule" in given:
        value = given["schedule"]
        schedule = value.value if isinstance(value, ast.Constant) else scope.resolve(value)
        if not isinstance(schedule, str) and not callable(schedule):
            scope.refuse(
                "ad.checkpointed: schedule is the name of one, written out, or of a function in the module or around "
                f"this one (a functools.partial is given a name there): {_KNOWN}",
                value,
            )
    try:
        _check(schedule, "period" in given, "disk_snapshots" in given)
    except ADValueError as error:
        scope.refuse(str(error), what)
    if schedule == "binomial" and isinstance(node, ast.While):
        scope.refuse(
            'ad.checkpointed: schedule="binomial" is for a known number of trips: "online" is for others', what
        )
    computed = None
    least = _least(schedule)
    if _is_computed(schedule):
        function = COMPUTED[schedule] if isinstance(schedule, str) else schedule
        schedule = name_of(function)
        if isinstance(node, ast.While):
            scope.refuse(f'ad.checkpointed: {schedule} needs to know the number of trips: "online" does without', what)
        computed = Computed(function, f"{scope.source.filename}:{node.lineno}")
    numbers = {name: _number(scope, name, given[name], least[name]) for name in least if name in given}
    if schedule == "store_all":
        return what.args[0], None
    snapshots, disk, period = (numbers.get(name) for name in ("snapshots", "disk_snapshots", "period"))
    return what.args[0], Checkpoints(schedule, snapshots, period, not given, disk=disk, computed=computed)


def _number(scope: Any, name: str, node: ast.expr, least: int) -> Expr:
    """A number of the mark; where it is not known yet, it is checked when the loop is reached."""
    e: Expr = scope.lasting(scope.integer(node, f"ad.checkpointed: {name}"), name, node)
    if not isinstance(e, Const):
        build: Build = scope.build
        at = f"{scope.source.filename}:{node.lineno}"
        error = Raise(ValueError, (Const(f"{_too_small(name, least)} ({at})"),), **scope.where(node))
        build.out.append(If(Compare(e, ("<",), (Const(least),)), (error,), (), **scope.where(node)))
    elif e.value < least:
        scope.refuse(_too_small(name, least), node)
    return e
