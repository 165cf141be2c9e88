"""The tape in Numba's compiled code.

A `Tape` is an argument of ``@njit`` functions: ``t.push(x)``, ``t.pop()``, ``t.peek()``, ``t[i]``, ``t.reserve(n)``,
``t.extend(a)``, ``t.popn(n)``, ``m = t.mark()``, ``t.rewind(m)``, ``len(t)``, without the GIL where the function is
``nogil``.  A push is a compare, a store and an add in the caller's loop.  Numba finds this module through its entry
point, so ``import tape`` does not import Numba.

Code generators use the functions of tape.handle, which stand here too.

Errors are raised in the frame of the caller (the methods are inlined there), whose arrays Numba then frees.  An
exception that passes through *further* compiled frames leaks the arrays of those; this is Numba's.  Compile helpers
that may fail with ``inline="always"``.

A tape belongs to the call that it is an argument of: it cannot be stored in a list or a generator, nor shared by the
threads of a ``prange`` (a compile-time error).  There even a thread-safe one is used by handle: Numba loses what is
raised in a ``prange``, while a failure by handle sticks to the tape (see `Tape.claimed` and `Lanes.claimed`).  Pass it
by itself, not in a tuple: where a tuple cannot be unpacked, Numba forgets to give back what it holds.  The array that
``t.reserve`` gives shows the tape's memory until the next operation on the tape; it cannot be returned to Python.
"""

import operator
from functools import cache

