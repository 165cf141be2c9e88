"""How compiled code reads and writes a single element of an array.

Numba copies the description of the array (ten words) to the stack wherever one of its elements is read or written.
LLVM takes these copies out again, in time that grows with the square of their number: of a gradient of 100 statements
over elements it takes half of the compilation.  Here an element is addressed by the fields that it needs; the machine
code is the same.

Sources: numba/np/arrayobj.py (basic_indexing, setitem_array).
"""

import operator
from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types
from numba.np.arrayobj import fix_integer_index, load_item, store_item

__all__ = ["element_access"]


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
    return load_item(context, builder, array, place)


def _write(context: Any, builder: Any, signature: Any, args: Any) -> None:
    array, place = _address(context, builder, signature, args)
    value = context.cast(builder, args[2], signature.args[2], array.dtype)
    store_item(context, builder, array, value, place)


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
        position = fix_integer_index(context, builder, kind, i, length)
        if context.enable_boundscheck:
            cgutils.do_boundscheck(context, builder, position, length, axis)
        found.append(position)
    return array, cgutils.get_item_pointer2(context, builder, data, shape, strides, array.layout, found)
