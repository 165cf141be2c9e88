"""Branch decisions on the tape: 63 to a word.

Generated code gathers them in a local integer that starts as 1.  A decision moves what is there up by one bit, so the 1
marks how many there are; a full word goes onto the tape at the decision that fills it, and is taken off at the same
place going back.  Between two functions the integer itself is handed on, or pushed like any other.
"""

from numba.core import types
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic

from ad.runtime import PopFailed
from tape import cursor
from tape.handle import as_pointer

__all__ = ["pop_bit", "push_bit"]

_WORD = 8


@intrinsic
def push_bit(_context, handle, bits, decision):
    """``bits = push_bit(handle, bits, decision)``: one more decision."""
    _check("push_bit", bits)
    if not isinstance(decision, types.Boolean):
        raise NumbaTypeError(f"push_bit: a bool, not {decision}")

    def codegen(context, builder, signature, args):
        handle, bits, decision = args
        more = builder.or_(builder.shl(bits, bits.type(1)), builder.zext(decision, bits.type))
        before = builder.basic_block
        with builder.if_then(builder.icmp_signed("<", more, bits.type(0)), likely=False):
            cursor.push_block(builder, as_pointer(builder, handle), [more], _WORD)
            full = builder.basic_block
        left = builder.phi(bits.type)
        left.add_incoming(more, before)
        left.add_incoming(bits.type(1), full)
        return left

    return types.int64(types.uint64, types.int64, types.boolean), codegen


@intrinsic
def pop_bit(_context, handle, bits):
    """``decision, bits = pop_bit(handle, bits)``: the latest decision, and those before it; or PopFailed."""
    _check("pop_bit", bits)
    result = types.Tuple((types.boolean, types.int64))

    def codegen(context, builder, signature, args):
        handle, bits = args
        before = builder.basic_block
        with builder.if_then(builder.icmp_signed("==", bits, bits.type(1)), likely=False):

            def leave():
                context.call_conv.return_user_exc(builder, PopFailed)

            [word] = cursor.pop_block(builder, as_pointer(builder, handle), bits.type, _WORD, 1, leave)
            popped = builder.basic_block
        held = builder.phi(bits.type)
        held.add_incoming(bits, before)
        held.add_incoming(word, popped)
        decision = builder.trunc(held, context.get_value_type(types.boolean))
        return context.make_tuple(builder, result, (decision, builder.lshr(held, held.type(1))))

    return result(types.uint64, types.int64), codegen


def _check(name, bits):
    if not isinstance(bits, types.Integer):
        raise NumbaTypeError(f"{name}: the decisions so far are an integer, 1 at first, not {bits}")
