"""Which expressions of whole arrays are computed in one pass, and which without a temporary array.

Numba gathers the operators of one expression.  Here more is gathered: np.where and small powers are operators like
others; an array that is read once, by an expression that follows, becomes part of that; and what is added to an
adjoint, stored into a part of an array or summed is computed where it goes.  `ad.arrays.evaluate` writes the loops.

An expression may move down to where it is used past statements that give no other value to one of its variables, and
that write to no array that it reads.  These may write to any but those that were made here and of which all names are
known: their own, and those of views.  Of such an array, if nothing else reads it, a copy is the array itself.

A few quick operators that two statements read are computed by both: n-body, where these are differences of positions,
has two arrays of 16 x 16 x 3 fewer to make in each sweep.

Sources: numba/np/ufunc/array_exprs.py (RewriteArrayExprs).
"""

import operator
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba.core import ir, types
from numba.core.compiler_machinery import FunctionPass, register_pass

from ad.arrays.evaluate import SUM, UPDATE, called, is_basic, reads
from ad.arrays.known import ADDS, FITTING, FRESH, READS, ROLLS, SUMS, VIEWS, WRITES_NOTHING
from ad.arrays.trees import CONVERT, ROLL, Tree, element_type, leaves, rolls, size

__all__ = ["Fusing"]

_HARMLESS = {slice, range, np.sum}
"""Functions that write to no array, besides the helpers."""
_PURE = {"arrayexpr", "getattr", "static_getitem", "getitem", "build_tuple", "cast", "exhaust_iter", "binop", "unary"}
_PURE |= {SUM, "static_binop", "iternext", "getiter", "pair_first", "pair_second", "null"}
_LARGEST = 40
"""How many operators an expression may have."""


@register_pass(mutates_CFG=False, analysis_only=False)
class Fusing(FunctionPass):
    """Comes after Numba's own rewriting of array expressions."""

    _name = "ad_fusing"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        fuser = _Fuser(state)
        for block in state.func_ir.blocks.values():
            block.body = fuser.block(block.body)
        return True


