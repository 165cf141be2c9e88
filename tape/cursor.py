"""LLVM building blocks of the cursor: what a push or pop in compiled code is made of.

The slow paths are called by *name* (``lt3_push``), never by address, so that code which Numba cached in one process
runs in another.  The names carry the ABI number of the struct: code that was cached for another layout does not
link to a name of this one, and the number in the type's name makes the cache miss before that.
"""

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils

from tape import capi

__all__ = ["ABI", "call", "pop_block", "pop_bytes", "push_block", "push_bytes", "try_pop", "try_push"]

ABI: int = capi.ABI

_BYTE_P = ir.IntType(8).as_pointer()
_SIZE = ir.IntType(64)
_STATUS = ir.IntType(32)
_VOID = ir.VoidType()
_FORM = [_BYTE_P, _BYTE_P, _STATUS, _SIZE.as_pointer(), _SIZE.as_pointer(), _STATUS, _STATUS, _STATUS]

_SIGNATURES: dict[str, ir.FunctionType] = {
    "enter": ir.FunctionType(_STATUS, [_BYTE_P]),
    "leave": ir.FunctionType(_VOID, [_BYTE_P]),
    "push": ir.FunctionType(_STATUS, [_BYTE_P, _BYTE_P, _SIZE]),
    "record": ir.FunctionType(_STATUS, [_BYTE_P, _BYTE_P, _SIZE]),
    "recall": ir.FunctionType(_STATUS, [_BYTE_P, _BYTE_P, _SIZE]),
    "reserve": ir.FunctionType(_BYTE_P, [_BYTE_P, _SIZE]),
    "extend": ir.FunctionType(_STATUS, [_BYTE_P, _BYTE_P, _SIZE]),
    "pop": ir.FunctionType(_STATUS, [_BYTE_P, _BYTE_P, _SIZE]),
    "item": ir.FunctionType(_STATUS, [_BYTE_P, _SIZE, _BYTE_P]),
    "top": ir.FunctionType(_BYTE_P, [_BYTE_P, _SIZE]),
    "length": ir.FunctionType(_SIZE, [_BYTE_P]),
    "failed": ir.FunctionType(_STATUS, [_BYTE_P]),
    "push_array": ir.FunctionType(_VOID, _FORM),
    "pop_array": ir.FunctionType(_STATUS, _FORM),
    "exchange": ir.FunctionType(_BYTE_P, [_BYTE_P, _BYTE_P, _SIZE]),
    "restore": ir.FunctionType(_BYTE_P, [_BYTE_P, _BYTE_P, _SIZE]),
    "mark": ir.FunctionType(_SIZE, [_BYTE_P]),
    "rewind": ir.FunctionType(_STATUS, [_BYTE_P, _SIZE]),
    "reader_take": ir.FunctionType(_STATUS, [_BYTE_P, _BYTE_P, _SIZE]),
    "reader_length": ir.FunctionType(_SIZE, [_BYTE_P]),
    "reader_restart": ir.FunctionType(_STATUS, [_BYTE_P]),
    "reader_leave": ir.FunctionType(_VOID, [_BYTE_P]),
    "new_array": ir.FunctionType(_BYTE_P, [_SIZE, _BYTE_P]),
}

for _name in _SIGNATURES:
    llvmlite.binding.add_symbol(f"lt{ABI}_{_name}", capi.SYMBOLS[_name])

_CUR, _BEGIN, _END = range(3)


def call(builder: ir.IRBuilder, name: str, args: Sequence[ir.Value]) -> ir.Value:
    """Call a function of tape.capi."""
    function = cgutils.get_or_insert_function(builder.module, _SIGNATURES[name], f"lt{ABI}_{name}")
    return builder.call(function, args)


def _field(builder: ir.IRBuilder, tape: ir.Value, index: int) -> ir.Value:
    pointers = builder.bitcast(tape, _BYTE_P.as_pointer())
    return builder.gep(pointers, [ir.Constant(ir.IntType(32), index)])


def _tag(instruction: ir.Instruction, builder: ir.IRBuilder, kind: str) -> ir.Instruction:
    """Say by TBAA that items on a tape and its cursor never overlap, so that the cursor may live in a register."""
    module = builder.module
    root = module.add_metadata(["layered-tape"])
    node = module.add_metadata([kind, root, ir.Constant(_SIZE, 0)])
    access = module.add_metadata([node, node, ir.Constant(_SIZE, 0)])
    instruction.set_metadata("tbaa", access)
    return instruction


def _load(builder: ir.IRBuilder, tape: ir.Value, index: int) -> ir.Value:
    return _tag(builder.load(_field(builder, tape, index)), builder, "tape cursor")


