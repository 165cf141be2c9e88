"""Compiled code on an integer handle: what generated code uses.

Dispatching a compiled function on a tape argument costs microseconds, on an integer next to nothing.  A handle comes
from `Tape.claimed`, or from `Tape.handle` where the tape is private; the items are words of 8 bytes.
"""

from numba.core import cgutils, types
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic

from tape import cursor

__all__ = ["failed", "pop", "pop_int", "popper", "push"]

_WORD = 8


def _to_word(builder, context, number, value):
    """A number as the 8-byte word that stands for it on the tape."""
    if isinstance(number, types.Float):
        return context.cast(builder, value, number, types.float64)
    return context.cast(builder, value, number, types.int64)


def _pointer(builder, handle):
    return builder.inttoptr(handle, cgutils.voidptr_t)


@intrinsic
def push(_context, handle, *values):
    """``push(handle, a, b, ...)``: record numbers as one block of 8-byte words, with one compare.

    Floats go on as float64, integers and bools as int64.  `pop` and `pop_int` take the block off again.
    If there is no memory the block and all later ones are dropped and `failed` says so.

    Nothing is checked: the handle must be of a live tape (`Tape.handle`, `Tape.claimed`) that one thread uses.  An
    integer does not tell Numba's cache about the tape's layout: code that caches functions of handles keeps
    `tape.cursor.ABI` in their source, as `ad` does.
    """
    if not values or not all(isinstance(v, types.Number | types.Boolean) for v in values):
        raise NumbaTypeError(f"push: real numbers, not {values}")
    if any(isinstance(v, types.Complex) for v in values):
        raise NumbaTypeError(f"push: real numbers, not {values}")

    def codegen(context, builder, signature, args):
        numbers = cgutils.unpack_tuple(builder, args[1])
        words = [_to_word(builder, context, v, a) for v, a in zip(values, numbers, strict=True)]
        cursor.push_block(builder, _pointer(builder, args[0]), words, _WORD)
        return context.get_dummy_value()

    return types.none(types.uint64, types.StarArgTuple(values)), codegen


def popper(word, name, doc, leave_by=None):
    """An intrinsic that pops words of one kind.

    `leave_by` is an exception: the compiled function is left by it where a pop fails.  Generated code that computes
    indices from what it pops needs that, as zeros could lead them out of bounds.  Code that owns arrays does not: they
    would leak (Numba frees nothing on such an exit).
    """

    def pop_words(_context, handle, count=None):
        if count is not None and not (isinstance(count, types.IntegerLiteral) and count.literal_value > 0):
            raise NumbaTypeError(f"{name}: the number of words must be a positive literal, not {count}")
        n = 1 if count is None else count.literal_value
        result = word if count is None else types.UniTuple(word, n)

        def codegen(context, builder, signature, args):
            pointer = _pointer(builder, args[0])

            def leave():
                context.call_conv.return_user_exc(builder, leave_by)

            on_failure = None if leave_by is None else leave
            items = cursor.pop_block(builder, pointer, context.get_data_type(word), _WORD, n, on_failure)
            return items[0] if count is None else context.make_tuple(builder, result, items)

        return result(types.uint64, types.Omitted(None) if count is None else count), codegen

    pop_words.__name__ = name
    pop_words.__doc__ = doc
    return intrinsic(prefer_literal=True)(pop_words)


pop = popper(
    types.float64,
    "pop",
    """``pop(handle)`` or ``pop(handle, n)``: the newest word, or block of n, as float64.

    If the tape does not hold as much, or cannot read it back, this pop and all later ones give zeros, and `failed`
    says so.
    """,
)
pop_int = popper(types.int64, "pop_int", "``pop_int(handle)`` or ``pop_int(handle, n)``: the same as int64.")


@intrinsic
def failed(_context, handle):
    """``failed(handle)``: 0, or the status of the first `push` or `pop` that failed (see `Tape.raise_failed`).

    A push fails if there is no room for its block, a pop if the tape does not hold the block or cannot read it back.
    Whatever fails, all pushes after it are dropped and all pops after it give zeros: look once after each sweep.
    """

    def codegen(context, builder, signature, args):
        return cursor.call(builder, "failed", [_pointer(builder, args[0])])

    return types.int32(types.uint64), codegen
