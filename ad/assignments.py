"""Variables and assignments of the front end: what names stand for, and what statements give them.

A variable has one kind throughout; one that holds an int at one place and a float at another is a float, as it is for
Numba where both meet.
"""

import ast
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ad.alias import viewed
from ad.calls import Calls
from ad.expressions import BINARY, a_kind
from ad.function import Options, arithmetic
from ad.ir import WHOLE_AXIS, Assign, Compare, Const, Expr, If, Index, Kind, Len, Raise, Rebind, Var, names
from ad.source import Source, place_of
from ad.syntax import assigned_names, local_names
from ad.values import Build, FunctionValue, NoneValue, RangeValue, Text, TupleValue, Value

__all__ = ["RESERVED", "Assignments", "alike"]

# Generated code calls these by name: a user's variable of the same name is renamed there.
RESERVED = frozenset({"range", "len", "float", "int", "bool", "abs", "min", "max", "complex", "print"})


class Assignments(Calls):
    def __init__(
        self,
        build: Build,
        source: Source,
        tree: ast.FunctionDef | ast.Lambda,
        outer: Any,
        options: Options | None,
    ) -> None:
        super().__init__(build, source, local_names(tree), outer, options)
        self.tree = tree
        self.main = source is build.source and outer is None
        self.names: dict[str, str] = {}
        self.assigned = assigned_names(tree) if isinstance(tree, ast.FunctionDef) else set()
        self.depth = 0
        """How many branches and loops are around."""

    def fixed(self, value: Value, node: ast.AST) -> Value:
        """A value that no later statement changes."""
        match value:
            case TupleValue(items, cls):
                return TupleValue(tuple(self.fixed(item, node) for item in items), cls)
            case Expr():
                return self.lasting(value, "default", node)
        return value

    def lasting(self, e: Expr, wish: str, node: ast.AST) -> Expr:
        """A number or an array that no later statement assigns."""
        if isinstance(e, Const) or (isinstance(e, Var) and e.name in self.steady):
            return e
        return self.temporary(f"{e.name}_old" if isinstance(e, Var) else wish, e, node)

    def variable(self, name: str) -> str:
        """How the IR calls a variable, or a part of a tuple (``p.0`` or ``p.field``)."""
        if name not in self.names:
            plain = self.main and name in self.local_names and name not in RESERVED
            inner = self.names[name] = name if plain else self.build.namer.fresh(name.replace(".", "_"))
            first, *parts = name.split(".")
            of = "" if self.main else f" of {getattr(self.tree, 'name', 'a lambda')}()"
            self.build.called[inner] = first + "".join(f"[{p}]" if p.isdigit() else f".{p}" for p in parts) + of
        return self.names[name]

    def enter(self, parameter: str, value: Value, node: ast.AST) -> None:
        """Give a parameter its value."""
        if _settled(value) and parameter not in self.assigned:
            self.values[parameter] = value
            return
        self.assign_name(parameter, value, node)

    def assign_name(self, name: str, value: Value, node: ast.AST) -> None:
        old = self.values.get(name)
        match value:
            case Expr():
                self.values[name] = Var(self.assign_variable(name, value, node))
                return
            case TupleValue(cls=cls):
                parts = list(value.items)
                for i, (part, item) in enumerate(zip(_parts_of(name, value), parts)):
                    if not isinstance(item, Expr | TupleValue) or item == Var(self.names.get(part, "")):
                        continue
                    # What comes later may read this part as it was.
                    changed = {self.variable(leaf) for leaf in _leaves(part, item)}
                    parts[i + 1 :] = [self.detached(later, changed, node) for later in parts[i + 1 :]]
                    self.assign_name(part, item, node)
                    parts[i] = self.values[part]
                value = TupleValue(tuple(parts), cls)
            case RangeValue():
                self.refuse("a range as a variable is not supported: write it into the for statement", node)
        if self.depth and old is not None and not alike(old, value):
            self.refuse(f"{name} is {self.described(old)} at one place and {self.described(value)} at another", node)
        self.values[name] = value

    def assign_variable(self, name: str, value: Expr, node: ast.AST) -> str:
        kind = self.kind(value)
        known = self.values.get(name)
        if known is not None and not isinstance(known, Var | Const) and self.depth:
            self.refuse(f"{name} is {self.described(known)} at one place and {a_kind(kind)} at another", node)
        target = self.variable(name)
        old = self.build.kinds.get(target)
        if old is not None and old is not kind and (kind.is_array or old.is_array):
            if self.depth:
                self.refuse(
                    f"{name} is {a_kind(old)} at one place and {a_kind(kind)} at another: give one of them another "
                    "name",
                    node,
                )
            target = self.names[name] = self.build.namer.fresh(name)
            old = None
        self.join(name, target, old, kind, node)
        wanted = self.build.kinds[target]
        self.emit(Assign(target, self.cast(value, wanted), **self.where(node)))
        return target

    def join(self, name: str, target: str, old: Kind | None, kind: Kind, node: ast.AST) -> None:
        """Note the kind of a variable; the function is read again where that is a wider one than was thought."""
        kinds, widened = self.build.kinds, self.build.widened
        if old is None:
            wide = widened.get(target)
            kinds[target] = wide if wide is not None and not kind.is_array and kind is not Kind.BOOL else kind
            return
        if old is kind or kind.is_array:
            return
        if Kind.BOOL in (old, kind):
            self.refuse(f"{name} holds a bool at one place and a number at another: use two names, or int(...)", node)
        wide = arithmetic("+", old, kind)
        if wide is not old:
            widened[target] = kinds[target] = wide
            self.build.changed = True

    @property
    def steady(self) -> set[str]:
        """The variables that have one value throughout."""
        return {v.name for n, v in self.values.items() if isinstance(v, Var) and n not in self.assigned}

    def described(self, value: Value) -> str:
        match value:
            case TupleValue(items, cls):
                return f"a {cls.__name__ if cls else 'tuple'} of {len(items)}"
            case NoneValue():
                return "None"
            case FunctionValue():
                return f"the function {value.name}"
            case Text(text):
                return f"the text {text!r}"
            case RangeValue():
                return "a range"
        return a_kind(self.kind(value))

    # ----------------------------------------------------------------------------------------- assignments

    def assign(self, targets: Sequence[ast.expr], value: ast.expr, node: ast.stmt) -> None:
        if len(targets) == 1 and isinstance(targets[0], ast.Tuple | ast.List) and self.swap(targets[0], value, node):
            return
        found = self.value(value)
        if len(targets) > 1 and isinstance(found, TupleValue):
            found = self.fixed(found, node)  # one target may change what the next one gets
        for i, target in enumerate(targets):
            if len(targets) > 1 and isinstance(found, Expr) and not isinstance(found, Const | Var):
                # It is evaluated once.
                if not isinstance(targets[0], ast.Name):
                    found = self.temporary("value", found, node)
                elif i:
                    found = self.value(targets[0])
            self.assign_target(target, found, node)

    def swap(self, target: ast.Tuple | ast.List, value: ast.expr, node: ast.stmt) -> bool:
        """``u, v = v, u`` of arrays: the names change places."""
        if not isinstance(value, ast.Tuple) or not all(isinstance(e, ast.Name) for e in (*target.elts, *value.elts)):
            return False
        left = [e.id for e in target.elts if isinstance(e, ast.Name)]
        right = [e.id for e in value.elts if isinstance(e, ast.Name)]
        if sorted(left) != sorted(right) or len(set(left)) < len(left):
            return False
        values = [self.values.get(name) for name in right]
        arrays = [v for v in values if isinstance(v, Var) and self.kind(v).is_array]
        if len(arrays) < len(left) or len({self.kind(v) for v in arrays}) > 1:
            return False
        self.emit(Rebind(tuple(self.variable(n) for n in left), tuple(v.name for v in arrays), **self.where(node)))
        for name in left:
            self.values[name] = Var(self.variable(name))
        return True

    def assign_target(self, target: ast.expr, value: Value, node: ast.stmt) -> None:
        match target:
            case ast.Name(name):
                self.assign_name(name, value, node)
            case ast.Subscript():
                value, place = self.then([value], lambda: self.subscript(target), node)
                if not isinstance(place, Index):
                    self.refuse("a tuple cannot be changed: make a new one", target)
                e = value if isinstance(value, Expr) else self.refuse("only numbers and arrays fit here", target)
                self.assign_part(place, e, "", node)
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                for starred in elts:
                    if isinstance(starred, ast.Starred):
                        self.refuse("a variable with * would be a list, which is not supported: use indices", starred)
                if isinstance(value, Expr) and self.kind(value).is_array:
                    value = self.items_of_row(value, target, node)
                if not isinstance(value, TupleValue):
                    self.refuse("only tuples and arrays can be unpacked", target)
                if len(elts) != len(value.items):
                    self.refuse(f"{len(elts)} variables on the left, {len(value.items)} values on the right", node)
                self.parallel(elts, value.items, node)
            case _:
                self.refuse("only variables and parts of arrays can be assigned", target)

    def items_of_row(self, row: Expr, target: ast.Tuple | ast.List, node: ast.stmt) -> TupleValue:
        """The items of an array, one for each variable."""
        n = len(target.elts)
        base = row if isinstance(row, Var) else self.temporary("row", row, node)
        wrong = Compare(Len(base.name), ("!=",), (Const(n),))
        error = Raise(ValueError, (Const(f"an array of another length than {n} was unpacked"),), **self.where(node))
        self.emit(If(wrong, (error,), (), **self.where(node)))
        return TupleValue(tuple(self.place(base.name, [Const(i)], target) for i in range(n)))

    def parallel(self, targets: Sequence[ast.expr], items: Sequence[Value], node: ast.stmt) -> None:
        """``a, b = x, y``: a later value that an earlier target changes is computed first."""
        values = list(items)
        for i, target in enumerate(targets):
            changed = self.changed_by(target)
            for k in range(i + 1, len(values)):
                values[k] = self.detached(values[k], changed, node)
            self.assign_target(target, values[i], node)

    def changed_by(self, target: ast.expr) -> set[str]:
        match target:
            case ast.Name(name):
                return {self.variable(name)}
            case ast.Tuple(elts=elts) | ast.List(elts=elts):
                return set().union(*(self.changed_by(e) for e in elts))
        return {"*"}  # an array that others may share

    def detached(self, value: Value, changed: set[str], node: ast.AST) -> Value:
        """The value, kept in a variable of its own where it reads what is going to change."""
        if isinstance(value, TupleValue):
            return TupleValue(tuple(self.detached(v, changed, node) for v in value.items), value.cls)
        if not isinstance(value, Expr):
            return value
        reads = names(value)
        arrays = any(n in self.build.kinds and self.build.kinds[n].is_array for n in reads)
        if reads & changed or ("*" in changed and arrays and not isinstance(value, Var)):
            wish = f"{value.name}_old" if isinstance(value, Var) else "value"
            return self.temporary(wish, value, node)
        return value

    def augmented(self, node: ast.AugAssign) -> None:
        target, place = node.target, place_of(node)
        if isinstance(target, ast.Attribute):
            self.refuse("only variables and parts of arrays can be assigned", target)
        base = target.value if isinstance(target, ast.Subscript) else None
        if isinstance(base, ast.Name) and isinstance(self.value(base), TupleValue):
            self.refuse("a tuple cannot be changed: make a new one", target)
        found = self.value(target)
        if isinstance(target, ast.Name) and isinstance(found, TupleValue) and isinstance(node.op, ast.Add):
            more = self.value(node.value)
            if isinstance(more, TupleValue):
                self.assign_name(target.id, TupleValue(found.items + more.items), node)
                return
        old = self.expr_of(found, target)
        if isinstance(node.op, ast.MatMult):
            self.refuse("@= is not supported: write a = a @ b", node)
        op = BINARY[type(node.op)]
        if isinstance(target, ast.Name) and not self.kind(old).is_array:
            self.assign_name(target.id, self.binary(op, old, self.expr(node.value), place), node)
            return
        part = old if isinstance(old, Index) else Index(old.name, WHOLE_AXIS, at=place)  # type: ignore[attr-defined]
        # What the right side writes to: Python knows the place by then, and has read it, but a view shows the change.
        view = viewed(part, self.build.kinds) is not None
        before = [part.index] if view else [part.index, part]
        index, *read, value = self.then(before, lambda: self.expr(node.value), node)
        target_part = replace(part, index=index)
        if op in "+-" and (view or (read == [part] and not self.kind(part).is_array)):
            self.assign_part(target_part, value, op, node)
        else:
            self.assign_part(target_part, self.binary(op, target_part if view else read[0], value, place), "", node)


