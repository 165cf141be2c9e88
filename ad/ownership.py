"""Which arrays of compiled code need no count of the references to their memory.

Numba counts by atomic instructions, two for each ``weights[k]`` and one for each array at its end: a fourth of the
time of a gradient over rows of 14 numbers.  Two kinds of arrays can do without.

* A view that is read within one block alone, and only by what keeps no part of it, *borrows* where the array that it
  is a part of is held all the while.
* An array that was made here, and is only read by what keeps no part of it, has one *sole* reference: its end is that
  of its memory.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numba.core import ir, types

from ad.arrays.evaluate import SUM, UPDATE, called, is_basic, reads
from ad.arrays.known import ADDS, FRESH, READS, SUMS
from ad.words import pop_into

__all__ = ["Ownership", "ownership"]

_KEEP_NOTHING = (READS, ADDS, SUMS, FRESH, {pop_into})
"""Functions that keep nothing of the arrays that they are given, and return nothing that is a part of one."""
_ATTRIBUTES = {"shape", "size", "ndim", "dtype", "strides"}


@dataclass(frozen=True)
class Ownership:
    """The variables whose arrays borrow, and those that have the sole reference."""

    borrowed: frozenset[str] = frozenset()
    sole: frozenset[str] = frozenset()


def ownership(blocks: Mapping[int, ir.Block], typeof: Callable[[str], types.Type]) -> Ownership:
    """Find them.  What is borrowed from is, in the blocks, now held until that was last read."""
    return _Finder(blocks, typeof).find()


class _Finder:
    def __init__(self, blocks: Mapping[int, ir.Block], typeof: Callable[[str], types.Type]) -> None:
        self.blocks = blocks
        self.typeof = typeof
        self.readers: dict[str, list[tuple[ir.Block, ir.Stmt]]] = {}
        self.given: dict[str, list[tuple[ir.Block, ir.Stmt]]] = {}
        for block in blocks.values():
            for inst in block.body:
                if isinstance(inst, ir.Del):
                    continue
                for name in reads(inst):
                    self.readers.setdefault(name, []).append((block, inst))
                if isinstance(inst, ir.Assign):
                    self.given.setdefault(inst.target.name, []).append((block, inst))

    def find(self) -> Ownership:
        wholes: dict[str, str] = {}
        for name, [(block, inst), *others] in self.given.items():
            whole = self.whole(inst)
            if whole is not None and not others and all(b is block for b, _ in self.readers.get(name, ())):
                wholes[name] = whole
        places = {id(inst): k for block in self.blocks.values() for k, inst in enumerate(block.body)}
        while True:
            ends = self.ends(wholes, places)
            kept = {name: whole for name, whole in wholes.items() if self.may(name, whole, wholes, ends[name], places)}
            if kept == wholes:
                break
            wholes = kept
        for block in self.blocks.values():
            self.hold(block, wholes, ends)
        sole = (name for name in self.given if name not in wholes and self.is_sole(name, wholes))
        return Ownership(frozenset(wholes), frozenset(sole))

    def is_sole(self, name: str, wholes: Mapping[str, str]) -> bool:
        """Whether a variable holds the only reference to the memory of its array."""
        return (
            self.is_array(name)
            and all(self.is_new(inst.value) for _, inst in self.given[name])
            and all(self.keeps_nothing(reader, name, wholes) for _, reader in self.readers.get(name, ()))
        )

    def is_new(self, value: Any) -> bool:
        """Whether a value is an array that was not there before."""
        match value:
            case ir.Expr(op=op) if op in ("arrayexpr", SUM):
                return True
            case ir.Expr():
                return called(value, self.typeof) in FRESH
        return False

    def whole(self, inst: ir.Stmt) -> str | None:
        """The array that the target of an instruction is a view of, or another name for."""
        if not self.is_array(inst.target.name):
            return None
        match inst.value:
            case ir.Var(name=name) if self.typeof(name) == self.typeof(inst.target.name):
                return str(name)
            case ir.Expr(op="getitem") as value if self.is_array(value.value.name):
                return str(value.value.name) if is_basic(self.typeof(value.index.name)) else None
            case ir.Expr(op="static_getitem") as value if self.is_array(value.value.name):
                known = value.index_var is not None and is_basic(self.typeof(value.index_var.name))
                return str(value.value.name) if known else None
        return None

    def is_array(self, name: str) -> bool:
        return isinstance(self.typeof(name), types.Array)

    def ends(self, wholes: Mapping[str, str], places: Mapping[int, int]) -> dict[str, int]:
        """Where, in its block, each view and all that are views of it have been read for the last time."""
        ends = {
            name: max(places[id(inst)] for _, inst in (*self.given[name], *self.readers.get(name, ())))
            for name in wholes
        }
        for name in reversed(list(wholes)):  # a view comes after what it is a view of, within a block
            if wholes[name] in ends:
                ends[wholes[name]] = max(ends[wholes[name]], ends[name])
        return ends

    def may(self, name: str, whole: str, wholes: Mapping[str, str], end: int, places: Mapping[int, int]) -> bool:
        """Whether a view may borrow, if those of its own views that are in `wholes` may."""
        [(block, inst)] = self.given[name]
        if any(b is block and places[id(inst)] < places[id(other)] <= end for b, other in self.given.get(whole, ())):
            return False
        return all(self.keeps_nothing(reader, name, wholes) for _, reader in self.readers.get(name, ()))

    def keeps_nothing(self, inst: ir.Stmt, name: str, wholes: Mapping[str, str]) -> bool:
        """Whether an instruction that reads an array keeps no part of it."""
        if isinstance(inst, ir.SetItem | ir.StaticSetItem):
            return self.is_array(inst.target.name)
        if not isinstance(inst, ir.Assign):
            return False
        if wholes.get(inst.target.name) == name:
            return True
        match inst.value:
            case ir.Expr(op=op) if op in ("arrayexpr", SUM, UPDATE):
                return True
            case ir.Expr(op="getattr") as value:
                return value.attr in _ATTRIBUTES
            case ir.Expr(op="getitem" | "static_getitem") as value:
                return not self.is_array(inst.target.name) or value.value.name != name
            case ir.Expr(op="call") as value:
                function = called(value, self.typeof)
                return any(function in known for known in _KEEP_NOTHING)
        return False

    def hold(self, block: ir.Block, wholes: Mapping[str, str], ends: Mapping[str, int]) -> None:
        """Release the arrays that views are a part of after the last of the views was read."""
        last: dict[str, int] = {}
        late: dict[int, list[ir.Stmt]] = {}
        body: list[ir.Stmt] = []
        for k, inst in enumerate(block.body):
            if isinstance(inst, ir.Assign) and inst.target.name in wholes:
                whole = wholes[inst.target.name]
                last[whole] = max(last.get(whole, k), ends[inst.target.name])
            until = last.get(inst.value, k) if isinstance(inst, ir.Del) else k
            if until > k:
                late.setdefault(until, []).append(inst)
            else:
                body.append(inst)
            body += late.pop(k, ())
        block.body = body
