"""Expressions of whole arrays in compiled code: a new array, or a change of one, by one loop nest.

However many operators an expression has, no array is made on the way.  `ad.fuse` says which expressions these are.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numba.core import cgutils, ir, types
from numba.core.callconv import NumpyErrorModel, create_error_model
from numba.np.arrayobj import _empty_nd_impl
from numba.np.ufunc.array_exprs import _lower_array_expr

from ad.arrays.loops import Nest
from ad.arrays.strided import FALSE, ONE, ZERO, Array, all_of, apart, broadcast, fits_into, product
from ad.arrays.trees import Elements, Tree, element_type, key, leaves, plain, rolls, size, takes_vectors

__all__ = ["OPERATIONS", "SUM", "UPDATE", "add_array", "called", "is_basic", "reads"]

UPDATE = "ad.update"
"""The operation, in Numba's intermediate representation, that changes an array in place by an expression."""
SUM = "ad.sum"
"""The operation that gives the sum of an expression over some axes, or all."""

_LIGHT = 8
"""How many operators an expression may have to be written out for every element of a short row."""


@dataclass
class Evaluation:
    """One expression at one place of the code: `kinds` and `values` are those of its variables."""

    context: Any
    builder: Any
    tree: Tree
    kinds: Mapping[str, types.Type]
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.context.error_model, NumpyErrorModel):  # a division by zero is no error
            self.context = self.context.subtarget(error_model=create_error_model("numpy", self.context))
        self.arrays: dict[str, Array] = {}
        self.scalars: dict[str, Any] = {}
        self.shifts: dict[str, Any] = {}
        for roll in rolls(self.tree):
            (array, shift), sign = roll[1], roll[2]
            self.arrays[key(roll)] = Array(self.context, self.builder, self.kinds[array.name], self.values[array.name])
            if isinstance(shift, ir.Const):
                self.shifts[key(roll)] = self.context.get_constant(types.intp, sign * shift.value)
            else:
                kind = self.kinds[shift.name]
                by = self.context.cast(self.builder, self.values[shift.name], kind, types.intp)
                self.shifts[key(roll)] = by if sign > 0 else self.builder.neg(by)
        for name in sorted(plain(self.tree)):
            kind, value = self.kinds[name], self.values[name]
            if isinstance(kind, types.Array):
                self.arrays[name] = Array(self.context, self.builder, kind, value)
            else:
                self.scalars[name] = self.context.cast(self.builder, value, kind, types.unliteral(kind))
        self.elements = Elements(self.context, self.builder, self.kinds.__getitem__)
        self.light = size(self.tree) <= _LIGHT
        self.of_vectors = takes_vectors(self.tree, self.kinds.__getitem__)

    def element(self, known: Mapping[str, Any], kind: types.Type) -> Any:
        """An element of the expression; of a complex one the real part, where a real number is wanted."""
        value, found = self.elements.value(self.tree, known)
        if isinstance(found, types.Complex) and not isinstance(kind, types.Complex):
            value, found = self.context.make_complex(self.builder, found, value).real, found.underlying_float
        return self.context.cast(self.builder, value, found, kind)

    def new(self, kind: types.Array, vectors: bool = True) -> Any:
        """The expression as a new array."""
        context, builder = self.context, self.builder
        shape, fits = broadcast(builder, list(self.arrays.values()), kind.ndim)
        self.require(fits, "the shapes of operands do not broadcast")
        made = _empty_nd_impl(context, builder, kind, tuple(shape))._getvalue()
        target = Array(context, builder, kind, made)

        def body(known: Mapping[str, Any], _: Any) -> Any:
            return self.element(known, kind.dtype)

        self.nest(shape, target, body, False).emit(vectors)
        return made

    def nest(self, shape: list[Any], target: Array, body: Any, old: bool, **more: Any) -> Nest:
        """Loops that go through the arrays of the expression."""
        what = self.context, self.builder, shape, target, self.arrays, self.scalars, body, old, self.shifts
        return Nest(*what, light=self.light, **{"of_vectors": self.of_vectors, **more})

    def sum(self, kind: types.Type, ndim: int, reduced: frozenset[int], keepdims: bool) -> Any:
        """The sum over the `reduced` axes of an expression of `ndim` dimensions."""
        context, builder = self.context, self.builder
        shape, fits = broadcast(builder, list(self.arrays.values()), ndim)
        self.require(fits, "the shapes of operands do not broadcast")
        is_array = isinstance(kind, types.Array)
        number = kind.dtype if is_array else kind
        item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(number)))
        lengths = [ONE if axis in reduced else n for axis, n in enumerate(shape)]
        if is_array:
            kept = [n for axis, n in enumerate(lengths) if keepdims or axis not in reduced]
            made = _empty_nd_impl(context, builder, kind, tuple(kept))
            data = made.data
            cgutils.memset(builder, data, product(builder, [item, *lengths]), 0)
        else:
            data = cgutils.alloca_once_value(builder, context.get_constant(number, 0))
        steps: list[Any] = []
        step = item
        for axis in reversed(range(ndim)):
            steps.insert(0, ZERO if axis in reduced else step)
            step = builder.mul(step, lengths[axis])
        target = Array.of(types.Array(number, ndim, "A"), data, lengths, steps, item)

        def term(known: Mapping[str, Any]) -> Any:
            return self.element(known, number)

        def body(known: Mapping[str, Any], old: Any) -> Any:
            return self.elements.call(operator.add, [(old, number), (term(known), number)])

        self.nest(shape, target, body, True, sums=True, term=term, whole=len(reduced) == ndim).emit()
        return made._getvalue() if is_array else builder.load(data)

    def update(self, target: Array, number: types.Type, how: str | None, own: str = "") -> None:
        """``target[...] = expression``, ``target += expression`` or ``-=``, or the same by `add_to`.

        The expression counts as an array of `number`s; `own` is the target's name in it.  If it shares memory with the
        target it becomes an array first.
        """
        context, builder, elements = self.context, self.builder, self.elements
        others = [a for name, a in self.arrays.items() if name != own and a.kind.ndim]
        rolled = [self.arrays[name] for name in self.shifts]
        wider = [a for a in others if a.kind.ndim > target.kind.ndim]
        fits = FALSE if wider else all_of(builder, [fits_into(builder, a, target.shape) for a in others])
        shape = target.shape
        if how == "add_to":
            ndim = max(a.kind.ndim for a in (target, *others))
            shape, agree = broadcast(builder, [target, *others], ndim)
            self.require(agree, "the shapes of an adjoint and of a contribution to it do not broadcast")
        else:
            self.require(fits, "what is written to an array does not broadcast to its shape")
        element = target.kind.dtype

        def changed(value: Any, old: Any) -> Any:
            if how is None:
                return context.cast(builder, value, number, element)
            operation = operator.sub if how == "-=" else operator.add
            new = elements.call(operation, [(old, element), (value, number)])
            return context.cast(builder, new, elements.result(operation, element, number), element)

        def body(known: Mapping[str, Any], old: Any) -> Any:
            return changed(self.element(known, number), old)

        def at_once() -> None:
            of_vectors = self.of_vectors and number == types.float64
            self.nest(shape, target, body, how is not None, sums=how == "add_to", of_vectors=of_vectors).emit()

        if not others:
            at_once()
            return
        separate = all_of(
            builder,
            [apart(builder, target, a, FALSE if a in rolled else fits) for a in others],
        )
        with builder.if_else(separate, likely=True) as (then, otherwise):
            with then:
                at_once()
            with otherwise:
                kind = types.Array(number, max(a.kind.ndim for a in self.arrays.values()), "C")
                value = self.new(kind, False)
                between = {"": Array(context, builder, kind, value)}

                def copied(known: Mapping[str, Any], old: Any) -> Any:
                    return changed(known[""], old)

                Nest(context, builder, shape, target, between, {}, copied, how is not None).emit(False)
                context.nrt.decref(builder, kind, value)

    def require(self, condition: Any, message: str) -> None:
        with cgutils.if_unlikely(self.builder, self.builder.not_(condition)):
            self.context.call_conv.return_user_exc(self.builder, ValueError, (message,))


