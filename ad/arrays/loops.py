"""Machine code for expressions of whole arrays: one loop nest for each, however many operators it has.

Numba, too, evaluates ``a * b + c`` in one pass, but goes from element to element by all the indices, and decides at
each of them along which axes an operand is broadcast: LLVM makes no vector code of that.  Here the decisions are made
before the loops.  Arrays of one shape that are contiguous are gone through as if they had one dimension, others row by
row; a row in which all elements are neighbours has a loop of its own, which vectorises.

An expression is a tree as Numba's `RewriteArrayExprs` makes it: ``(operation, [operand, ...])`` over variables and
constants.  Its elements are computed in the types in which Numba computes with scalars.

Sources: numba/np/ufunc/array_exprs.py, numba/np/npyimpl.py (numpy_ufunc_kernel).
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any

import numpy as np
from llvmlite import ir as llvm
from numba.core import cgutils, ir, types
from numba.core.callconv import NumpyErrorModel, create_error_model
from numba.core.errors import NumbaError
from numba.np.arrayobj import _empty_nd_impl, load_item, store_item
from numba.np.ufunc.array_exprs import _lower_array_expr

__all__ = ["CONVERT", "OPERATIONS", "ROLL", "UPDATE", "Tree", "add_array", "element_type", "leaves"]

UPDATE = "ad.update"
"""The operation, in Numba's intermediate representation, that changes an array in place by an expression."""

CONVERT = "convert"
"""``(CONVERT, [operand], type)``: the operand as an array of that type would hold it."""

ROLL = "roll"
"""``(ROLL, [array, shift], sign)``: an array of one dimension, its elements moved on by ``sign * shift`` places."""

Tree = Any


def leaves(tree: Tree) -> Iterator[ir.Var]:
    """The variables of an expression, each as often as it occurs."""
    if isinstance(tree, tuple):
        for operand in tree[1]:
            yield from leaves(operand)
    elif isinstance(tree, ir.Var):
        yield tree


def _rolls(tree: Tree) -> Iterator[Tree]:
    """The rolled arrays of an expression."""
    if isinstance(tree, tuple):
        if tree[0] is ROLL:
            yield tree
        else:
            for operand in tree[1]:
                yield from _rolls(operand)


def _plain(tree: Tree) -> set[str]:
    """The variables of an expression that stand for themselves."""
    if isinstance(tree, tuple):
        return set() if tree[0] is ROLL else set().union(*map(_plain, tree[1]))
    return {tree.name} if isinstance(tree, ir.Var) else set()


def _key(roll: Tree) -> str:
    array, shift = roll[1]
    return f"roll of {array.name} by {roll[2]} {shift.name if isinstance(shift, ir.Var) else shift.value}"


def _type_of_constant(value: Any) -> types.Type | None:
    """The type of a number that stands in an expression."""
    match value:
        case bool():
            return types.boolean
        case int():
            return types.int64 if -(2**63) <= value < 2**63 else None
        case float():
            return types.float64
        case complex():
            return types.complex128
    return None


# ---------------------------------------------------------------------------------------- what an element is


@lru_cache(maxsize=4096)
def _signature(context: Any, operation: Any, operands: tuple[types.Type, ...]) -> Any:
    try:
        return context.resolve_function_type(operation, operands, {})
    except NumbaError:
        return None


def _small_power(tree: Tree) -> int | None:
    """The exponent of a power that is a product of few factors."""
    if tree[0] is operator.pow and isinstance(tree[1][1], ir.Const):
        n = tree[1][1].value
        if isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= 4:
            return n
    return None


