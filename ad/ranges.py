"""Loops over ranges, run backward, and the sums that their bounds are."""

from ad.ir import Binary, Call, Const, Expr, For, Unary, Var
from ad.primitive import Primitive

__all__ = ["backward", "nth", "shifted", "split", "trips_of"]

_LEN, _RANGE = (Primitive(f, (), "int") for f in (len, range))


def trips_of(s: For) -> Expr:
    """How many trips a loop has that is not left early."""
    return Call(_LEN, (Call(_RANGE, (s.start, s.stop, s.step)),))


def nth(s: For, trip: Expr) -> Expr:
    """The variable of a loop in a trip, the first one being 0."""
    steps = trip if s.step == Const(1) else Binary("*", trip, s.step)
    return steps if s.start == Const(0) else Binary("+", s.start, steps)


def backward(s: For) -> tuple[Expr, Expr, Expr]:
    """The range of a loop, backward over exactly the same indices."""
    start, stop, step = s.start, s.stop, s.step
    if s.trips is not None:  # left early
        last: Expr = Binary("-", Var(s.trips), Const(1))
        if step != Const(1):
            last = Binary("*", last, step)
        first = Binary("+", start, last) if start != Const(0) else last
        end: Expr = Binary("-", start, step)
        if isinstance(start, Const) and isinstance(step, Const):
            end = Const(int(start.value) - int(step.value))
        return first, end, Const(-int(step.value)) if isinstance(step, Const) else Unary("-", step)
    if isinstance(start, Const) and isinstance(stop, Const) and isinstance(step, Const):
        back = range(int(start.value), int(stop.value), int(step.value))[::-1]
        return Const(back.start), Const(back.stop), Const(back.step)
    if isinstance(step, Const) and step.value in (1, -1):
        by = int(step.value)
        return shifted(stop, -by), shifted(start, -by), Const(-by)
    trips = Call(Primitive(len, ()), (Call(Primitive(range, ()), (start, stop, step)),))
    last = Binary("*", Binary("-", trips, Const(1)), step)
    negative = Const(-int(step.value)) if isinstance(step, Const) else Unary("-", step)
    origin = isinstance(start, Const) and start.value == 0
    return (last, negative, negative) if origin else (Binary("+", start, last), Binary("-", start, step), negative)


def shifted(e: Expr, by: int) -> Expr:
    """``e + by``"""
    if by == 0:
        return e
    if isinstance(e, Const) and e.name is None:
        return Const(int(e.value) + by)
    if isinstance(e, Binary) and e.op in "+-" and isinstance(e.right, Const) and isinstance(e.right.value, int):
        offset = (e.right.value if e.op == "+" else -e.right.value) + by
        if offset == 0:
            return e.left
        return Binary("+" if offset > 0 else "-", e.left, Const(abs(offset)))
    return Binary("+" if by > 0 else "-", e, Const(abs(by)))


def split(e: Expr) -> tuple[Expr | None, int]:
    """A whole number as something (or nothing) and a number that is added to it."""
    match e:
        case Const(int() as value):
            return None, value
        case Binary("+" | "-" as op, base, Const(int() as value)):
            return base, value if op == "+" else -value
    return e, 0