import numpy as np
from numba.core import cgutils, types
from numba.core.errors import NumbaTypeError
from numba.extending import (
    NativeValue,
    box,
    intrinsic,
    models,
    overload,
    overload_method,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np import numpy_support
from numba.np.arrayobj import populate_array

from tape import cursor
from tape.arrays import push_array, push_array_f4, push_shape
from tape.capi import STATUS
from tape.core import Tape
from tape.errors import (
    SpillCorruptionError,
    SpillError,
    TapeBusyError,
    TapeClosedError,
    TapeEmptyError,
    TapeIndexError,
    TapeInterrupt,
    TapeMarkError,
    TapeMemoryError,
    TapeValueError,
)
from tape.handle import failed, pop, pop_int, push, push_f4

__all__ = ["TapeType", "failed", "pop", "pop_int", "push", "push_array", "push_array_f4", "push_f4", "push_shape"]

_NOMEM = STATUS["NOMEM"]
_EMPTY = STATUS["EMPTY"]
_BUSY = STATUS["BUSY"]
_CLOSED = STATUS["CLOSED"]
_SPILL = STATUS["SPILL"]
_CORRUPT = STATUS["CORRUPT"]
_STOPPED = STATUS["STOPPED"]


class TapeType(types.Type):
    """Numba's type of a `Tape`; the ABI number in its name keeps caches of other layouts out."""

    def __init__(self, dtype: types.Type, itemsize: int) -> None:
        self.dtype = dtype
        self.itemsize = itemsize
        super().__init__(name=f"Tape({dtype}, abi={cursor.ABI})")


class PointerModel(models.OpaqueModel):
    """A pointer, in registers and arguments only: what could store it would keep it beyond the call that claimed it."""

    def _refuse(self):
        raise NumbaTypeError(
            "a tape cannot be stored in a list or generator, nor shared by the threads of a prange: use handles"
        )

    def get_data_type(self):
        self._refuse()

    def as_data(self, builder, value):
        self._refuse()

    def from_data(self, builder, value):
        self._refuse()


register_model(TapeType)(PointerModel)


class BlockType(types.Array):
    """The array that shows a reserved block.  It is an array in all but one thing: Python cannot get hold of it."""

    def __init__(self, dtype, ndim=1, layout="C", readonly=False, aligned=True):
        super().__init__(
            dtype,
            ndim,
            layout,
            readonly=readonly,
            aligned=aligned,
            name=f"TapeBlock({dtype}, {ndim}, {layout}, {readonly})",
        )

    def copy(self, dtype=None, ndim=None, layout=None, readonly=None):
        if readonly is False:  # how Numba's typing asks for the type of a real copy, which owns its memory
            return super().copy(dtype=dtype, ndim=ndim, layout=layout, readonly=readonly)
        return BlockType(
            self.dtype if dtype is None else dtype,
            self.ndim if ndim is None else ndim,
            self.layout if layout is None else layout,
            not self.mutable if readonly is None else readonly,
        )


@register_model(BlockType)
class _BlockModel(models.ArrayModel):
    pass


@box(BlockType)
def _box_block(_type, _value, _c):
    raise NumbaTypeError("a reserved block shows the tape's memory and cannot be returned; return a copy()")


@typeof_impl.register(Tape)
def _typeof_tape(tape, _context):
    return tape_type(tape.dtype)


@cache  # a microsecond off every call with a tape argument
def tape_type(dtype):
    if dtype.kind not in "biufc" or not dtype.isnative or dtype.itemsize > 16:
        raise NumbaTypeError(f"a tape of {dtype} cannot go into compiled code; numbers and bools can")
    return TapeType(numpy_support.from_dtype(dtype), dtype.itemsize)


def unbox_claimed(obj, c, leave):
    """The address that `obj._claim()` gives, until the function of tape.capi named `leave` ends the claim."""
    claim = c.pyapi.object_getattr_string(obj, "_claim")
    handle = c.pyapi.call_function_objargs(claim, ())
    c.pyapi.decref(claim)
    failed = cgutils.is_null(c.builder, handle)
    result = cgutils.alloca_once_value(c.builder, cgutils.get_null_value(cgutils.voidptr_t))
    with c.builder.if_then(c.builder.not_(failed), likely=True):
        c.builder.store(c.pyapi.long_as_voidptr(handle), result)
        c.pyapi.decref(handle)
    claimed = c.builder.load(result)
    return NativeValue(claimed, is_error=failed, cleanup=lambda: cursor.call(c.builder, leave, [claimed]))


@unbox(TapeType)
def _unbox_tape(_type, obj, c):
    return unbox_claimed(obj, c, "leave")


# ----------------------------------------------------------------------------- methods: the compiled part


def item_type(context, tape):
    return context.get_data_type(tape.dtype)


@intrinsic
def _push(_context, tape, item):
    def codegen(context, builder, signature, args):
        value = context.get_value_as_data(builder, tape.dtype, args[1])
        return cursor.try_push(builder, args[0], value, tape.itemsize)

    return types.int32(tape, tape.dtype), codegen


@intrinsic
def _pop(_context, tape):
    result = types.Tuple((types.int32, tape.dtype))

    def codegen(context, builder, signature, args):
        status, data = cursor.try_pop(builder, args[0], item_type(context, tape), tape.itemsize)
        return context.make_tuple(builder, result, (status, from_data(context, builder, tape.dtype, data)))

    return result(tape), codegen


def from_data(context, builder, dtype, data):
    slot = cgutils.alloca_once_value(builder, data)
    return context.unpack_value(builder, dtype, slot)


def _address(name):
    """An intrinsic ``(tape, bytes) -> pointer to items`` over a function of tape.capi."""

    @intrinsic
    def address(_context, tape, nbytes):
        def codegen(context, builder, signature, args):
            found = cursor.call(builder, name, args)
            return builder.bitcast(found, item_type(context, tape).as_pointer())

        return types.CPointer(tape.dtype)(tape, types.uint64), codegen

    return address


_reserve = _address("reserve")


def _copy(name):
    """An intrinsic ``(tape, array) -> status`` that moves all of a contiguous array by a function of tape.capi."""

    @intrinsic
    def copy(_context, tape, array):
        def codegen(context, builder, signature, args):
            native = context.make_array(array)(context, builder, args[1])
            size = builder.mul(native.nitems, context.get_constant(types.intp, tape.itemsize))
            data = builder.bitcast(native.data, cgutils.voidptr_t)
            return cursor.call(builder, name, [args[0], data, size])

        return types.int32(tape, array), codegen

    return copy


_extend = _copy("extend")
_take = _copy("pop")


@intrinsic
def _item(_context, tape, index):
    """A status, and the item at an index, which counts from the end if it is negative."""
    result = types.Tuple((types.int32, tape.dtype))

    def codegen(context, builder, signature, args):
        slot = cgutils.alloca_once(builder, item_type(context, tape))
        builder.store(cgutils.get_null_value(slot.type.pointee), slot)
        status = cursor.call(builder, "item", [args[0], args[1], builder.bitcast(slot, cgutils.voidptr_t)])
        return context.make_tuple(builder, result, (status, context.unpack_value(builder, tape.dtype, slot)))

    return result(tape, types.int64), codegen


@intrinsic
def _mark(_context, tape):
    def codegen(context, builder, signature, args):
        return cursor.call(builder, "mark", args)

    return types.int64(tape), codegen


@intrinsic
def _rewind(_context, tape, mark):
    def codegen(context, builder, signature, args):
        return cursor.call(builder, "rewind", args)

    return types.int32(tape, types.int64), codegen


@intrinsic
def _length(_context, tape):
    def codegen(context, builder, signature, args):
        length = cursor.call(builder, "length", args)
        return builder.udiv(length, context.get_constant(types.uint64, tape.itemsize))

    return types.intp(tape), codegen


@intrinsic
def _is_null(_context, pointer):
    def codegen(context, builder, signature, args):
        return cgutils.is_null(builder, args[0])

    return types.boolean(pointer), codegen


# -------------------------------------------------------------------------- methods: the checked, inlined part


def _converter(dtype, item):
    """How an item of Numba type `item` becomes one of `dtype`: None, "cast", or the largest exact integer."""
    if isinstance(item, types.Boolean):
        fits = isinstance(dtype, types.Boolean | types.Integer | types.Float | types.Complex)
        return "cast" if fits else None
    if isinstance(item, types.Integer):
        if isinstance(dtype, types.Integer):
            return "same value"
        if isinstance(dtype, types.Float | types.Complex):
            return 2 ** (np.finfo(numpy_support.as_dtype(dtype)).nmant + 1)
    if isinstance(item, types.Float) and isinstance(dtype, types.Float | types.Complex):
        return "cast"
    if isinstance(item, types.Complex) and isinstance(dtype, types.Complex):
        return "cast"
    return None


@overload_method(TapeType, "push", inline="always")
def _tape_push(tape, x):
    dtype = tape.dtype
    how = _converter(dtype, types.unliteral(x))
    if how is None:
        raise NumbaTypeError(f"push: {x} does not go on a {dtype} tape")
    if how == "cast":

        def push_item(tape, x):
            status = _push(tape, dtype(x))
            if status:
                if status == _STOPPED:
                    raise TapeInterrupt("push: interrupted while it waited for a slab")
                if status == _SPILL:
                    raise SpillError("push: a slab could not be written; see the tape's spill_error()")
                if status == _CLOSED:
                    raise TapeClosedError("push: the tape is closed")
                if status == _BUSY:
                    raise TapeBusyError("push: the tape is in use by what waits for this thread")
                raise TapeMemoryError("push: no memory for another slab; the tape is as it was")

        return push_item
    if how == "same value":

        def push_whole(tape, x):
            item = dtype(x)
            if item != x or (item < 0) != (x < 0):
                raise TapeValueError("push: the integer does not fit the tape's dtype")
            status = _push(tape, item)
            if status:
                if status == _STOPPED:
                    raise TapeInterrupt("push: interrupted while it waited for a slab")
                if status == _SPILL:
                    raise SpillError("push: a slab could not be written; see the tape's spill_error()")
                if status == _CLOSED:
                    raise TapeClosedError("push: the tape is closed")
                if status == _BUSY:
                    raise TapeBusyError("push: the tape is in use by what waits for this thread")
                raise TapeMemoryError("push: no memory for another slab; the tape is as it was")

        return push_whole

    limit = how

    def push_exact(tape, x):
        if x > limit or x < -limit:
            raise TapeValueError("push: the integer is not exact as a float; push float(x) to round it")
        status = _push(tape, dtype(x))
        if status:
            if status == _STOPPED:
                raise TapeInterrupt("push: interrupted while it waited for a slab")
            if status == _SPILL:
                raise SpillError("push: a slab could not be written; see the tape's spill_error()")
            if status == _CLOSED:
                raise TapeClosedError("push: the tape is closed")
            if status == _BUSY:
                raise TapeBusyError("push: the tape is in use by what waits for this thread")
            raise TapeMemoryError("push: no memory for another slab; the tape is as it was")

    return push_exact


@overload_method(TapeType, "pop", inline="always")
def _tape_pop(tape):
    def pop_item(tape):
        status, item = _pop(tape)
        if status:
            if status == _BUSY:
                raise TapeBusyError("pop: a live view pins these items; delete the array first")
            if status == _STOPPED:
                raise TapeInterrupt("pop: interrupted while it waited for a slab")
            if status == _SPILL:
                raise SpillError("pop: a slab could not be read back; see the tape's spill_error()")
            if status == _CORRUPT:
                raise SpillCorruptionError("pop: a slab came back changed; see the tape's spill_error()")
            if status == _CLOSED:
                raise TapeClosedError("pop: the tape is closed")
            raise TapeEmptyError("pop: the tape is empty")
        return item

    return pop_item


@overload_method(TapeType, "peek", inline="always")
def _tape_peek(tape):
    def peek_item(tape):
        status, item = _item(tape, -1)
        if status:
            if status == _CLOSED:
                raise TapeClosedError("peek: the tape is closed")
            if status == _BUSY:
                raise TapeBusyError("peek: the tape is in use by what waits for this thread")
            if status == _STOPPED:
                raise TapeInterrupt("peek: interrupted while it waited for a slab")
            if status in (_SPILL, _CORRUPT):
                raise SpillError("peek: a slab could not be read back; see the tape's spill_error()")
            raise TapeEmptyError("peek: the tape is empty")
        return item

    return peek_item


@overload(operator.getitem, inline="always")
def _tape_getitem(tape, i):
    if not isinstance(tape, TapeType) or not isinstance(i, types.Integer):
        return None

    def getitem(tape, i):
        status, item = _item(tape, i)
        if status:
            if status == _EMPTY:
                raise TapeIndexError("the index is out of range of the tape")
            if status == _CLOSED:
                raise TapeClosedError("the tape is closed")
            if status == _BUSY:
                raise TapeBusyError("the tape is in use by what waits for this thread")
            if status == _STOPPED:
                raise TapeInterrupt("interrupted while it waited for a slab")
            raise SpillError("a slab could not be read back; see the tape's spill_error()")
        return item

    return getitem


@overload_method(TapeType, "reserve", inline="always")
def _tape_reserve(tape, n):
    if not isinstance(n, types.Integer):
        raise NumbaTypeError(f"reserve: a number of items, not {n}")
    itemsize = tape.itemsize

    def reserve_block(tape, n):
        if n < 0 or n > 2**59:
            raise TapeValueError("reserve: a number of items is neither negative nor beyond memory")
        block = _reserve(tape, n * itemsize)
        if _is_null(block):
            raise TapeMemoryError(
                "reserve: no memory for such a block (with a memory budget: at most a slab; on a thread-safe tape: "
                "none, as others may pop it meanwhile; fill an array and extend)"
            )
        return _as_block(block, n)

    return reserve_block


@intrinsic
def _as_block(_context, pointer, n):
    block = BlockType(pointer.dtype)

    def codegen(context, builder, signature, args):
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(pointer.dtype)))
        array = context.make_array(block)(context, builder)
        shape, strides = [args[1]], [size]
        populate_array(array, args[0], shape, strides, size, meminfo=None)
        return array._getvalue()

    return block(pointer, types.intp), codegen