def element_type(tree: Tree, typeof: Callable[[str], types.Type], context: Any) -> types.Type | None:
    """The type of an element of an expression; None where it cannot be computed element by element here."""
    if isinstance(tree, ir.Const):
        return _type_of_constant(tree.value)
    if isinstance(tree, ir.Var):
        found = types.unliteral(typeof(tree.name))
        found = found.dtype if isinstance(found, types.Array) else found
        return found if isinstance(found, types.Number | types.Boolean) else None
    operation, operands = tree[:2]
    if operation is ROLL:
        return element_type(operands[0], typeof, context)
    if _small_power(tree) is not None:
        base = element_type(operands[0], typeof, context)
        return base if isinstance(base, types.Float | types.Complex) else None
    if operation is operator.pow:
        return None  # Numba has several ways to compute a power, by what it knows of the exponent
    kinds = [element_type(operand, typeof, context) for operand in operands]
    if None in kinds:
        return None
    if operation is CONVERT or operation is np.where:
        return tree[2]
    if not isinstance(operation, np.ufunc) and operation not in _OPERATORS:
        return None
    found = _signature(context, operation, tuple(kinds))
    if found is None or not isinstance(found.return_type, types.Number | types.Boolean):
        return None
    return types.unliteral(found.return_type)


_OPERATORS = {
    *(operator.pos, operator.neg, operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv),
    *(operator.mod, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
    *(operator.invert, operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift),
}


@dataclass
class _Elements:
    """Computes an element of an expression from those of its operands."""

    context: Any
    builder: Any
    typeof: Callable[[str], types.Type]

    def value(self, tree: Tree, known: Mapping[str, Any]) -> tuple[Any, types.Type]:
        context, builder = self.context, self.builder
        kind = element_type(tree, self.typeof, context.typing_context)
        assert kind is not None, tree
        if isinstance(tree, ir.Const):
            return context.get_constant_generic(builder, kind, tree.value), kind
        if isinstance(tree, ir.Var):
            return known[tree.name], kind
        operation, operands = tree[:2]
        if operation is ROLL:
            return known[_key(tree)], kind
        power = _small_power(tree)
        if power is not None:
            base, _ = self.value(operands[0], known)
            return self.power(base, kind, power), kind
        found = [self.value(operand, known) for operand in operands]
        if operation is CONVERT:
            return context.cast(builder, *found[0], kind), kind
        if operation is np.where:
            chosen = context.is_true(builder, found[0][1], found[0][0])
            sides = [context.cast(builder, *side, kind) for side in found[1:]]
            return builder.select(chosen, *sides), kind
        return self.call(operation, found), kind

    def power(self, base: Any, kind: types.Type, n: int) -> Any:
        if n == 1:
            return base
        square = self.call(operator.mul, [(base, kind)] * 2)
        if n == 2:
            return square
        return self.call(operator.mul, [(square, kind), (base if n == 3 else square, kind)])

    def result(self, operation: Any, *kinds: types.Type) -> types.Type:
        """The type of what `call` gives."""
        return types.unliteral(_signature(self.context.typing_context, operation, kinds).return_type)

    def call(self, operation: Any, operands: Sequence[tuple[Any, types.Type]]) -> Any:
        signature = _signature(self.context.typing_context, operation, tuple(kind for _, kind in operands))
        values = [
            self.context.cast(self.builder, value, kind, wanted)
            for (value, kind), wanted in zip(operands, signature.args, strict=True)
        ]
        return self.context.get_function(operation, signature)(self.builder, values)


# ---------------------------------------------------------------------------------------------- the operands


class _Array:
    """An array as the loops see it: where it begins, and its steps along the axes of the loops."""

    def __init__(self, context: Any, builder: Any, kind: types.Array, value: Any) -> None:
        model = context.data_model_manager[kind]
        self.kind = kind
        self.data = model.get(builder, value, "data")
        self.shape: list[Any] = cgutils.unpack_tuple(builder, model.get(builder, value, "shape"), kind.ndim)
        self.strides: list[Any] = cgutils.unpack_tuple(builder, model.get(builder, value, "strides"), kind.ndim)
        self.item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))


_ONE, _ZERO = llvm.Constant(llvm.IntType(64), 1), llvm.Constant(llvm.IntType(64), 0)
_TRUE, _FALSE = llvm.Constant(llvm.IntType(1), 1), llvm.Constant(llvm.IntType(1), 0)


def _all(builder: Any, conditions: Sequence[Any]) -> Any:
    return reduce(builder.and_, conditions, _TRUE)


def _product(builder: Any, factors: Sequence[Any]) -> Any:
    return reduce(builder.mul, factors, _ONE)