def _evaluation(lowerer: Any, tree: Tree) -> Evaluation:
    names = {leaf.name for leaf in leaves(tree)}
    kinds = {name: lowerer.typeof(name) for name in names}
    values = {name: lowerer.loadvar(name) for name in sorted(names)}
    return Evaluation(lowerer.context, lowerer.builder, tree, kinds, values)


def _new(lowerer: Any, expr: ir.Expr) -> Any:
    typing = lowerer.context.typing_context
    if element_type(expr.expr, lowerer.typeof, typing) is None or expr.ty.layout not in "CF" or not expr.ty.ndim:
        return _lower_array_expr(lowerer, expr)
    return _evaluation(lowerer, expr.expr).new(expr.ty)


def _update(lowerer: Any, expr: ir.Expr) -> Any:
    kind, value = lowerer.typeof(expr.target.name), lowerer.loadvar(expr.target.name)
    number = expr.ty.dtype if isinstance(expr.ty, types.Array) else expr.ty
    target = Array(lowerer.context, lowerer.builder, kind, value)
    _evaluation(lowerer, expr.expr).update(target, _number(number, kind.dtype, expr.how), expr.how, expr.target.name)
    if expr.how in ("+=", "-="):  # gives the array itself
        lowerer.incref(kind, value)
        return value
    return lowerer.context.get_dummy_value()


