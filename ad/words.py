"""How generated code keeps arrays and decisions on the tape; numbers are in ad.runtime.

Whatever cannot be given back ends the compiled function by `ad.runtime.PopFailed`.
"""

import numpy as np
from numba import njit
from numba.core import cgutils, types
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic, overload, register_jitable
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import as_dtype

from ad.arrays.known import FRESH, READS
from ad.runtime import PopFailed, pop_int
from tape.arrays import array_popper, exchange, push_array, push_array_f4, push_shape, restorer

__all__ = [
    "exchange",
    "hold",
    "pop_array",
    "pop_array_f4",
    "pop_empty",
    "pop_into",
    "pop_into_f4",
    "push_array",
    "push_array_f4",
    "push_shape",
    "refilled",
    "refilled_f4",
    "restored",
]

pop_into = array_popper(
    "pop_into",
    """``pop_into(handle, a)``: put back what `push_array` recorded, into an array or view with as many items.""",
    PopFailed,
)
pop_into_f4 = array_popper(
    "pop_into_f4", "``pop_into_f4(handle, a)``: the same for `push_array_f4`.", PopFailed, single=True
)
restored = restorer("restored", "``a = restored(handle, a)``: what `exchange` recorded.", PopFailed)
_pop_items = array_popper("pop_array", "", PopFailed, lengths=False)
_pop_items_f4 = array_popper("pop_array_f4", "", PopFailed, single=True, lengths=False)


def pop_empty(handle, dtype, ndim):
    """An array of the shape that `push_shape` recorded.  It has no memory: nothing may read its elements.

    `dtype` is a dtype, or an array that has it; `ndim` a literal.
    """
    raise NotImplementedError("for compiled code")


def pop_array(handle, dtype, ndim):
    """A new C-contiguous array with what `push_array` recorded; see `pop_empty`."""
    raise NotImplementedError("for compiled code")


def pop_array_f4(handle, dtype, ndim):
    """The same for `push_array_f4`."""
    raise NotImplementedError("for compiled code")


def refilled(handle, a):
    """What `push_array` recorded: in `a` itself where that has the lengths, in a new C-contiguous array otherwise."""
    raise NotImplementedError("for compiled code")


def refilled_f4(handle, a):
    """The same for `push_array_f4`."""
    raise NotImplementedError("for compiled code")


@njit(nogil=True)
def hold(*arrays):
    """Nothing: arrays live until here, also where no name stands for them before."""


@intrinsic
def _without_memory(typingctx, lengths, dtype):
    """An array of these lengths (a tuple, or an int for one dimension), without memory."""
    ndim = len(lengths) if isinstance(lengths, types.BaseTuple) else 1
    kind = types.Array(dtype.dtype, ndim, "C")

    def codegen(context, builder, signature, args):
        shape = cgutils.unpack_tuple(builder, args[0], ndim) if isinstance(lengths, types.BaseTuple) else [args[0]]
        item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
        strides = [item]
        for n in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], n))
        array = make_array(kind)(context, builder)
        nothing = cgutils.get_null_value(array.data.type)
        populate_array(array, nothing, shape, strides, item, None)
        return array._getvalue()

    return kind(lengths, dtype), codegen


@overload(pop_empty, prefer_literal=True)
def _pop_empty(handle, dtype, ndim):
    kind, n = _static("pop_empty", dtype, ndim)
    if n == 0:
        return lambda handle, dtype, ndim: np.empty((), kind)
    return lambda handle, dtype, ndim: _without_memory(pop_int(handle, n), kind)


def _new_array(name, pop_items):
    def implement(handle, dtype, ndim):
        kind, n = _static(name, dtype, ndim)

        lengths = register_jitable((lambda handle: pop_int(handle, n)) if n else (lambda handle: ()))

        def pop_new(handle, dtype, ndim):
            array = np.empty(lengths(handle), kind)
            pop_items(handle, array)
            return array

        return pop_new

    return implement


overload(pop_array, prefer_literal=True)(_new_array("pop_array", _pop_items))
overload(pop_array_f4, prefer_literal=True)(_new_array("pop_array_f4", _pop_items_f4))


def _refilled(pop_items):
    def implement(handle, a):
        n = a.ndim

        def refill(handle, a):
            lengths = pop_int(handle, n)
            made = a if a.shape == lengths else np.empty(lengths, a.dtype)
            pop_items(handle, made)
            return made

        return refill

    return implement


overload(refilled)(_refilled(_pop_items))
overload(refilled_f4)(_refilled(_pop_items_f4))


def _static(name, dtype, ndim):
    """What must be known to compile: the dtype and the number of dimensions."""
    if not isinstance(ndim, types.IntegerLiteral) or ndim.literal_value < 0:
        raise NumbaTypeError(f"{name}: the number of dimensions must be a literal, not {ndim}")
    if not isinstance(dtype, types.Array | types.DTypeSpec):
        raise NumbaTypeError(f"{name}: a dtype or an array that has it, not {dtype}")
    return as_dtype(dtype.dtype), ndim.literal_value


FRESH.update({pop_array, pop_array_f4})
READS.update({push_array, push_array_f4, push_shape})