def _broadcast(builder: Any, arrays: Sequence[_Array], ndim: int) -> tuple[list[Any], Any]:
    """The shape to which arrays broadcast, and whether they do."""
    shape, fits = [], []
    for axis in range(-ndim, 0):
        lengths = [a.shape[axis] for a in arrays if a.kind.ndim >= -axis]
        size = lengths[0]
        for n in lengths[1:]:
            size = builder.select(builder.icmp_signed("==", size, _ONE), n, size)
        if len(lengths) > 1:
            fits += [_agrees(builder, n, size) for n in lengths]
        shape.append(size)
    return shape, _all(builder, fits)


def _agrees(builder: Any, n: Any, size: Any) -> Any:
    """Whether an axis of length `n` is as long as the loop over it, or is repeated."""
    return builder.or_(builder.icmp_signed("==", n, size), builder.icmp_signed("==", n, _ONE))


def _fits_into(builder: Any, array: _Array, shape: Sequence[Any]) -> Any:
    ndim = array.kind.ndim
    return _all(builder, [_agrees(builder, n, size) for n, size in zip(array.shape, shape[len(shape) - ndim :])])


def _extent(builder: Any, a: _Array) -> tuple[Any, Any]:
    """The addresses between which the elements of an array lie, which has some."""
    begin = builder.ptrtoint(a.data, llvm.IntType(64))
    if a.kind.layout in "CF":
        return begin, builder.add(begin, _product(builder, [a.item, *a.shape]))
    low, high = begin, builder.add(begin, a.item)
    for n, stride in zip(a.shape, a.strides, strict=True):
        reach = builder.mul(builder.sub(n, _ONE), stride)
        forward = builder.icmp_signed(">", stride, _ZERO)
        high = builder.add(high, builder.select(forward, reach, _ZERO))
        low = builder.add(low, builder.select(forward, _ZERO, reach))
    return low, high


def _apart(builder: Any, target: _Array, other: _Array, once: Any) -> Any:
    """Whether the elements of the target can be written one after the other while those of another are read.

    That is so of arrays that share no memory, and of the same elements in the same order if each is written `once`.
    """
    low, high = _extent(builder, target)
    begin, end = _extent(builder, other)
    apart = builder.or_(builder.icmp_signed("<=", high, begin), builder.icmp_signed("<=", end, low))
    if target.kind.ndim != other.kind.ndim:
        return apart
    pairs = [(target.data, other.data), *zip(target.shape, other.shape), *zip(target.strides, other.strides)]
    pairs[0] = tuple(builder.ptrtoint(p, llvm.IntType(64)) for p in pairs[0])
    same = _all(builder, [builder.icmp_signed("==", a, b) for a, b in pairs])
    return builder.or_(apart, builder.and_(same, once))


# --------------------------------------------------------------------------------------------------- loops