@overload_method(TapeType, "mark", inline="always")
def _tape_mark(tape):
    def mark_tape(tape):
        mark = _mark(tape)
        if mark == 0:
            raise TapeMemoryError("mark: no memory for a mark")
        return mark

    return mark_tape


@overload_method(TapeType, "rewind", inline="always")
def _tape_rewind(tape, mark):
    if not isinstance(mark, types.Integer):
        raise NumbaTypeError(f"rewind: a mark that this tape's mark() returned in compiled code, not {mark}")

    def rewind_tape(tape, mark):
        status = _rewind(tape, mark)
        if status:
            if status == _BUSY:
                raise TapeBusyError("rewind: a live view pins these items; delete the array first")
            if status in (_SPILL, _CORRUPT):
                raise SpillError("rewind: a slab could not be read back; see the tape's spill_error()")
            if status == _CLOSED:
                raise TapeClosedError("rewind: the tape is closed")
            if status == _STOPPED:
                raise TapeInterrupt("rewind: interrupted while it waited for a slab")
            raise TapeMarkError("rewind: the tape was popped past this mark, or the mark is another tape's")

    return rewind_tape


@overload_method(TapeType, "extend", inline="always")
def _tape_extend(tape, items):
    require_row(tape, items, "extend")

    def extend_tape(tape, items):
        status = _extend(tape, items)
        if status:
            if status == _STOPPED:
                raise TapeInterrupt("extend: interrupted while it waited for a slab")
            if status == _SPILL:
                raise SpillError("extend: a slab could not be written; see the tape's spill_error()")
            if status == _CLOSED:
                raise TapeClosedError("extend: the tape is closed")
            if status == _BUSY:
                raise TapeBusyError("extend: the tape is in use by what waits for this thread")
            raise TapeMemoryError("extend: no memory for another slab; the tape is as it was")

    return extend_tape


