"""A `Reader` as an argument of Numba's compiled code: ``r.pop()``, ``r.popn(n, out)``, ``r.restart()``, ``len(r)``.

The tape of the reader is claimed for the call, as if it were an argument itself.
"""

from functools import cache

import numpy as np
from numba.core import cgutils, types
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic, overload, overload_method, register_model, typeof_impl, unbox
from numba.np import numpy_support

from tape import cursor
from tape.capi import STATUS
from tape.errors import SpillError, TapeEmptyError, TapeInterrupt, TapeValueError
from tape.numba import PointerModel, from_data, item_type, require_row, unbox_claimed
from tape.reader import Reader

__all__ = ["ReaderType"]

_EMPTY = STATUS["EMPTY"]
_STOPPED = STATUS["STOPPED"]


class ReaderType(types.Type):
    """Numba's type of a `Reader`."""

    def __init__(self, dtype: types.Type, itemsize: int) -> None:
        self.dtype = dtype
        self.itemsize = itemsize
        super().__init__(name=f"TapeReader({dtype}, abi={cursor.ABI})")


register_model(ReaderType)(PointerModel)


@typeof_impl.register(Reader)
def _typeof_reader(reader, _context):
    return reader_type(reader.tape.dtype)


@cache
def reader_type(dtype):
    if dtype.kind not in "biufc" or not dtype.isnative or dtype.itemsize > 16:
        raise NumbaTypeError(f"a reader of a tape of {dtype} cannot go into compiled code; numbers and bools can")
    return ReaderType(numpy_support.from_dtype(dtype), dtype.itemsize)


@unbox(ReaderType)
def _unbox_reader(_type, obj, c):
    return unbox_claimed(obj, c, "reader_leave")


@intrinsic
def _pop(_context, reader):
    result = types.Tuple((types.int32, reader.dtype))

    def codegen(context, builder, signature, args):
        item = item_type(context, reader)
        status, data = cursor.try_pop(builder, args[0], item, reader.itemsize, "reader_take")
        return context.make_tuple(builder, result, (status, from_data(context, builder, reader.dtype, data)))

    return result(reader), codegen


@intrinsic
def _take(_context, reader, array):
    def codegen(context, builder, signature, args):
        native = context.make_array(array)(context, builder, args[1])
        size = builder.mul(native.nitems, context.get_constant(types.intp, reader.itemsize))
        return cursor.call(builder, "reader_take", [args[0], builder.bitcast(native.data, cgutils.voidptr_t), size])

    return types.int32(reader, array), codegen


@intrinsic
def _restart(_context, reader):
    def codegen(context, builder, signature, args):
        return cursor.call(builder, "reader_restart", args)

    return types.int32(reader), codegen


@intrinsic
def _length(_context, reader):
    def codegen(context, builder, signature, args):
        length = cursor.call(builder, "reader_length", args)
        return builder.udiv(length, context.get_constant(types.uint64, reader.itemsize))

    return types.intp(reader), codegen


@overload_method(ReaderType, "pop", inline="always")
def _reader_pop(reader):
    def pop_item(reader):
        status, item = _pop(reader)
        if status:
            if status == _EMPTY:
                raise TapeEmptyError("pop: the reader is at the end of its stretch")
            if status == _STOPPED:
                raise TapeInterrupt("pop: interrupted while it waited for a slab")
            raise SpillError("pop: a slab could not be read back; see the tape's spill_error()")
        return item

    return pop_item


@overload_method(ReaderType, "popn", inline="always")
def _reader_popn(reader, n, out=None):
    if not isinstance(n, types.Integer):
        raise NumbaTypeError(f"popn: a number of items, not {n}")
    dtype = reader.dtype
    if out is None or isinstance(out, types.NoneType | types.Omitted):

        def popn_new(reader, n, out=None):
            if n < 0:
                raise TapeValueError("popn: a number of items is not negative")
            if n > _length(reader):
                raise TapeEmptyError("popn: the reader has fewer items left")
            items = np.empty(n, dtype)
            if _take(reader, items):
                raise SpillError("popn: a slab could not be read back; see the tape's spill_error()")
            return items

        return popn_new
    require_row(reader, out, "popn")

    def popn_out(reader, n, out=None):
        if n != out.size:
            raise TapeValueError("popn: out has another size than the number of items")
        if n > _length(reader):
            raise TapeEmptyError("popn: the reader has fewer items left")
        if _take(reader, out):
            raise SpillError("popn: a slab could not be read back; see the tape's spill_error()")
        return out

    return popn_out


@overload_method(ReaderType, "restart", inline="always")
def _reader_restart(reader):
    def restart(reader):
        _restart(reader)

    return restart


@overload(len, inline="always")
def _reader_len(reader):
    if not isinstance(reader, ReaderType):
        return None

    def length(reader):
        return _length(reader)

    return length
