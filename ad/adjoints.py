"""The adjoints of variables: their names, how one begins, and how contributions are added to it.

The adjoint of a variable lives in a variable of its own.  It is zero until the first contribution, which is then an
assignment.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from ad.bindings import rebased
from ad.derive import share
from ad.function import is_element, kind_of, kind_of_part
from ad.helpers import ADD_FITTING, ADD_TO, COPY, LENT_RESHAPE, REDUCED_TO, REPAY, SCATTER_ADD, ZEROS_LIKE
from ad.ir import (
    AddTo,
    Assign,
    Binary,
    Call,
    Const,
    Expr,
    Index,
    Kind,
    MultiAssign,
    Select,
    Stmt,
    Unary,
    Var,
    replacing,
    substitute,
)
from ad.loans import Loans
from ad.lower import Plan
from ad.names import Namer
from ad.primitive import Primitive
from ad.symbolic import ZERO, add

__all__ = ["Adjoints", "State"]

State = dict[str, Expr]
"""The adjoints that may be nonzero, by variable: a Var where it was computed, a Const for one known beforehand."""
_REUSES = 20
"""How many statements share a name: Numba's time grows with the square of the assignments of a name in one block."""


@dataclass
class Adjoints:
    """`shared` are the arrays whose adjoints are shadows, `small` those whose adjoint may be smaller than they are.

    `plain` makes an expression of the forward sweep one of the reverse sweep.
    """

    namer: Namer
    kinds: dict[str, Kind]
    shared: frozenset[str]
    small: set[str]
    plain: Callable[[Expr], Expr]
    loans: Loans
    given: set[str] = field(default_factory=set)
    """Arrays whose adjoints are the caller's, to be added to."""
    names: dict[str, str] = field(default_factory=dict)
    reused_names: dict[tuple[str | int, Kind], str] = field(default_factory=dict)
    uses: Counter[tuple[str | int, Kind]] = field(default_factory=Counter)
    made: int = 0
    """How many temporaries there are."""

    def tracked(self, name: str) -> bool:
        """Whether the adjoint of a variable is a value that `State` knows about; shared arrays have shadows."""
        return self.kinds[name].is_float and name not in self.shared and name not in self.given

    def of(self, name: str) -> str:
        if name not in self.names:
            fresh = self.namer.fresh(f"{name}_b")
            self.names[name] = fresh
            self.kinds[fresh] = self.kinds[name]
        return self.names[name]

    def fresh(self, wish: str, kind: Kind) -> str:
        name = self.namer.fresh(wish)
        self.kinds[name] = kind
        return name

    def temporary(self, n: int, kind: Kind = Kind.FLOAT) -> str:
        """The name for the n-th temporary of a kind in a statement."""
        return self.reused((n, kind), f"t{self.made + 1}", kind)

    def seed(self, kind: Kind) -> str:
        """The variable for the adjoint of a part of an array that is written to."""
        return self.reused(("g", kind), "g", kind)

    def reused(self, use: tuple[str | int, Kind], wish: str, kind: Kind) -> str:
        """A name that statements share, but not too many of them."""
        if self.uses[use] % _REUSES == 0:
            self.made += use[0] != "g"
            self.reused_names[use] = self.namer.fresh(wish)
            self.kinds[self.reused_names[use]] = kind
        self.uses[use] += 1
        return self.reused_names[use]

    def zero(self, name: str) -> Expr:
        return Call(ZEROS_LIKE, (Var(name),)) if self.kinds[name].is_array else ZERO

    def accumulate(
        self,
        target: str | None,
        found: dict[Var | Index, Expr],
        state: State,
        plan: Plan | None = None,
    ) -> list[Stmt]:
        """Add contributions to the adjoints of what an assignment read; its target's adjoint is used up."""
        fits, sums = (plan.fits, plan.sums) if plan is not None else (frozenset(), frozenset())
        seed = state.pop(target) if target is not None else None
        first: list[Stmt] = []
        if target is not None and any(isinstance(t, Index) and t.array == target for t in found):
            # Parts of what it was: its adjoint begins anew while the old one is still read.
            name = self.seed(self.kinds[target])
            assert seed is not None
            first.append(Assign(name, seed))
            found = {t: substitute(e, replacing(seed, Var(name))) for t, e in found.items()}
            target = None
        places = [replace(t, index=self.plain(t.index)) if isinstance(t, Index) else t for t in found]
        numbers: dict[Kind, count[int]] = {}

        def fresh(kind: Kind) -> str:
            return self.temporary(next(numbers.setdefault(kind, count())), kind)

        definitions, raw = share(list(found.values()), self.kinds, fresh)
        definitions = [(name, self.plain(value)) for name, value in definitions]
        shares = [self.plain(e) for e in raw]
        out: list[Stmt] = first + [Assign(name, value) for name, value in definitions]
        own: list[Stmt] = []
        for place, value in zip(places, shares, strict=True):
            if target is not None and place == Var(target):
                own = self.replaced(target, value, seed, state, target in fits)
            elif isinstance(place, Index):
                out += self.add_part(place, value, state)
            else:
                out += self.add(place.name, value, state, place.name in fits, place.name in sums)
        return out + own

    def replaced(self, target: str, value: Expr, seed: Expr | None, state: State, fits: bool) -> list[Stmt]:
        """The adjoint of a variable whose new value was computed from the old one."""
        adjoint = self.of(target)
        if self.kinds[target].is_array:
            state[target] = Var(adjoint)
            if fits and value == seed:
                return []
            return [Assign(adjoint, self.fitting(target, value, fits))]
        state[target] = value
        if value == seed or isinstance(value, Const):
            return []
        state[target] = Var(adjoint)
        return [Assign(adjoint, value)]

    def fitting(self, name: str, value: Expr, fits: bool) -> Expr:
        """A share as an array of the shape of the variable, if it has not that already."""
        if fits and kind_of(value, self.kinds) is self.kinds[name]:
            return value
        return Call(REDUCED_TO, (value, Var(name)))

    def begun(self, name: str, state: State) -> list[Stmt]:
        """See to it that the adjoint of an array is there to be added to."""
        if not self.tracked(name) or isinstance(state.get(name), Var):
            return []
        adjoint = self.of(name)
        state[name] = Var(adjoint)
        if name not in self.loans.found:
            return [Assign(adjoint, self.zero(name))]
        loan = self.loans.found[name]
        out = self.begun(loan.base, state)
        view = self.plain(rebased(loan.view, loan.base, self.of(loan.base)))
        if loan.reshapes:
            assert isinstance(view, Call)
            view = replace(view, callee=LENT_RESHAPE)
        return [*out, Assign(adjoint, view)]

    def repaid(self, name: str, state: State) -> list[Stmt]:
        """The end of the adjoint of a view that is lent: it has gone where it goes."""
        seed = state.pop(name, None)
        loan = self.loans.found[name]
        if seed is None or not loan.reshapes:
            return []
        return [MultiAssign((), Call(REPAY, (Var(self.of(loan.base)), seed)))]

    def add_part(self, place: Index, value: Expr, state: State) -> list[Stmt]:
        out = self.begun(place.array, state)
        kind = kind_of_part(self.kinds[place.array], place.index, self.kinds)
        part = Index(self.of(place.array), place.index)
        if not kind.is_array:
            return [*out, AddTo(part, value)]
        if is_element(place.index, self.kinds):
            return [*out, MultiAssign((), Call(ADD_TO, (part, value)))]
        return [*out, MultiAssign((), Call(SCATTER_ADD, (Var(part.array), part.index, value)))]

    def add(self, name: str, value: Expr, state: State, fits: bool = False, sums: bool = False) -> list[Stmt]:
        """Add to the adjoint of a variable.  A constant is only noted: it goes into what uses it.

        An array that `fits` has the shape of the variable; one that surely has not is summed while it is computed.
        """
        if self.kinds[name].is_array and name not in self.small:
            made = fits or isinstance(value, Var) or _is_computed(value)
            if self.tracked(name) and name not in state and made and not sums and name not in self.loans.found:
                adjoint = self.of(name)
                state[name] = Var(adjoint)
                if not _is_computed(value) and not (isinstance(value, Var) and not self.kinds[value.name].is_array):
                    value = Call(COPY, (value,))
                return [Assign(adjoint, self.fitting(name, value, fits))]
            out = self.begun(name, state)
            # What began in this block may have the rest added where it is made.
            adds = ADD_FITTING if fits and self.tracked(name) else ADD_TO
            return [*out, MultiAssign((), Call(adds, (Var(self.of(name)), value)))]
        old = state.get(name)
        if old is None and isinstance(value, Const):
            state[name] = value
            return []
        adjoint = self.of(name)
        state[name] = Var(adjoint)
        if name in self.small:
            self.kinds[adjoint] = kind_of(value, self.kinds)
        if old is None:
            return [Assign(adjoint, value)]
        if isinstance(old, Const):
            return [Assign(adjoint, add(old, value))]
        return [AddTo(Var(adjoint), value)]


def _is_computed(e: Expr) -> bool:
    """Whether a value is a number or a new array, in no case one that there is already."""
    match e:
        case Const() | Binary() | Select():
            return True
        case Unary(op):
            return op == "-"
        case Call(Primitive() as callee):
            return callee.elementwise and callee.function not in (np.real, np.imag)
    return False