@dataclass
class _Nest:
    """Loops over `shape` that write every element of `target` once; `body` computes it from those of `arrays`.

    `old` says that the body is given the element of the target, too.
    """

    context: Any
    builder: Any
    shape: list[Any]
    target: _Array
    arrays: Mapping[str, _Array]
    scalars: Mapping[str, Any]
    body: Callable[[Mapping[str, Any], Any], Any]
    old: bool = False
    shifts: Mapping[str, Any] = field(default_factory=dict)
    """How far the elements of arrays are moved on, in the only dimension."""

    def emit(self, vectors: bool = True) -> None:
        """Write the loops; without `vectors` those alone that serve for all layouts."""
        builder = self.builder
        known = dict(self.scalars)
        moving: dict[str, _Array] = {}
        for name, a in self.arrays.items():
            if a.kind.ndim == 0:
                known[name] = load_item(self.context, builder, a.kind, a.data)
            else:
                moving[name] = a
        everything = [self.target, *moving.values()]
        shape = list(self.shape)
        steps = [self.steps(a) for a in everything]
        if self.fortran(everything):
            shape.reverse()
            for step in steps:
                step.reverse()
        flat = self.flat(everything)
        total = _product(builder, shape)
        counts = [builder.select(flat, _ONE, n) for n in shape[:-1]]
        inner = builder.select(flat, total, shape[-1])
        unit = [builder.icmp_signed("==", step[-1], a.item) for a, step in zip(everything, steps, strict=True)]
        neighbours = _all(builder, unit)

        def rows(positions: list[Any]) -> None:
            if len(positions) < len(counts):
                with cgutils.for_range(builder, counts[len(positions)]) as loop:
                    rows([*positions, loop.index])
                return
            starts = [self.start(a, step, positions) for a, step in zip(everything, steps, strict=True)]
            row(inner, starts)

        def row(n: Any, starts: list[Any]) -> None:
            if not vectors:
                self.row(n, everything, starts, [step[-1] for step in steps], list(moving), known)
                return
            with builder.if_else(neighbours, likely=True) as (then, otherwise):
                with then:
                    self.row(n, everything, starts, None, list(moving), known)
                with otherwise:
                    self.row(n, everything, starts, [step[-1] for step in steps], list(moving), known)

        if self.shifts:
            self.stretches(["", *moving], everything, [step[-1] for step in steps], row)
        else:
            rows([])

    def stretches(
        self, names: list[str], arrays: list[_Array], steps: list[Any], row: Callable[[Any, Any], None]
    ) -> None:
        """Rolled arrays are read in stretches, of which none goes past the end of any."""
        builder, n = self.builder, self.shape[0]
        firsts = {name: self.first(name, arrays[k]) for k, name in enumerate(names) if name in self.shifts}
        begin = cgutils.alloca_once_value(builder, _ZERO)
        going = builder.append_basic_block("stretch")
        done = builder.append_basic_block("stretches.end")
        builder.cbranch(builder.icmp_signed(">", n, _ZERO), going, done)
        builder.position_at_end(going)
        position, end = builder.load(begin), n
        starts = []
        for name, a, step in zip(names, arrays, steps, strict=True):
            source = position
            if name in firsts:
                first = firsts[name]
                before = builder.icmp_signed("<", position, first)
                nearer = builder.and_(before, builder.icmp_signed("<", first, end))
                end = builder.select(nearer, first, end)
                source = builder.sub(builder.add(position, builder.select(before, n, _ZERO)), first)
            starts.append(self.start(a, [step, step], [source]))
        row(builder.sub(end, position), starts)
        builder.store(end, begin)
        builder.cbranch(builder.icmp_signed("<", end, n), going, done)
        builder.position_at_end(done)

    def first(self, name: str, a: _Array) -> Any:
        """The place to which the first element of a rolled array is moved; that of a repeated one is anywhere."""
        builder, n = self.builder, a.shape[0]
        divisor = builder.select(builder.icmp_signed("==", n, _ZERO), _ONE, n)
        rest = builder.srem(self.shifts[name], divisor)
        return builder.select(builder.icmp_signed("<", rest, _ZERO), builder.add(rest, n), rest)

    def steps(self, a: _Array) -> list[Any]:
        """The bytes to go along each axis of the loops."""
        builder, missing = self.builder, len(self.shape) - a.kind.ndim
        found = [_ZERO] * missing
        for axis, (n, stride) in enumerate(zip(a.shape, a.strides, strict=True)):
            if axis == a.kind.ndim - 1 and a.kind.layout == "C":
                stride = a.item
            size = self.shape[missing + axis]
            repeated = builder.and_(builder.icmp_signed("==", n, _ONE), builder.icmp_signed("!=", size, _ONE))
            found.append(builder.select(repeated, _ZERO, stride))
        return found

    def fortran(self, arrays: Sequence[_Array]) -> bool:
        """Whether the first axis is the one along which elements are neighbours."""
        ndim = len(self.shape)
        return ndim > 1 and all(a.kind.layout == "F" and a.kind.ndim == ndim for a in arrays)

    def flat(self, arrays: Sequence[_Array]) -> Any:
        """Whether all arrays can be gone through as if they had one dimension."""
        builder, ndim = self.builder, len(self.shape)
        if ndim == 1 or any(a.kind.ndim != ndim for a in arrays):
            return _FALSE
        conditions = []
        order = 1 if self.fortran(arrays) else -1
        for a in arrays:
            conditions += [builder.icmp_signed("==", n, size) for n, size in zip(a.shape, self.shape, strict=True)]
            if a.kind.layout == ("F" if order == 1 else "C"):
                continue
            expected = a.item
            for n, stride in zip(a.shape[::order], a.strides[::order], strict=True):
                conditions.append(builder.icmp_signed("==", stride, expected))
                expected = builder.mul(expected, n)
        return _all(builder, conditions)

    def start(self, a: _Array, step: Sequence[Any], positions: Sequence[Any]) -> Any:
        """Where a row begins."""
        builder = self.builder
        bytes_ = builder.bitcast(a.data, cgutils.voidptr_t)
        offset = _ZERO
        for position, stride in zip(positions, step[:-1], strict=True):
            offset = builder.add(offset, builder.mul(position, stride))
        return builder.gep(bytes_, [offset]) if positions else bytes_

    def row(
        self,
        n: Any,
        arrays: Sequence[_Array],
        starts: Sequence[Any],
        steps: Sequence[Any] | None,
        names: Sequence[str],
        known: Mapping[str, Any],
    ) -> None:
        """The innermost loop: over neighbours, or by `steps`."""
        context, builder = self.context, self.builder
        with cgutils.for_range(builder, n) as loop:
            places = []
            for k, (a, start) in enumerate(zip(arrays, starts, strict=True)):
                if steps is None:
                    places.append(builder.gep(builder.bitcast(start, a.data.type), [loop.index], inbounds=True))
                else:
                    place = builder.gep(start, [builder.mul(loop.index, steps[k])])
                    places.append(builder.bitcast(place, a.data.type))
            values = dict(known)
            for name, a, place in zip(names, arrays[1:], places[1:], strict=True):
                values[name] = load_item(context, builder, a.kind, place)
            old = load_item(context, builder, self.target.kind, places[0]) if self.old else None
            store_item(context, builder, self.target.kind, self.body(values, old), places[0])


