"""Loops of which the reverse sweep keeps snapshots, instead of records of all trips: the mark `checkpointed`."""

import ast
import operator
from typing import Any, TypeVar

from numba.extending import overload

from ad.errors import ADTypeError, ADValueError
from ad.ir import Checkpoints, Compare, Const, Expr, If, Raise
from ad.values import Build

__all__ = ["SCHEDULES", "checkpointed", "marked"]

_Iterable = TypeVar("_Iterable")

SCHEDULES = ("binomial", "online", "periodic", "store_all")
_NAMES = ("snapshots", "schedule", "period")
_KNOWN = f"in a compiled loop there are {', '.join(SCHEDULES)}; ad.checkpointed_sweep has others"


def checkpointed(
    loop: _Iterable, *, snapshots: int | None = None, schedule: str | None = None, period: int | None = None
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
    snapshots: int, at least 1
        How many may be on the tape at a time; with "binomial" and a copy of the last state on top.  By default as many
        that no trip is run more than twice before it is reversed, which is about the root of twice the number of trips;
        twice as many where that is not known.  But where neither this nor a schedule is given, and the gradient has a
        memory limit, it is planned what to record, to spill and to run again (see docs/checkpointing.md).
    schedule:
        "binomial" takes the fewest trips for a known number of them, also where the loop is left early (Griewank and
        Walther 2000); the default of a for loop.  "online" is the same for an unknown number, the default of a while
        loop.  "periodic" stores a snapshot every `period` trips, however many these are, and between them as many as
        `snapshots` says, by default all.  With "store_all" the mark has no effect.
    period: int, at least 1
        Of the schedule "periodic".

    Returns `loop` as it is.  Outside of differentiation, by Python and by Numba, the loop runs as if it had no mark.

    Raises
    ------
    ADTypeError, ADValueError
        For numbers that are none or are below 1, and for a schedule that is not there.  In a function that is
        differentiated these are UnsupportedSyntax, and a ValueError when the loop is reached.

    Values and gradients are those without the mark, to the last bit; but of trips that do not depend on one another,
    the gradient without it may add up the contributions in another order.

    >>> total = 0.0
    >>> for i in checkpointed(range(3), snapshots=2):
    ...     total += 0.5 * i
    >>> total
    1.5
    """
    _check(schedule, period is not None)
    for name, value in (("snapshots", snapshots), ("period", period)):
        if value is None:
            continue
        try:
            number = operator.index(value)
        except TypeError:
            raise ADTypeError(f"ad.checkpointed: {name} is a whole number, not {type(value).__name__}") from None
        if number < 1:
            raise ADValueError(_least(name))
    return loop


@overload(checkpointed)
def _checkpointed(loop: Any, snapshots: Any = None, schedule: Any = None, period: Any = None) -> Any:
    def implement(loop: Any, snapshots: Any = None, schedule: Any = None, period: Any = None) -> Any:
        return loop

    return implement


def _least(name: str) -> str:
    return f"ad.checkpointed: {name} must be at least 1"


def _check(schedule: Any, has_period: bool) -> None:
    """Raise ADValueError for a schedule that is not there."""
    if schedule is not None and schedule not in SCHEDULES:
        raise ADValueError(f"ad.checkpointed: there is no schedule {schedule!r}: {_KNOWN}")
    if has_period and schedule != "periodic":
        raise ADValueError('ad.checkpointed: period goes with schedule="periodic"')
    if schedule == "periodic" and not has_period:
        raise ADValueError('ad.checkpointed: schedule="periodic" needs a period')


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
        if not isinstance(schedule, str):
            scope.refuse(f"ad.checkpointed: schedule is the name of one, written out: {_KNOWN}", value)
    try:
        _check(schedule, "period" in given)
    except ADValueError as error:
        scope.refuse(str(error), what)
    if schedule == "binomial" and isinstance(node, ast.While):
        scope.refuse(
            'ad.checkpointed: schedule="binomial" is for a known number of trips: "online" is for others', what
        )
    numbers = {name: _number(scope, name, given[name]) for name in ("snapshots", "period") if name in given}
    if schedule == "store_all":
        return what.args[0], None
    return what.args[0], Checkpoints(schedule, numbers.get("snapshots"), numbers.get("period"), open=not given)


def _number(scope: Any, name: str, node: ast.expr) -> Expr:
    """A number of the mark; where it is not known yet, it is checked when the loop is reached."""
    e: Expr = scope.lasting(scope.integer(node, f"ad.checkpointed: {name}"), name, node)
    if not isinstance(e, Const):
        build: Build = scope.build
        at = f"{scope.source.filename}:{node.lineno}"
        error = Raise(ValueError, (Const(f"{_least(name)} ({at})"),), **scope.where(node))
        build.out.append(If(Compare(e, ("<",), (Const(1),)), (error,), (), **scope.where(node)))
    elif e.value < 1:
        scope.refuse(_least(name), node)
    return e