def _number(value: types.Type, target: types.Type, how: str | None) -> types.Type:
    """What is added to an adjoint: of a real variable it is real."""
    if how == "add_to" and isinstance(value, types.Complex) and not isinstance(target, types.Complex):
        return value.underlying_float
    return value


def add_array(context: Any, builder: Any, signature: Any, args: Sequence[Any]) -> Any:
    """The lowering of ``add_to(target, value)``."""
    kind, other = signature.args[0], types.unliteral(signature.args[1])
    value = context.cast(builder, args[1], signature.args[1], other)
    tree = ir.Var(None, "value", ir.unknown_loc)
    number = other.dtype if isinstance(other, types.Array) else other
    target = Array(context, builder, kind, args[0])
    evaluation = Evaluation(context, builder, tree, {"value": other}, {"value": value})
    evaluation.update(target, _number(number, kind.dtype, "add_to"), "add_to")
    return context.get_dummy_value()


def _sum(lowerer: Any, expr: ir.Expr) -> Any:
    return _evaluation(lowerer, expr.expr).sum(expr.ty, expr.ndim, expr.reduced, expr.keepdims)


OPERATIONS: dict[str, Callable[[Any, ir.Expr], Any]] = {"arrayexpr": _new, SUM: _sum, UPDATE: _update}
"""How the lowering of Numba's intermediate representation treats these."""


_BASIC = (types.Integer, types.SliceType, types.EllipsisType, types.NoneType)


def called(value: ir.Expr, typeof: Callable[[str], types.Type]) -> Any:
    """The function that a call calls; None for what is no call."""
    return getattr(typeof(value.func.name), "typing_key", None) if value.op == "call" else None


def is_basic(index: types.Type) -> bool:
    """Whether an index gives a view, or an element, not a copy."""
    parts = index.types if isinstance(index, types.BaseTuple) else (index,)
    return all(isinstance(part, _BASIC) for part in parts)


def reads(inst: ir.Stmt | None) -> Iterator[str]:
    """The variables that an instruction reads, each as often as it does."""
    if isinstance(inst, ir.Assign):
        value = inst.value
        if isinstance(value, ir.Var):
            yield value.name
        elif isinstance(value, ir.Expr) and value.op in ("arrayexpr", SUM, UPDATE):
            yield from (leaf.name for leaf in leaves(value.expr))
            if value.op == UPDATE:
                yield value.target.name
        elif isinstance(value, ir.Inst):
            yield from (v.name for v in value.list_vars())
    elif inst is not None:
        yield from (v.name for v in inst.list_vars())