# ------------------------------------------------------------------------------------------- the operations


@dataclass
class _Evaluation:
    """One expression at one place of the code: `kinds` and `values` are those of its variables."""

    context: Any
    builder: Any
    tree: Tree
    kinds: Mapping[str, types.Type]
    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.context.error_model, NumpyErrorModel):  # a division by zero is no error
            self.context = self.context.subtarget(error_model=create_error_model("numpy", self.context))
        self.arrays: dict[str, _Array] = {}
        self.scalars: dict[str, Any] = {}
        self.shifts: dict[str, Any] = {}
        for roll in _rolls(self.tree):
            (array, shift), sign = roll[1], roll[2]
            self.arrays[_key(roll)] = _Array(
                self.context, self.builder, self.kinds[array.name], self.values[array.name]
            )
            if isinstance(shift, ir.Const):
                self.shifts[_key(roll)] = self.context.get_constant(types.intp, sign * shift.value)
            else:
                kind = self.kinds[shift.name]
                by = self.context.cast(self.builder, self.values[shift.name], kind, types.intp)
                self.shifts[_key(roll)] = by if sign > 0 else self.builder.neg(by)
        for name in sorted(_plain(self.tree)):
            kind, value = self.kinds[name], self.values[name]
            if isinstance(kind, types.Array):
                self.arrays[name] = _Array(self.context, self.builder, kind, value)
            else:
                self.scalars[name] = self.context.cast(self.builder, value, kind, types.unliteral(kind))
        self.elements = _Elements(self.context, self.builder, self.kinds.__getitem__)

    def element(self, known: Mapping[str, Any], kind: types.Type) -> Any:
        """An element of the expression; of a complex one the real part, where a real number is wanted."""
        value, found = self.elements.value(self.tree, known)
        if isinstance(found, types.Complex) and not isinstance(kind, types.Complex):
            value, found = self.context.make_complex(self.builder, found, value).real, found.underlying_float
        return self.context.cast(self.builder, value, found, kind)

    def new(self, kind: types.Array, vectors: bool = True) -> Any:
        """The expression as a new array."""
        context, builder = self.context, self.builder
        shape, fits = _broadcast(builder, list(self.arrays.values()), kind.ndim)
        self.require(fits, "the shapes of operands do not broadcast")
        made = _empty_nd_impl(context, builder, kind, tuple(shape))._getvalue()
        target = _Array(context, builder, kind, made)

        def body(known: Mapping[str, Any], _: Any) -> Any:
            return self.element(known, kind.dtype)

        _Nest(context, builder, shape, target, self.arrays, self.scalars, body, False, self.shifts).emit(vectors)
        return made

    def update(self, target: _Array, number: types.Type, how: str | None, own: str = "") -> None:
        """``target[...] = expression``, ``target += expression`` or ``-=``, or the same by `add_to`.

        The expression counts as an array of `number`s; `own` is the target's name in it.  If it shares memory with the
        target it becomes an array first.
        """
        context, builder, elements = self.context, self.builder, self.elements
        others = [a for name, a in self.arrays.items() if name != own and a.kind.ndim]
        rolled = [self.arrays[name] for name in self.shifts]
        wider = [a for a in others if a.kind.ndim > target.kind.ndim]
        fits = _FALSE if wider else _all(builder, [_fits_into(builder, a, target.shape) for a in others])
        shape = target.shape
        if how == "add_to":
            ndim = max(a.kind.ndim for a in (target, *others))
            shape, broadcast = _broadcast(builder, [target, *others], ndim)
            self.require(broadcast, "the shapes of an adjoint and of a contribution to it do not broadcast")
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
            old = how is not None
            _Nest(context, builder, shape, target, self.arrays, self.scalars, body, old, self.shifts).emit()

        if not others:
            at_once()
            return
        apart = _all(
            builder,
            [_apart(builder, target, a, _FALSE if a in rolled else fits) for a in others],
        )
        with builder.if_else(apart, likely=True) as (then, otherwise):
            with then:
                at_once()
            with otherwise:
                kind = types.Array(number, max(a.kind.ndim for a in self.arrays.values()), "C")
                value = self.new(kind, False)
                between = {"": _Array(context, builder, kind, value)}

                def copied(known: Mapping[str, Any], old: Any) -> Any:
                    return changed(known[""], old)

                _Nest(context, builder, shape, target, between, {}, copied, how is not None).emit(False)
                context.nrt.decref(builder, kind, value)

    def require(self, condition: Any, message: str) -> None:
        with cgutils.if_unlikely(self.builder, self.builder.not_(condition)):
            self.context.call_conv.return_user_exc(self.builder, ValueError, (message,))