def _advance(builder: ir.IRBuilder, tape: ir.Value, cur: ir.Value, nbytes: int) -> ir.Value:
    moved = builder.gep(cur, [ir.Constant(_SIZE, nbytes)])
    _tag(builder.store(moved, _field(builder, tape, _CUR)), builder, "tape cursor")
    return moved


def _cursor_is_known(builder: ir.IRBuilder, tape: ir.Value) -> None:
    """After a slow path: look where the cursor is now, so that loops keep it in a register as on the fast path.

    The load must not be dropped as useless before LLVM has used it for that; so it is told something true about it.
    """
    address = builder.ptrtoint(_load(builder, tape, _CUR), _SIZE)
    builder.assume(builder.icmp_signed(">=", address, ir.Constant(_SIZE, 0)))


def _store_items(builder: ir.IRBuilder, cur: ir.Value, items: Sequence[ir.Value], size: int) -> None:
    for i, item in enumerate(items):
        at = builder.gep(cur, [ir.Constant(_SIZE, i * size)])
        _tag(builder.store(item, builder.bitcast(at, item.type.as_pointer())), builder, "tape item")


def _lacks(builder: ir.IRBuilder, tape: ir.Value, cur: ir.Value, limit: int, nbytes: int, single: bool) -> ir.Value:
    """Whether fewer than `nbytes` lie between the cursor and a limit; one item can only be there or not."""
    bound = _load(builder, tape, limit)
    if single:
        return builder.icmp_unsigned("==", cur, bound)
    ends = (bound, cur) if limit == _END else (cur, bound)
    room = builder.sub(builder.ptrtoint(ends[0], _SIZE), builder.ptrtoint(ends[1], _SIZE))
    return builder.icmp_unsigned("<", room, ir.Constant(_SIZE, nbytes))


def try_push(builder: ir.IRBuilder, tape: ir.Value, item: ir.Value, size: int) -> ir.Value:
    """Push one item; the value is a status."""
    spill = cgutils.alloca_once(builder, item.type)
    cur = _load(builder, tape, _CUR)
    slow = builder.append_basic_block("push.slow")
    store = builder.append_basic_block("push.store")
    done = builder.append_basic_block("push.done")
    branch = builder.cbranch(_lacks(builder, tape, cur, _END, size, True), slow, store)
    branch.set_weights([1, 9999])

    # A slow path that takes the item itself: on a shared tape there is no place that would still be free afterwards.
    builder.position_at_end(slow)
    builder.store(item, spill)
    status = call(builder, "push", [tape, builder.bitcast(spill, _BYTE_P), ir.Constant(_SIZE, size)])
    _cursor_is_known(builder, tape)
    builder.branch(done)

    builder.position_at_end(store)
    _store_items(builder, cur, [item], size)
    _advance(builder, tape, cur, size)
    builder.branch(done)

    builder.position_at_end(done)
    result = builder.phi(_STATUS)
    result.add_incoming(status, slow)
    result.add_incoming(ir.Constant(_STATUS, 0), store)
    return result


def try_pop(
    builder: ir.IRBuilder, tape: ir.Value, item_type: ir.Type, size: int, take: str = "pop"
) -> tuple[ir.Value, ir.Value]:
    """Pop one item; the values are a status and the item (zero where the status is not).

    `take` names the slow path: that of a tape, or of another struct that begins with the same three pointers.
    """
    spill = cgutils.alloca_once(builder, item_type)
    cur = _load(builder, tape, _CUR)
    slow = builder.append_basic_block("pop.slow")
    load = builder.append_basic_block("pop.load")
    done = builder.append_basic_block("pop.done")
    branch = builder.cbranch(_lacks(builder, tape, cur, _BEGIN, size, True), slow, load)
    branch.set_weights([1, 9999])

    builder.position_at_end(slow)
    builder.store(ir.Constant(item_type, None), spill)
    status = call(builder, take, [tape, builder.bitcast(spill, _BYTE_P), ir.Constant(_SIZE, size)])
    taken = builder.load(spill)
    _cursor_is_known(builder, tape)
    builder.branch(done)

    builder.position_at_end(load)
    moved = _advance(builder, tape, cur, -size)
    item = _tag(builder.load(builder.bitcast(moved, item_type.as_pointer())), builder, "tape item")
    builder.branch(done)

    builder.position_at_end(done)
    result = builder.phi(_STATUS)
    result.add_incoming(status, slow)
    result.add_incoming(ir.Constant(_STATUS, 0), load)
    value = builder.phi(item_type)
    value.add_incoming(taken, slow)
    value.add_incoming(item, load)
    return result, value


