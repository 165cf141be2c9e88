"""Compiled code on an integer handle: what generated code uses.

Dispatching a compiled function on a tape argument costs microseconds, on an integer next to nothing.  A handle comes
from `Tape.claimed`, or from `Tape.handle` where the tape is private; the items are words of 8 bytes.

Nothing is checked: the handle must be of a live tape that one thread uses, and what is popped must have been pushed so.
An integer does not tell Numba's cache about the tape's layout: code that caches functions of handles keeps
`tape.cursor.ABI` in their source, as `ad` does.
"""

from numba.core import cgutils, types
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic

from tape import cursor

__all__ = ["as_pointer", "failed", "pop", "pop_int", "popper", "push", "push_f4"]

_WORD = 8


def as_pointer(builder, handle):
    return builder.inttoptr(handle, cgutils.voidptr_t)


def _words_of(builder, context, number, value):
    """A number as the 8-byte words that stand for it on the tape."""
    if isinstance(number, types.Complex):
        wide = context.cast(builder, value, number, types.complex128)
        return [builder.extract_value(wide, part) for part in range(2)]
    if isinstance(number, types.Float):
        return [context.cast(builder, value, number, types.float64)]
    return [context.cast(builder, value, number, types.int64)]


def _singles_of(builder, context, number, value):
    """A number as one or two floats of 4 bytes."""
    double = context.get_data_type(types.float64)
    single = context.get_data_type(types.float32)
    parts = _words_of(builder, context, number, value)
    assert all(part.type == double for part in parts)
    return [builder.fptrunc(part, single) for part in parts]


def _pusher(name, doc, kinds, size, items_of):
    """An intrinsic that pushes numbers of some kinds as one block of whole words."""

    def push_numbers(_context, handle, *values):
        if not values or not all(isinstance(v, kinds) for v in values):
            raise NumbaTypeError(f"{name}: numbers that go on a tape, not {values}")

        def codegen(context, builder, signature, args):
            numbers = cgutils.unpack_tuple(builder, args[1])
            items = [
                item
                for number, value in zip(values, numbers, strict=True)
                for item in items_of(builder, context, number, value)
            ]
            while len(items) * size % _WORD:
                items.append(cgutils.get_null_value(items[0].type))
            cursor.push_block(builder, as_pointer(builder, args[0]), items, size)
            return context.get_dummy_value()

        return types.none(types.uint64, types.StarArgTuple(values)), codegen

    push_numbers.__name__ = name
    push_numbers.__doc__ = doc
    return intrinsic(push_numbers)


push = _pusher(
    "push",
    """``push(handle, a, b, ...)``: record numbers as one block of 8-byte words, with one compare.

    Floats go on as float64, integers and bools as int64, complex numbers as two float64.  `pop`, `pop_int` and
    `pop_complex` take the block off again.  If there is no memory the block and all later ones are dropped and `failed`
    says so.
    """,
    types.Number | types.Boolean,
    _WORD,
    _words_of,
)
push_f4 = _pusher(
    "push_f4",
    """``push_f4(handle, a, b, ...)``: floats and complex numbers in single precision, two floats to a word.""",
    types.Float | types.Complex,
    _WORD // 2,
    _singles_of,
)


def popper(number, name, doc, leave_by=None, size=_WORD):
    """An intrinsic that pops numbers of one type, whose floats have `size` bytes on the tape.

    `leave_by` is an exception: the compiled function is left by it where a pop fails.  Generated code that computes
    indices from what it pops needs that, as zeros could lead them out of bounds.
    """
    parts = 2 if isinstance(number, types.Complex) else 1

    def pop_numbers(_context, handle, count=None):
        if count is not None and not (isinstance(count, types.IntegerLiteral) and count.literal_value > 0):
            raise NumbaTypeError(f"{name}: the number of words must be a positive literal, not {count}")
        n = 1 if count is None else count.literal_value
        result = number if count is None else types.UniTuple(number, n)

        def codegen(context, builder, signature, args):
            def leave():
                context.call_conv.return_user_exc(builder, leave_by)

            word = context.get_data_type(types.int64 if number == types.int64 else types.float64)
            item = word if size == _WORD else context.get_data_type(types.float32)
            whole = -(-n * parts * size // _WORD) * _WORD // size
            on_failure = None if leave_by is None else leave
            items = cursor.pop_block(builder, as_pointer(builder, args[0]), item, size, whole, on_failure)
            if item != word:
                items = [builder.fpext(x, word) for x in items]
            if parts == 2:
                pairs = zip(items[0 : 2 * n : 2], items[1 : 2 * n : 2], strict=True)
                values = [cgutils.pack_struct(builder, pair) for pair in pairs]
            else:
                values = items[:n]
            return values[0] if count is None else context.make_tuple(builder, result, values)

        return result(types.uint64, types.Omitted(None) if count is None else count), codegen

    pop_numbers.__name__ = name
    pop_numbers.__doc__ = doc
    return intrinsic(prefer_literal=True)(pop_numbers)


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
        return cursor.call(builder, "failed", [as_pointer(builder, args[0])])

    return types.int32(types.uint64), codegen