def _evaluation(lowerer: Any, tree: Tree) -> _Evaluation:
    names = {leaf.name for leaf in leaves(tree)}
    kinds = {name: lowerer.typeof(name) for name in names}
    values = {name: lowerer.loadvar(name) for name in sorted(names)}
    return _Evaluation(lowerer.context, lowerer.builder, tree, kinds, values)


def _new(lowerer: Any, expr: ir.Expr) -> Any:
    typing = lowerer.context.typing_context
    if element_type(expr.expr, lowerer.typeof, typing) is None or expr.ty.layout not in "CF" or not expr.ty.ndim:
        return _lower_array_expr(lowerer, expr)
    return _evaluation(lowerer, expr.expr).new(expr.ty)


def _update(lowerer: Any, expr: ir.Expr) -> Any:
    kind, value = lowerer.typeof(expr.target.name), lowerer.loadvar(expr.target.name)
    number = expr.ty.dtype if isinstance(expr.ty, types.Array) else expr.ty
    target = _Array(lowerer.context, lowerer.builder, kind, value)
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
    target = _Array(context, builder, kind, args[0])
    evaluation = _Evaluation(context, builder, tree, {"value": other}, {"value": value})
    evaluation.update(target, _number(number, kind.dtype, "add_to"), "add_to")
    return context.get_dummy_value()


OPERATIONS: dict[str, Callable[[Any, ir.Expr], Any]] = {"arrayexpr": _new, UPDATE: _update}
"""How the lowering of Numba's intermediate representation treats these."""
