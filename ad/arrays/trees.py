"""Expressions of whole arrays as trees, and what one of their elements is.

A tree is as Numba's `RewriteArrayExprs` makes it: ``(operation, [operand, ...])`` over variables and constants, with a
few operations besides.  Elements are computed in the types in which Numba computes with scalars.

Sources: numba/np/ufunc/array_exprs.py.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir as llvm
from numba.core import ir, types
from numba.core.errors import NumbaError

from ad.arrays.vectorrows import splat

__all__ = [
    "CONVERT",
    "ROLL",
    "Elements",
    "Tree",
    "element_type",
    "key",
    "leaves",
    "plain",
    "rolls",
    "size",
    "takes_vectors",
]

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


def rolls(tree: Tree) -> Iterator[Tree]:
    """The rolled arrays of an expression."""
    if isinstance(tree, tuple):
        if tree[0] is ROLL:
            yield tree
        else:
            for operand in tree[1]:
                yield from rolls(operand)


def plain(tree: Tree) -> set[str]:
    """The variables of an expression that stand for themselves."""
    if isinstance(tree, tuple):
        return set() if tree[0] is ROLL else set().union(*map(plain, tree[1]))
    return {tree.name} if isinstance(tree, ir.Var) else set()


def size(tree: Tree) -> int:
    """How many operators an expression has."""
    return 1 + sum(map(size, tree[1])) if isinstance(tree, tuple) else 0


def key(roll: Tree) -> str:
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
def signature_of(context: Any, operation: Any, operands: tuple[types.Type, ...]) -> Any:
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
    found = signature_of(context, operation, tuple(kinds))
    if found is None or not isinstance(found.return_type, types.Number | types.Boolean):
        return None
    return types.unliteral(found.return_type)


_OPERATORS = {
    *(operator.pos, operator.neg, operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv),
    *(operator.mod, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
    *(operator.invert, operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift),
}


_OF_VECTORS = {operator.pos, operator.neg, operator.add, operator.sub, operator.mul}
"""What Numba computes of floats by one instruction, which takes vectors as well."""


def takes_vectors(tree: Tree, typeof: Callable[[str], types.Type]) -> bool:
    """Whether `Elements` can compute an expression from vectors of elements."""
    if isinstance(tree, ir.Const):
        return isinstance(tree.value, float)
    if isinstance(tree, ir.Var):
        kind = types.unliteral(typeof(tree.name))
        return bool((kind.dtype if isinstance(kind, types.Array) else kind) == types.float64)
    operation, operands = tree[:2]
    if _small_power(tree) is not None:
        return takes_vectors(operands[0], typeof)
    if operation is CONVERT:
        return bool(tree[2] == types.float64) and takes_vectors(operands[0], typeof)
    return operation in _OF_VECTORS and all(takes_vectors(operand, typeof) for operand in operands)


@dataclass
class Elements:
    """Computes an element of an expression from those of its operands, or several from vectors of these."""

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
            return known[key(tree)], kind
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
        return types.unliteral(signature_of(self.context.typing_context, operation, kinds).return_type)

    def call(self, operation: Any, operands: Sequence[tuple[Any, types.Type]]) -> Any:
        signature = signature_of(self.context.typing_context, operation, tuple(kind for _, kind in operands))
        values = [
            self.context.cast(self.builder, value, kind, wanted)
            for (value, kind), wanted in zip(operands, signature.args, strict=True)
        ]
        if any(isinstance(value.type, llvm.VectorType) for value in values):
            values = [splat(self.builder, value) for value in values]
        return self.context.get_function(operation, signature)(self.builder, values)