@overload_method(TapeType, "popn", inline="always")
def _tape_popn(tape, n, out=None):
    if not isinstance(n, types.Integer):
        raise NumbaTypeError(f"popn: a number of items, not {n}")
    dtype = tape.dtype
    if out is None or isinstance(out, types.NoneType | types.Omitted):

        def popn_new(tape, n, out=None):
            if n < 0:
                raise TapeValueError("popn: a number of items is not negative")
            if n > _length(tape):
                raise TapeEmptyError("popn: the tape holds fewer items")
            items = np.empty(n, dtype)
            status = _take(tape, items)
            if status:
                if status == _STOPPED:
                    raise TapeInterrupt("popn: interrupted while it waited for a slab")
                if status == _EMPTY:
                    raise TapeEmptyError("popn: the tape holds fewer items")
                if status == _CLOSED:
                    raise TapeClosedError("popn: the tape is closed")
                if status != _BUSY:
                    raise SpillError("popn: a slab could not be read back; see the tape's spill_error()")
                raise TapeBusyError("popn: a live view pins these items; delete the array first")
            return items

        return popn_new
    require_row(tape, out, "popn")

    def popn_out(tape, n, out=None):
        if n != out.size:
            raise TapeValueError("popn: out has another size than the number of items")
        if n > _length(tape):
            raise TapeEmptyError("popn: the tape holds fewer items")
        status = _take(tape, out)
        if status:
            if status == _STOPPED:
                raise TapeInterrupt("popn: interrupted while it waited for a slab")
            if status == _EMPTY:
                raise TapeEmptyError("popn: the tape holds fewer items")
            if status == _CLOSED:
                raise TapeClosedError("popn: the tape is closed")
            if status != _BUSY:
                raise SpillError("popn: a slab could not be read back; see the tape's spill_error()")
            raise TapeBusyError("popn: a live view pins these items; delete the array first")
        return out

    return popn_out


def require_row(tape, array, what):
    if not isinstance(array, types.Array) or array.ndim != 1 or array.layout not in "CF":
        raise NumbaTypeError(f"{what}: a contiguous one-dimensional array, not {array}")
    if array.dtype != tape.dtype:
        raise NumbaTypeError(f"{what}: an array of {array.dtype} for a {tape.dtype} tape")
    if what == "popn" and not array.mutable:
        raise NumbaTypeError("popn: out is read-only")


@overload(len, inline="always")
def _tape_len(tape):
    if not isinstance(tape, TapeType):
        return None

    def length(tape):
        return _length(tape)

    return length