class _Fuser:
    def __init__(self, state: Any) -> None:
        self.typemap: dict[str, types.Type] = state.typemap
        self.calltypes: dict[Any, Any] = state.calltypes
        self.typing = state.typingctx
        self.uses: Counter[str] = Counter()
        self.readers: dict[str, list[ir.Stmt]] = {}
        self.definitions: Counter[str] = Counter()
        self.constants: dict[str, ir.Const] = {}
        self.wholes: dict[str, str] = {}
        """What views are views of."""
        made: set[str] = set()
        written: set[str] = set()
        escaped: set[str] = set()
        """Arrays that may have another name, besides those of their views."""
        for block in state.func_ir.blocks.values():
            for inst in block.body:
                self.uses.update(reads(inst))
                for name in set(reads(inst)):
                    self.readers.setdefault(name, []).append(inst)
                written.update(self.written(inst))
                escaped.update(self.named(inst))
                if isinstance(inst, ir.Assign):
                    name = inst.target.name
                    self.definitions[name] += 1
                    if self.is_new(inst.value):
                        made.add(name)
                    elif (whole := self.viewed(inst)) is not None:
                        self.wholes[name] = whole
                    if isinstance(inst.value, ir.Const):
                        self.constants[name] = inst.value
        unsure = {name for name, n in self.definitions.items() if n > 1}
        lost = set(map(self.whole, escaped | unsure))
        self.own = {name for name in made | self.wholes.keys() if self.whole(name) in made - lost}
        """Arrays that were made here, and views of such, of which all names are known."""
        written = set(map(self.whole, written))
        self.private = {name for name in self.own if self.whole(name) not in written}
        """Those of them that nothing writes to."""

    def viewed(self, inst: ir.Assign) -> str | None:
        """The array of which the target of an instruction may be a view."""
        value = inst.value
        if not self.is_array(inst.target.name) or not isinstance(value, ir.Expr):
            return None
        if value.op in ("getitem", "static_getitem") and self.is_array(value.value.name):
            return str(value.value.name)
        if self.called(value) in VIEWS and value.args and self.is_array(value.args[0].name):
            return str(value.args[0].name)
        return None

    def whole(self, name: str) -> str:
        """The array of which a name stands for a view, or itself."""
        seen = {name}
        while self.wholes.get(name, name) not in seen:
            name = self.wholes[name]
            seen.add(name)
        return name

    def is_new(self, value: Any) -> bool:
        """Whether a value is an array that was not there before."""
        if not isinstance(value, ir.Expr):
            return False
        return value.op == "arrayexpr" or self.called(value) in FRESH

    def written(self, inst: ir.Stmt) -> Iterator[str]:
        """What an instruction is known to write to."""
        match inst:
            case ir.Assign(value=ir.Expr() as value) if self.called(value) in ADDS and len(value.args) == 2:
                yield value.args[0].name
            case ir.SetItem() | ir.StaticSetItem():
                yield inst.target.name

    def named(self, inst: ir.Stmt) -> Iterator[str]:
        """What an instruction may give another name to, besides a view, or else write to."""
        match inst:
            case ir.Assign(value=ir.Expr(op="arrayexpr")):
                return
            case ir.Assign(value=ir.Expr(op="getattr") as value) if value.attr in ("shape", "size", "ndim", "dtype"):
                return
            case ir.Assign(value=ir.Expr() as value) if self.called(value) in ADDS and len(value.args) == 2:
                return
            case ir.Assign() if self.viewed(inst) is not None:
                return
            case ir.Assign(value=ir.Expr() as value) if self.called(value) in READS | SUMS | ROLLS.keys():
                return
            case ir.SetItem() | ir.StaticSetItem():
                return
            case _:
                yield from reads(inst)

    def typeof(self, name: str) -> types.Type:
        return self.typemap[name]

    def called(self, value: ir.Expr) -> Any:
        """The function that a call calls."""
        return called(value, self.typeof)

    def is_array(self, name: str) -> bool:
        return isinstance(self.typemap.get(name), types.Array)

    # -------------------------------------------------------------------------------------------- a block

    def block(self, body: list[ir.Stmt]) -> list[ir.Stmt]:
        self.out: list[ir.Stmt | None] = []
        self.waiting: dict[str, int] = {}
        """The expressions that may move down: the places of their assignments, by the names that these define."""
        self.views: dict[str, ir.Expr] = {}
        self.ahead = set(map(id, body))
        """The instructions of the block, by identity, that are still to come, or are under way."""
        self.past: set[int] = set()
        self.begun: set[str] = set()
        for inst in self.with_copies_last(body):
            self.out.extend(self.changed(inst))
            self.ahead.discard(id(inst))
            self.past.add(id(inst))
            if isinstance(inst, ir.Assign):
                self.begun.add(inst.target.name)
            self.settle(self.out[-1] if self.out else None)
        return [inst for inst in self.out if inst is not None]

    def with_copies_last(self, body: list[ir.Stmt]) -> list[ir.Stmt]:
        """A block that gives arrays other names at its end, if it does not need these before.

        Numba does so for the next trip of a loop as soon as there is a value; the old one would end there.
        """
        last: dict[str, int] = {}
        given: dict[str, int] = {}
        for k, inst in enumerate(body):
            last.update(dict.fromkeys(reads(inst), k))
            if isinstance(inst, ir.Assign):
                last[inst.target.name] = given[inst.target.name] = k
        late = [
            k
            for k, inst in enumerate(body)
            if isinstance(inst, ir.Assign) and isinstance(inst.value, ir.Var) and self.is_array(inst.target.name)
            if last[inst.target.name] == k and given.get(inst.value.name, -1) < k
        ]
        rest = [inst for k, inst in enumerate(body) if k not in late]
        return [*rest[:-1], *(body[k] for k in late), *rest[-1:]]

    def settle(self, inst: ir.Stmt | None) -> None:
        """What may still move after an instruction."""
        if inst is None:
            return
        if isinstance(inst, ir.Assign):
            name = inst.target.name
            stale = [n for n, k in self.waiting.items() if n == name or name in reads(self.out[k])]
            for n in stale:
                del self.waiting[n]
            self.views = {
                n: e for n, e in self.views.items() if n != name and name not in {v.name for v in e.list_vars()}
            }
            value = inst.value
            if isinstance(value, ir.Expr) and value.op in ("getitem", "static_getitem") and self.is_array(name):
                self.views[name] = value
            if self.definitions[name] == 1 and self.gathered(value) is not None:
                self.waiting[name] = len(self.out) - 1
        if not self.is_harmless(inst):
            self.waiting = {n: k for n, k in self.waiting.items() if self.is_private(self.out[k])}

    def is_private(self, inst: ir.Stmt | None) -> bool:
        """Whether nothing writes to what an instruction reads."""
        return all(name in self.private or not self.is_array(name) for name in reads(inst))

    def gathered(self, value: Any) -> Tree | None:
        """What may stand in a larger expression: an expression, or a roll of an array of one dimension."""
        if not isinstance(value, ir.Expr):
            return None
        if value.op == "arrayexpr":
            return value.expr
        if value.op != "call" or value.vararg is not None or value.kws or not 2 <= len(value.args) <= 3:
            return None
        sign = ROLLS.get(self.called(value))
        array, shift = value.args[:2]
        kinds = self.typemap[array.name], self.typemap[shift.name]
        if sign is None or not isinstance(kinds[0], types.Array) or kinds[0].ndim != 1:
            return None
        if not isinstance(kinds[1], types.Integer):
            return None
        return ROLL, [array, self.constants.get(shift.name, shift)], sign

    def is_harmless(self, inst: ir.Stmt) -> bool:
        if not isinstance(inst, ir.Assign) or not isinstance(inst.value, ir.Expr):
            return isinstance(inst, ir.Assign)
        value = inst.value
        if value.op == "call":
            return self.called(value) in _HARMLESS | READS | WRITES_NOTHING
        return value.op in _PURE

    # -------------------------------------------------------------------------------------- an instruction

    def changed(self, inst: ir.Stmt) -> list[ir.Stmt]:
        match inst:
            case ir.Assign(value=ir.Expr() as value):
                return self.assignment(inst, value)
            case ir.SetItem() | ir.StaticSetItem():
                return self.store(inst)
        return [inst]

    def assignment(self, inst: ir.Assign, value: ir.Expr) -> list[ir.Stmt]:
        tree = self.tree(value, inst.target.name)
        if tree is not None:
            kind = self.typemap[inst.target.name]
            if value.op != "arrayexpr" and element_type(tree, self.typeof, self.typing) is None:
                return [inst]
            tree = self.grown(tree, kind.ndim)
            return [ir.Assign(ir.Expr("arrayexpr", inst.loc, expr=tree, ty=kind), inst.target, inst.loc)]
        if self.called(value) is np.copy and self.is_last(value.args[0].name, inst):
            return [ir.Assign(value.args[0], inst.target, inst.loc)]
        if self.called(value) in SUMS and value.vararg is None:
            return self.sum(inst, value)
        if self.called(value) in ADDS and len(value.args) == 2 and not value.kws:
            return self.update(inst, value.args[0], value.args[1], "add_to", self.called(value) in FITTING)
        if value.op == "inplace_binop" and value.immutable_fn in _IN_PLACE and self.is_array(value.lhs.name):
            return self.update(inst, value.lhs, value.rhs, _IN_PLACE[value.immutable_fn])
        return [inst]

    def tree(self, value: ir.Expr, target: str) -> Tree:
        """An instruction as an expression over arrays, or None."""
        if value.op == "arrayexpr":
            return value.expr
        if not self.is_array(target):
            return None
        if value.op == "static_binop" and value.fn is operator.pow:
            return value.fn, [value.lhs, ir.Const(value.rhs, value.loc)]
        if self.called(value) is np.where and len(value.args) == 3 and not value.kws and value.vararg is None:
            return np.where, [self.constants.get(arg.name, arg) for arg in value.args], self.typemap[target].dtype
        return None

    def is_last(self, name: str, inst: ir.Assign) -> bool:
        """Whether the array that an instruction copies, and all that it is part of, are not needed from there on."""
        whole = self.whole(name)
        if name not in self.own or whole not in self.begun or self.typemap[name] != self.typemap[inst.target.name]:
            return False
        names = {other for other in self.own if self.whole(other) == whole}
        if not names <= self.begun or any(
            reader is not inst and id(reader) not in self.past for n in names for reader in self.readers.get(n, ())
        ):
            return False
        self.waiting = {n: k for n, k in self.waiting.items() if names.isdisjoint(reads(self.out[k]))}
        return True

    def is_cheap(self, name: str, tree: Tree) -> bool:
        """Whether an expression is better computed again by both of two statements than made for them."""
        readers = self.readers[name]
        arrays = {leaf.name for leaf in leaves(tree) if self.is_array(leaf.name)}
        if len(readers) != 2 or size(tree) > 2 or len(arrays) > 2 or _is_slow(tree) or tree[0] is ROLL:
            return False
        return all(self.takes(inst, name) and id(inst) in self.ahead for inst in readers)

    def takes(self, inst: ir.Stmt, name: str) -> bool:
        """Whether an instruction can compute an expression that it reads by a name."""
        match inst:
            case ir.Assign(value=ir.Expr(op="arrayexpr")):
                return True
            case ir.Assign(value=ir.Expr() as value) if self.called(value) in SUMS:
                return True
            case ir.Assign(value=ir.Expr() as value) if self.called(value) in ADDS and len(value.args) == 2:
                return value.args[0].name != name
        return False

    def grown(self, tree: Tree, ndim: int) -> Tree:
        """An expression of `ndim` dimensions with those in the place of its variables that only it needs."""
        counts = Counter(leaf.name for leaf in leaves(tree))
        for name, count in counts.items():
            if name not in self.waiting:
                continue
            again = self.uses[name] != count
            place = self.waiting[name]
            value = self.out[place].value  # type: ignore[union-attr]
            inner, kind = self.gathered(value), self.typemap[name].dtype
            assert inner is not None, value
            found = element_type(inner, self.typeof, self.typing)
            if found is None or size(tree) + count * size(inner) > _LARGEST or (count > 1 and _is_slow(inner)):
                continue
            if again and not self.is_cheap(name, inner):
                continue
            if (inner[0] is ROLL and ndim != 1) or not self.may_roll(tree, name, inner):
                continue
            if again:
                self.uses[name] -= count
            else:
                del self.waiting[name]
                self.out[place] = None
            inner = inner if found == kind else (CONVERT, [inner], kind)
            for leaf in leaves(inner):  # there are as many of each as there are copies
                self.uses[leaf.name] += count - 1 + again
            tree = self.replaced(tree, name, inner)
            return self.grown(tree, ndim)
        return tree

    def may_roll(self, tree: Tree, name: str, inner: Tree) -> bool:
        """Whether an expression may take the place of a variable, where that is rolled, too."""
        if name not in {leaf.name for roll in rolls(tree) for leaf in leaves(roll)}:
            return True
        return next(rolls(inner), None) is None and self.typemap[name].ndim == 1

    def replaced(self, tree: Tree, name: str, by: Tree) -> Tree:
        """A tree with another in the place of a variable.  What is rolled is an expression of rolled arrays, then."""
        if not isinstance(tree, tuple):
            return by if isinstance(tree, ir.Var) and tree.name == name else tree
        if tree[0] is not ROLL:
            return tree[0], [self.replaced(operand, name, by) for operand in tree[1]], *tree[2:]
        array, shift = tree[1]
        return self.rolled(by, shift, tree[2]) if array.name == name else tree

    def rolled(self, tree: Tree, shift: Any, sign: int) -> Tree:
        if isinstance(tree, tuple):
            return tree[0], [self.rolled(operand, shift, sign) for operand in tree[1]], *tree[2:]
        if isinstance(tree, ir.Var) and self.is_array(tree.name) and self.typemap[tree.name].ndim:
            return ROLL, [tree, shift], sign
        return tree

    def sum(self, inst: ir.Assign, value: ir.Expr) -> list[ir.Stmt]:
        """A sum, as one operation with the expression of what is summed, if only the sum needs that."""
        array, *rest = value.args
        options = dict(zip(("axis", "keepdims"), rest)) | dict(value.kws)
        kind, wanted = self.typemap[array.name], types.unliteral(self.typemap[inst.target.name])
        if array.name not in self.waiting or not options.keys() <= {"axis", "keepdims"}:
            return [inst]
        element = wanted.dtype if isinstance(wanted, types.Array) else wanted
        if element != kind.dtype or not isinstance(element, types.Float | types.Complex):
            return [inst]
        try:
            given = {name: _literal(self.typemap[var.name]) for name, var in options.items()}
        except AttributeError:  # Numba finds out itself what is computed
            return [inst]
        axis, keepdims = given.get("axis"), bool(given.get("keepdims"))
        tree = self.grown(array, kind.ndim)
        if tree is array:
            return [inst]
        axes = range(kind.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        reduced = frozenset(a % kind.ndim for a in axes)
        made = ir.Expr(SUM, inst.loc, expr=tree, ty=wanted, ndim=kind.ndim, reduced=reduced, keepdims=keepdims)
        return [ir.Assign(made, inst.target, inst.loc)]

    def update(
        self, inst: ir.Stmt, target: ir.Var, value: ir.Var, how: str | None, fits: bool = False
    ) -> list[ir.Stmt]:
        """A change in place, as one operation where it can be one.  What `fits` has the target's shape."""
        into, kind = self.typemap[target.name], types.unliteral(self.typemap[value.name])
        if not isinstance(into, types.Array) or not into.mutable or not into.ndim:
            return [inst]
        is_array = isinstance(kind, types.Array)
        number = kind.dtype if is_array else kind
        if not isinstance(number, types.Number | types.Boolean):
            return [inst]
        if is_array and how != "add_to" and kind.ndim > into.ndim:
            return [inst]
        if how != "add_to" and isinstance(number, types.Complex) and not isinstance(into.dtype, types.Complex):
            return [inst]
        if isinstance(into.dtype, types.Boolean) and how is not None:
            return [inst]
        tree = self.grown(value, max(into.ndim, kind.ndim if is_array else 0))
        sum_ = self.made_with(target.name, tree, number) if fits else None
        if sum_ is not None:
            done = ir.Assign(ir.Const(None, inst.loc), self.result(inst, target), inst.loc)
            return [done, ir.Assign(ir.Expr("arrayexpr", inst.loc, expr=sum_, ty=into), target, inst.loc)]
        made = ir.Expr(UPDATE, inst.loc, target=target, expr=tree, ty=kind, how=how)
        return [ir.Assign(made, self.result(inst, target), inst.loc)]

    def made_with(self, name: str, more: Tree, number: types.Type) -> Tree:
        """The expression of an array that was just made, and not read since, with more added to it; else None."""
        place, kind = self.waiting.get(name), self.typemap[name].dtype
        if place is None or any(name in reads(inst) for inst in self.out[place + 1 :]):
            return None
        first = self.gathered(self.out[place].value)  # type: ignore[union-attr]
        if name in {leaf.name for leaf in leaves(more)} or size(first) + size(more) > _LARGEST:
            return None
        if number != kind and not (isinstance(number, types.Float) and isinstance(kind, types.Float)):
            return None
        if None in (element_type(tree, self.typeof, self.typing) for tree in (first, more)):
            return None
        self.out[place] = None
        sum_ = operator.add, [(CONVERT, [first], kind), (CONVERT, [more], number)]
        return CONVERT, [sum_], kind

    def result(self, inst: ir.Stmt, target: ir.Var) -> ir.Var:
        if isinstance(inst, ir.Assign):
            return inst.target
        done = target.scope.redefine("$stored", loc=inst.loc)
        self.typemap[done.name] = types.none
        return done

    def store(self, inst: ir.SetItem | ir.StaticSetItem) -> list[ir.Stmt]:
        """``a[i:j] = expression``: the part is a view, which is written to."""
        index = inst.index_var if isinstance(inst, ir.StaticSetItem) else inst.index
        if index is None or not self.is_array(inst.target.name):
            return [inst]
        if self.is_stored_already(inst, index):
            return []
        array, at = self.typemap[inst.target.name], self.typemap[index.name]
        value = inst.value.name
        if not is_basic(at):
            return [inst]
        if not (value in self.waiting and array.ndim):
            return [inst]
        signature = self.typing.resolve_function_type(operator.getitem, (array, at), {})
        if signature is None or not isinstance(signature.return_type, types.Array):
            return [inst]
        kind = self.typemap[value]
        if not signature.return_type.ndim >= kind.ndim:
            return [inst]
        view = inst.target.scope.redefine("$part", loc=inst.loc)
        part = ir.Expr.getitem(inst.target, index, inst.loc)
        self.typemap[view.name], self.calltypes[part] = signature.return_type, signature
        found = self.update(inst, view, inst.value, None)
        return [inst] if found == [inst] else [ir.Assign(part, view, inst.loc), *found]

    def is_stored_already(self, inst: ir.SetItem | ir.StaticSetItem, index: ir.Var) -> bool:
        """Whether ``a[i:j] += x``, which Python ends by a store of the part into itself, has done all."""
        last = next((i for i in reversed(self.out) if i is not None), None)
        if not (isinstance(last, ir.Assign) and last.target.name == inst.value.name):
            return False
        if not (isinstance(last.value, ir.Expr) and last.value.op == UPDATE):
            return False
        view = self.views.get(last.value.target.name)
        if view is None or view.value.name != inst.target.name:
            return False
        own = view.index_var if view.op == "static_getitem" else view.index
        return own is not None and own.name == index.name


_IN_PLACE = {operator.add: "+=", operator.sub: "-="}


def _literal(kind: types.Type) -> Any:
    """The value that all variables of a type have."""
    if isinstance(kind, types.BaseTuple):
        return tuple(map(_literal, kind))
    return None if isinstance(kind, types.NoneType) else kind.literal_value


def _is_slow(tree: Tree) -> bool:
    """Whether an expression is better not computed twice."""
    if not isinstance(tree, tuple) or tree[0] is ROLL:  # which is read once, however often it occurs
        return False
    return tree[0] not in _QUICK or any(map(_is_slow, tree[1]))


_QUICK = {operator.add, operator.sub, operator.mul, operator.neg, operator.pos, CONVERT}
