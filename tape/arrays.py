"""Arrays on an integer handle, in compiled code: what generated code records and restores (see tape.handle).

An array on the tape is its items in C order, whatever its layout in memory, filled up to whole words; above them lies
one word for the length of each dimension.  There is no copy in between, and no limit but the tape's own.
"""

from numba.core import cgutils, types
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic

from tape import cursor
from tape.handle import as_pointer

__all__ = ["array_popper", "exchange", "push_array", "push_array_f4", "push_shape", "restorer"]

_WORD = 8
_KINDS = types.Number | types.Boolean


def _check(name, array, written=False):
    if not isinstance(array, types.Array) or not isinstance(array.dtype, _KINDS):
        raise NumbaTypeError(f"{name}: an array of numbers or bools, not {array}")
    if written and not array.mutable:
        raise NumbaTypeError(f"{name}: the array is read-only")


def _form(context, dtype, single):
    """Parts of an item, and the bytes of a part in memory and on the tape (see tape.words.form_s)."""
    size = context.get_abi_sizeof(context.get_data_type(dtype))
    parts = 2 if isinstance(dtype, types.Complex) else 1
    size //= parts
    narrowed = single and isinstance(dtype, types.Float | types.Complex)
    return parts, size, min(size, 4) if narrowed else size


def _move(context, builder, pushing, handle, array_type, array, single, leave=None):
    """Push or pop the items of an array: at once where they are words without gaps, else by a function of tape.capi."""
    tape = as_pointer(builder, handle)
    native = context.make_array(array_type)(context, builder, array)
    data = builder.bitcast(native.data, cgutils.voidptr_t)
    parts, size, packed = _form(context, array_type.dtype, single)

    def call():
        lengths, strides = (
            builder.bitcast(cgutils.alloca_once_value(builder, value), cgutils.intp_t.as_pointer())
            for value in (native.shape, native.strides)
        )
        dimensions, *form = (context.get_constant(types.int32, n) for n in (array_type.ndim, parts, size, packed))
        args = [tape, data, dimensions, lengths, strides, *form]
        if pushing:
            cursor.call(builder, "push_array", args)
            return
        status = cursor.call(builder, "pop_array", args)
        with builder.if_then(cgutils.is_not_null(builder, status), likely=False):
            leave()

    if packed == _WORD and (array_type.layout == "C" or array_type.ndim == 0):
        nbytes = builder.mul(native.nitems, context.get_constant(types.intp, parts * size))
        (cursor.push_bytes if pushing else cursor.pop_bytes)(builder, tape, data, nbytes, call)
    else:
        call()


def _push_lengths(context, builder, handle, array_type, array):
    native = context.make_array(array_type)(context, builder, array)
    if array_type.ndim > 0:
        cursor.push_block(builder, as_pointer(builder, handle), cgutils.unpack_tuple(builder, native.shape), _WORD)


def _pusher(name, doc, single=False, items=True):
    def push_items(_context, handle, array):
        _check(name, array)

        def codegen(context, builder, signature, args):
            if items:
                _move(context, builder, True, args[0], array, args[1], single)
            _push_lengths(context, builder, args[0], array, args[1])
            return context.get_dummy_value()

        return types.none(types.uint64, array), codegen

    push_items.__name__ = name
    push_items.__doc__ = doc
    return intrinsic(push_items)


push_array = _pusher(
    "push_array",
    """``push_array(handle, a)``: record an array of numbers or bools, of any shape and layout.

    If there is no memory, this push and all later ones are dropped and `failed` says so.
    """,
)
push_array_f4 = _pusher(
    "push_array_f4",
    """``push_array_f4(handle, a)``: the same, with float64 and complex128 in single precision; half the bytes.""",
    single=True,
)
push_shape = _pusher(
    "push_shape",
    """``push_shape(handle, a)``: record the shape of an array alone.""",
    items=False,
)


def array_popper(name, doc, leave_by, single=False, lengths=True):
    """An intrinsic that pops what `push_array` pushed into an array of as many dimensions and items, of any layout.

    `leave_by` is the exception by which the compiled function is left where the pop fails, or where the number of items
    is another.  With `lengths` false the shape was popped already.
    """

    def pop_items(_context, handle, array):
        _check(name, array, written=True)

        def codegen(context, builder, signature, args):
            def leave():
                context.call_conv.return_user_exc(builder, leave_by)

            if lengths and array.ndim > 0:
                word = cgutils.intp_t
                shape = cursor.pop_block(builder, as_pointer(builder, args[0]), word, _WORD, array.ndim, leave)
                items = word(1)
                for length in shape:
                    items = builder.mul(items, length)
                native = context.make_array(array)(context, builder, args[1])
                with builder.if_then(builder.icmp_signed("!=", items, native.nitems), likely=False):
                    leave()
            _move(context, builder, False, args[0], array, args[1], single, leave)
            return context.get_dummy_value()

        return types.none(types.uint64, array), codegen

    pop_items.__name__ = name
    pop_items.__doc__ = doc
    return intrinsic(pop_items)


def _elsewhere(context, builder, array_type, array, name, handle, leave=None):
    """The array in the memory that a function of tape.capi gives for it."""
    if not isinstance(array_type, types.Array) or array_type.layout not in "CF":
        raise NumbaTypeError(f"{name}: a contiguous array, not {array_type}")
    native = context.make_array(array_type)(context, builder, array)
    old = builder.bitcast(native.data, cgutils.voidptr_t)
    nbytes = builder.mul(native.nitems, native.itemsize)
    new = cursor.call(builder, name, [as_pointer(builder, handle), old, nbytes])
    if leave is not None:
        with builder.if_then(cgutils.is_null(builder, new), likely=False):
            leave()
    # The tape's memory is not the array's to free.
    stays = builder.icmp_unsigned("==", new, old)
    for owner in ("meminfo", "parent"):
        held = getattr(native, owner)
        setattr(native, owner, builder.select(stays, held, cgutils.get_null_value(held.type)))
    native.data = builder.bitcast(new, native.data.type)
    moved = native._getvalue()
    context.nrt.incref(builder, array_type, moved)
    return moved


@intrinsic
def exchange(_context, handle, array):
    """``a = exchange(handle, a)``: record a contiguous array that is about to be overwritten from end to end.

    It is given other memory, with undefined contents, and nothing is copied; on a tape with a budget it is copied and
    keeps its memory.  The old memory must live until a `restorer` has given it back.
    """

    def codegen(context, builder, signature, args):
        return _elsewhere(context, builder, array, args[1], "exchange", args[0])

    return array(types.uint64, array), codegen


def restorer(name, doc, leave_by):
    """An intrinsic that undoes `exchange`; the compiled function is left by `leave_by` where that fails."""

    def restore(_context, handle, array):
        def codegen(context, builder, signature, args):
            def leave():
                context.call_conv.return_user_exc(builder, leave_by)

            return _elsewhere(context, builder, array, args[1], "restore", args[0], leave)

        return array(types.uint64, array), codegen

    restore.__name__ = name
    restore.__doc__ = doc
    return intrinsic(restore)