def push_block(builder: ir.IRBuilder, tape: ir.Value, items: Sequence[ir.Value], size: int) -> None:
    """Push items of `size` bytes each as one block: one compare.  A failure sticks to the tape (`failed`)."""
    nbytes = size * len(items)
    spill = cgutils.alloca_once(builder, ir.ArrayType(items[0].type, len(items)))
    cur = _load(builder, tape, _CUR)
    slow = builder.append_basic_block("push.slow")
    store = builder.append_basic_block("push.store")
    done = builder.append_basic_block("push.done")
    branch = builder.cbranch(_lacks(builder, tape, cur, _END, nbytes, len(items) == 1), slow, store)
    branch.set_weights([1, 9999])

    builder.position_at_end(slow)
    gathered = builder.bitcast(spill, _BYTE_P)
    _store_items(builder, gathered, items, size)
    call(builder, "record", [tape, gathered, ir.Constant(_SIZE, nbytes)])
    _cursor_is_known(builder, tape)
    builder.branch(done)

    builder.position_at_end(store)
    _store_items(builder, cur, items, size)
    _advance(builder, tape, cur, nbytes)
    builder.branch(done)
    builder.position_at_end(done)


def push_bytes(
    builder: ir.IRBuilder, tape: ir.Value, source: ir.Value, nbytes: ir.Value, slow: Callable[[], Any]
) -> None:
    """Push `nbytes` of whole words from `source`; `slow` generates how, where the segment has no room for them."""
    cur = _load(builder, tape, _CUR)
    room = builder.sub(builder.ptrtoint(_load(builder, tape, _END), _SIZE), builder.ptrtoint(cur, _SIZE))
    with builder.if_else(builder.icmp_unsigned("<", room, nbytes), likely=False) as (without_room, with_room):
        with without_room:
            slow()
        with with_room:
            cgutils.raw_memcpy(builder, cur, source, nbytes, 1)
            _tag(builder.store(builder.gep(cur, [nbytes]), _field(builder, tape, _CUR)), builder, "tape cursor")


def pop_bytes(
    builder: ir.IRBuilder, tape: ir.Value, target: ir.Value, nbytes: ir.Value, slow: Callable[[], Any]
) -> None:
    """Pop `nbytes` of whole words into `target`; `slow` generates how, where they lie in several segments."""
    cur = _load(builder, tape, _CUR)
    held = builder.sub(builder.ptrtoint(cur, _SIZE), builder.ptrtoint(_load(builder, tape, _BEGIN), _SIZE))
    with builder.if_else(builder.icmp_unsigned("<", held, nbytes), likely=False) as (in_pieces, at_once):
        with in_pieces:
            slow()
        with at_once:
            moved = builder.gep(cur, [builder.neg(nbytes)])
            cgutils.raw_memcpy(builder, target, moved, nbytes, 1)
            _tag(builder.store(moved, _field(builder, tape, _CUR)), builder, "tape cursor")


def pop_block(
    builder: ir.IRBuilder,
    tape: ir.Value,
    item_type: ir.Type,
    size: int,
    count: int,
    leave: Callable[[], None] | None = None,
) -> list[ir.Value]:
    """Pop a block that `push_block` pushed, in the order of its items.

    A failure sticks to the tape (`failed`).  `leave` generates what happens then, and must end with a return; without
    it the items are zeros.
    """
    nbytes = size * count
    block_type = ir.ArrayType(item_type, count)
    spill = cgutils.alloca_once(builder, block_type)
    cur = _load(builder, tape, _CUR)
    slow = builder.append_basic_block("pop.slow")
    load = builder.append_basic_block("pop.load")
    done = builder.append_basic_block("pop.done")
    branch = builder.cbranch(_lacks(builder, tape, cur, _BEGIN, nbytes, count == 1), slow, load)
    branch.set_weights([1, 9999])

    # The block of another slab, or (pushed otherwise) one in pieces: it is gathered in a local.
    builder.position_at_end(slow)
    status = call(builder, "recall", [tape, builder.bitcast(spill, _BYTE_P), ir.Constant(_SIZE, nbytes)])
    if leave is not None:
        with builder.if_then(builder.icmp_signed("!=", status, ir.Constant(_STATUS, 0)), likely=False):
            leave()
    gathered = builder.load(spill)
    late = [builder.extract_value(gathered, i) for i in range(count)]
    slow = builder.basic_block
    builder.branch(done)

    builder.position_at_end(load)
    moved = _advance(builder, tape, cur, -nbytes)
    items: list[Any] = []
    for i in range(count):
        at = builder.gep(moved, [ir.Constant(_SIZE, i * size)])
        items.append(_tag(builder.load(builder.bitcast(at, item_type.as_pointer())), builder, "tape item"))
    builder.branch(done)

    builder.position_at_end(done)
    values = []
    for gathered_item, item in zip(late, items, strict=True):
        value = builder.phi(item_type)
        value.add_incoming(gathered_item, slow)
        value.add_incoming(item, load)
        values.append(value)
    return values