def _parts_of(name: str, value: TupleValue) -> list[str]:
    """The names of the parts of a tuple."""
    fields = value.cls._fields if value.cls else range(len(value.items))  # type: ignore[attr-defined]
    return [f"{name}.{field}" for field in fields]


def _leaves(name: str, value: Value) -> list[str]:
    """The names of the variables of a value."""
    if isinstance(value, TupleValue):
        return [leaf for part, item in zip(_parts_of(name, value), value.items) for leaf in _leaves(part, item)]
    return [name] if isinstance(value, Expr) else []


def _settled(value: Value) -> bool:
    """Whether a value is what it is, with nothing left to compute."""
    if isinstance(value, TupleValue):
        return all(_settled(item) for item in value.items)
    return isinstance(value, Var | Const) or not isinstance(value, Expr)


def alike(a: Value, b: Value) -> bool:
    """Whether a name may stand for either value, where paths meet."""
    if isinstance(a, Expr) and isinstance(b, Expr):
        return a == b or not (isinstance(a, Const) and isinstance(b, Const))
    if isinstance(a, TupleValue) and isinstance(b, TupleValue):
        same = a.cls is b.cls and len(a.items) == len(b.items)
        return same and all(alike(x, y) for x, y in zip(a.items, b.items, strict=True))
    return a == b
