"""How compiled code reads and writes a single element of an array.

Numba copies the description of the array (ten words) to the stack wherever one of its elements is read or written.
LLVM takes these copies out again, in time that grows with the square of their number: of a gradient of 100 statements
over elements it takes half of the compilation.  Here an element is addressed by the fields that it needs; the machine
code is the same.

In a loop over a range, whether an index lies below zero, and so counts from the end, is asked at every access, and no
compiler can vectorise that; nor does it where arrays may share memory.  `inside` asks once, for the whole range: what
it returns are the same arrays, with types by which accesses along that axis take the index as it is, and by which LLVM
knows that they are apart.

Sources: numba/np/arrayobj.py (basic_indexing, setitem_array).
"""

import operator
from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir as llvm
from numba.core import cgutils, types
from numba.core.datamodel import default_manager
from numba.core.datamodel.models import ArrayModel
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin
from numba.np.arrayobj import fix_integer_index, load_item, store_item

__all__ = ["element_access", "inside"]


class Inside(types.Array):
    """An array whose indices along one axis are known to lie in range.

    `loop` and `label` are numbers: arrays of one loop with different labels share no memory; it has `labels` of them.
    """

    def __init__(self, array: types.Array, axis: int, loop: int, label: int, labels: int) -> None:
        self.axis, self.loop, self.label, self.labels = axis, loop, label, labels
        name = f"inside({array}, {axis}, {loop}, {label}, {labels})"
        super().__init__(array.dtype, array.ndim, array.layout, not array.mutable, name, array.aligned)

    @property
    def key(self) -> Any:
        return "inside", self.axis, self.loop, self.label, self.labels, *super().key


default_manager.register(Inside, ArrayModel)


def inside(loop: int, *ranges: tuple[Any, int, int, int]) -> Any:
    """Arrays for a loop whose indices along an axis lie in a range: for each an ``(array, axis, start, stop)``.

    What is returned are the same arrays, or the one; compiled code takes them to share no memory with one another, and
    takes the indices along that axis as they are.  `loop` is a number that no other loop of the function has.

    Raises IndexError where a range is not empty and reaches beyond the array.
    """
    for array, axis, start, stop in ranges:
        if start < stop and (start < 0 or stop > array.shape[axis]):
            raise IndexError("index is out of bounds")
    arrays = tuple(array for array, *_ in ranges)
    return arrays if len(arrays) > 1 else arrays[0]


@infer_global(inside)
class _TypeOfInside(AbstractTemplate):
    prefer_literal = True

    def generic(self, args: Any, kws: Any) -> Any:
        loop, *ranges = args
        made = []
        for label, (array, axis, _, _) in enumerate(ranges, 1):
            if not isinstance(loop, types.IntegerLiteral) or not isinstance(axis, types.IntegerLiteral):
                return None
            made.append(Inside(array, axis.literal_value, loop.literal_value, label, len(ranges)))
        return signature(types.Tuple(made) if len(made) > 1 else made[0], *args)


@lower_builtin(inside, types.VarArg(types.Any))
def _lower_inside(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Checks the ranges; the arrays are as they are, but for their types."""
    made = []
    found = signature.return_type
    results = (found,) if isinstance(found, Inside) else tuple(found)
    for kind, given, result in zip(signature.args[1:], args[1:], results, strict=True):
        array, _, *ends = cgutils.unpack_tuple(builder, given, 4)
        start, stop = (context.cast(builder, e, t, types.intp) for e, t in zip(ends, kind.types[2:], strict=True))
        shape = context.data_model_manager[result].get(builder, array, "shape")
        length = builder.extract_value(shape, result.axis)
        beyond = builder.or_(builder.icmp_signed("<", start, start.type(0)), builder.icmp_signed(">", stop, length))
        with builder.if_then(builder.and_(builder.icmp_signed("<", start, stop), beyond), likely=False):
            context.call_conv.return_user_exc(builder, IndexError, ("index is out of bounds",))
        context.nrt.incref(builder, result, array)
        made.append(array)
    _declare(builder, signature.args[0].literal_value, len(made))
    return made[0] if isinstance(found, Inside) else context.make_tuple(builder, found, made)


def _scopes(builder: Any, loop: int, labels: Iterable[int]) -> Any:
    """The metadata for some of the arrays of a loop, by which LLVM knows what shares no memory."""
    module, function = builder.module, builder.function.name
    domain = module.add_metadata([f"{function} {loop}"])
    return module.add_metadata([module.add_metadata([f"{function} {loop} {label}", domain]) for label in labels])


def _declare(builder: Any, loop: int, labels: int) -> None:
    """Say that the scopes hold from here on: in the next trip of a loop around, arrays may have changed places."""
    kind = llvm.FunctionType(llvm.VoidType(), [llvm.MetaDataType()])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.experimental.noalias.scope.decl")
    for label in range(1, labels + 1):
        builder.call(function, [_scopes(builder, loop, [label])])


def _mark(builder: Any, array: types.Array, access: Any) -> None:
    """Tell LLVM which other arrays of the loop an access does not touch."""
    if not isinstance(array, Inside) or not isinstance(access, llvm.LoadInstr | llvm.StoreInstr):
        return
    others = [label for label in range(1, array.labels + 1) if label != array.label]
    access.set_metadata("alias.scope", _scopes(builder, array.loop, [array.label]))
    if others:
        access.set_metadata("noalias", _scopes(builder, array.loop, others))


def element_access(operation: Any, signature: Any) -> Callable[..., Any] | None:
    """What lowers ``a[i, j]`` or ``a[i, j] = x`` of an array and whole numbers; None for any other operation."""
    key = getattr(operation, "typing_key", None)
    if key not in (operator.getitem, operator.setitem) or not isinstance(signature.args[0], types.Array):
        return None
    array, index = signature.args[:2]
    parts = index.types if isinstance(index, types.BaseTuple) else (index,)
    if len(parts) != array.ndim or not all(isinstance(part, types.Integer) for part in parts):
        return None
    return _read if key is operator.getitem else _write


def _read(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array, place = _address(context, builder, signature, args)
    item = load_item(context, builder, array, place)
    _mark(builder, array, item)
    return item


def _write(context: Any, builder: Any, signature: Any, args: Any) -> None:
    array, place = _address(context, builder, signature, args)
    value = context.cast(builder, args[2], signature.args[2], array.dtype)
    store_item(context, builder, array, value, place)
    _mark(builder, array, builder.block.instructions[-1])


def _address(context: Any, builder: Any, signature: Any, args: Any) -> tuple[types.Array, Any]:
    array, index = signature.args[:2]
    if isinstance(index, types.BaseTuple):
        kinds, indices = index.types, cgutils.unpack_tuple(builder, args[1], count=len(index))
    else:
        kinds, indices = (index,), (args[1],)
    model = context.data_model_manager[array]
    data = model.get(builder, args[0], "data")
    shape, strides = (
        cgutils.unpack_tuple(builder, model.get(builder, args[0], field)) for field in ("shape", "strides")
    )
    found = []
    for axis, (kind, i, length) in enumerate(zip(kinds, indices, shape, strict=True)):
        if isinstance(array, Inside) and axis == array.axis:
            found.append(context.cast(builder, i, kind, types.intp))
            continue
        position = fix_integer_index(context, builder, kind, i, length)
        if context.enable_boundscheck:
            cgutils.do_boundscheck(context, builder, position, length, axis)
        found.append(position)
    return array, cgutils.get_item_pointer2(context, builder, data, shape, strides, array.layout, found)
