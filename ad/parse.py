"""The front end: Python's syntax tree -> typed IR.  What is outside the subset raises UnsupportedSyntax.

Free names are resolved now: functions to primitives or to user functions, numbers to constants.  Control flow becomes
structured: what leaves a loop is the last thing that a trip does, what follows stands in the other branch, and every
function ends in one place.  A variable has one kind throughout; one that holds an int at one place and a float at
another is a float, as it is for Numba where both meet.
"""

import ast
import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ad.alias import viewed
from ad.calls import Calls
from ad.checkpointed import marked
from ad.expressions import BINARY, a_kind
from ad.flow import empty
from ad.function import Options, arithmetic
from ad.ir import (
    WHOLE_AXIS,
    Assign,
    Binary,
    Block,
    Break,
    Call,
    Checkpoints,
    Compare,
    Const,
    Do,
    Expr,
    For,
    If,
    Index,
    Kind,
    Len,
    Place,
    Raise,
    Rebind,
    Slice,
    Stmt,
    Var,
    While,
    names,
)
from ad.primitive import Primitive, primitive
from ad.rerun import remat
from ad.source import MISSING, TOO_DEEP, Source, place_of
from ad.values import (
    NONE,
    Build,
    FunctionValue,
    NoneValue,
    NotOfNumbers,
    RangeValue,
    Text,
    TupleValue,
    UserFunction,
    Value,
)

__all__ = ["RESERVED", "Scope"]


# Generated code calls these by name: a user's variable of the same name is renamed there.
RESERVED = frozenset({"range", "len", "float", "int", "bool", "abs", "min", "max", "complex", "print"})

_REMAT = "under ad.remat a function returns one number or one new array; or take ad.remat off"

_STATEMENTS: dict[type[ast.AST], str] = {
    ast.Try: "try is not supported: check for the special case with an if",
    ast.TryStar: "try is not supported: check for the special case with an if",
    ast.With: "with is not supported",
    ast.AsyncFunctionDef: "a coroutine inside the function is not supported: write def",
    ast.Import: "an import inside the function is not supported: import at the top of the module",
    ast.ImportFrom: "an import inside the function is not supported: import at the top of the module",
    ast.ClassDef: "a class inside the function is not supported",
    ast.Delete: "del is not supported",
    ast.Global: "global is not supported: return the value, or pass it as an argument",
    ast.Nonlocal: "nonlocal is not supported: return the value, or pass it as an argument",
    ast.Match: "match is not supported: write if and elif",
}


class Flow(Enum):
    """Whether statements go on to what follows them: always, never, or on some paths."""

    ON = "on"
    ENDS = "ends"
    MIXED = "mixed"


@dataclass
class Loop:
    """The flags of a loop: `skip` says that the rest of a trip is left out, `stop` that the loop ends with it.

    It `stops` where a break or a return was met in it.
    """

    skip: str
    stop: str
    stops: bool = False
    checkpoints: Checkpoints | None = None


class Scope(Calls):
    """One function: the one that is differentiated, or one whose body takes the place of a call."""

    def __init__(
        self,
        build: Build,
        source: Source,
        tree: ast.FunctionDef | ast.Lambda,
        outer: "Scope | None" = None,
        options: Options | None = None,
    ) -> None:
        self.tree = tree
        super().__init__(build, source, _local_names(tree), outer, options)
        self.main = source is build.source and outer is None
        self.names: dict[str, str] = {}
        self.assigned = _assigned_names(tree) if isinstance(tree, ast.FunctionDef) else set()
        self.depth = 0
        self.loops: list[Loop] = []
        self.result: Value | None = None
        self.result_place: Place | None = None
        self.returned: str | None = None  # the flag that a return was met
        body = tree.body if isinstance(tree, ast.FunctionDef) else []
        returns = [n for s in body for n in _own_nodes(s) if isinstance(n, ast.Return)]
        self.only_return = len(returns) == 1 and returns[0] is body[-1]
        self.several = bool(returns) and not self.only_return

    def scope_of(self, function: FunctionValue) -> "Scope":
        target = function.function
        if isinstance(target, UserFunction):
            source = Source.of(target.function)
            return Scope(self.build, source, source.tree, options=self.build.library.options(target, self.options))
        assert isinstance(function.scope, Scope)
        return Scope(self.build, function.scope.source, target, function.scope)

    def local_function(self, node: ast.FunctionDef | ast.Lambda) -> FunctionValue:
        if isinstance(node, ast.FunctionDef) and any(self.resolve(d) is remat for d in node.decorator_list):
            self.refuse("ad.remat inside the function is not supported: define what it marks in the module", node)
        a = node.args
        extra = a.vararg or a.kwarg
        if extra:
            self.refuse("*args and **kwargs are not supported: name every argument", extra)
        positional = [*a.posonlyargs, *a.args]
        given = [*zip(positional[len(positional) - len(a.defaults) :], a.defaults), *zip(a.kwonlyargs, a.kw_defaults)]
        defaults = tuple((p.arg, self.fixed(self.value(e), e)) for p, e in given if e is not None)
        return FunctionValue(node, self, defaults)

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

    # ------------------------------------------------------------------------------------------- variables

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
        if self.depth and old is not None and not _alike(old, value):
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

    # ------------------------------------------------------------------------------------------ statements

    def run(self) -> Value:
        """The body; the value is what it returns."""
        if isinstance(self.tree, ast.Lambda):
            return self.value(self.tree.body)
        start = len(self.build.out)
        if self.several:
            self.returned = self.build.namer.fresh("returned")
            self.set_flag(self.returned, False, self.tree)
        flow = self.statements(self.tree.body)
        if self.several and self.result is not None:
            # Where a return stands in a loop, nothing in the structure says that there is a result.
            self.build.out[start:start] = self.zeros(self.result)
        if self.result is None or flow is not Flow.ENDS:
            if self.main and self.build.probing:
                raise NotOfNumbers
            if self.main or self.result not in (None, NONE):
                ends = "can end without a return, which returns None" if flow is not Flow.ENDS else "never returns"
                wanted = _REMAT if self.build.rerun else "end it with return and a number"
                self.refuse(f"{self.tree.name}() {ends}: {wanted}", self.tree.body[-1])
            return NONE
        return self.result

    def zeros(self, result: Value) -> list[Stmt]:
        if isinstance(result, TupleValue):
            return [s for item in result.items for s in self.zeros(item)]
        if not isinstance(result, Var):
            return []
        kind = self.kind(result)
        if kind.is_array:
            return [empty(result.name, kind, **self.where(self.tree))]
        zero = Const(False) if kind is Kind.BOOL else self.cast(Const(0), kind)
        return [Assign(result.name, zero, **self.where(self.tree))]

    def statements(self, nodes: Sequence[ast.stmt]) -> Flow:
        for i, node in enumerate(nodes):
            try:
                flow, rest = self.statement(node, nodes[i + 1 :])
            except RecursionError:
                flow = None
            if flow is None:
                self.refuse(TOO_DEEP, node)
            if flow is not Flow.ON or rest:
                return flow
        return Flow.ON

    def nested(self, nodes: Sequence[ast.stmt]) -> tuple[Block, Flow]:
        self.depth += 1
        try:
            return self.block(lambda: self.statements(nodes))
        finally:
            self.depth -= 1

    def statement(self, node: ast.stmt, rest: Sequence[ast.stmt]) -> tuple[Flow, bool]:
        """Whether the statement goes on, and whether it has taken the rest of the block into itself."""
        match node:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                return Flow.ON, False
            case ast.Return(value=value):
                self.return_(value, node)
                return Flow.ENDS, True
            case ast.Break():
                self.stop(node)
                return Flow.ENDS, True
            case ast.Continue():
                self.set_flag(self.loops[-1].skip, True, node)
                return Flow.ENDS, True
            case ast.Raise():
                self.raise_(node)
                return Flow.ENDS, True
            case ast.Assert(test=test, msg=message):
                cond = self.truth(test)
                args = () if message is None else (self.message(message),)
                stop = Raise(AssertionError, args, **self.where(node))
                self.emit(If(cond, (), (stop,), **self.where(node)))
                return Flow.ON, False
            case ast.If():
                return self.if_(node, rest)
            case ast.For() | ast.While():
                return self.loop(node, rest)
            case ast.FunctionDef(name=name):
                self.assign_name(name, self.local_function(node), node)
                return Flow.ON, False
            case ast.Assign(targets=targets, value=value):
                self.assign(targets, value, node)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self.assign([target], value, node)
            case ast.AugAssign():
                self.augmented(node)
            case ast.Expr(value=ast.Call() as call):
                self.call_statement(call, node)
            case ast.Expr(value=value):
                self.value(value)  # what it calls may have effects
            case _:
                self.refuse(_STATEMENTS.get(type(node), "this is not supported"), node)
        return Flow.ON, False

    def stop(self, node: ast.AST) -> None:
        """Leave the innermost loop."""
        loop = self.loops[-1]
        loop.stops = True
        self.set_flag(loop.skip, True, node)
        self.set_flag(loop.stop, True, node)
        self.emit(Break(**self.where(node)))

    def set_flag(self, name: str, value: bool, node: ast.AST) -> None:
        self.build.kinds[name] = Kind.BOOL
        self.emit(Assign(name, Const(value), **self.where(node)))

    def message(self, node: ast.expr) -> Expr:
        value = self.value(node)
        return Const(value.value) if isinstance(value, Text) else self.expr_of(value, node)

    def raise_(self, node: ast.Raise) -> None:
        if node.exc is None or node.cause is not None:
            self.refuse("raise needs an exception, and no cause", node)
        call = node.exc if isinstance(node.exc, ast.Call) else None
        error = self.resolve(call.func if call else node.exc)
        if not (isinstance(error, type) and issubclass(error, BaseException)):
            self.refuse("only classes of exceptions can be raised: raise ValueError(...)", node)
        args = tuple(self.message(a) for a in call.args) if call else ()
        self.emit(Raise(error, args, **self.where(node)))

    def call_statement(self, call: ast.Call, node: ast.stmt) -> None:
        function = self.resolve(call.func)
        if function is print:
            args = tuple(self.message(a) for a in call.args)
            if call.keywords:
                self.refuse("print() takes no keywords in compiled code", node)
            self.emit(Do(Call(Primitive(print, ()), args), **self.where(node)))
            return
        if isinstance(call.func, ast.Attribute) and call.func.attr == "fill" and function is MISSING:
            array = self.array_variable(call.func.value)
            if len(call.args) != 1 or call.keywords:
                self.refuse(f"{ast.unparse(call.func)}() takes one number", node)
            self.assign_part(Index(array.name, _whole()), self.expr(call.args[0]), "", node)
            return
        self.value(call)

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
        part = old if isinstance(old, Index) else Index(old.name, _whole(), at=place)  # type: ignore[attr-defined]
        # What the right side writes to: Python knows the place by then, and has read it, but a view shows the change.
        view = viewed(part, self.build.kinds) is not None
        before = [part.index] if view else [part.index, part]
        index, *read, value = self.then(before, lambda: self.expr(node.value), node)
        target_part = replace(part, index=index)
        if op in "+-" and (view or (read == [part] and not self.kind(part).is_array)):
            self.assign_part(target_part, value, op, node)
        else:
            self.assign_part(target_part, self.binary(op, target_part if view else read[0], value, place), "", node)

    # -------------------------------------------------------------------------------------- returns, branches

    def return_(self, node: ast.expr | None, at: ast.stmt) -> None:
        if node is None:
            if self.main and self.build.probing:
                raise NotOfNumbers
            if self.main:
                self.refuse(f"return without a value: {_REMAT if self.build.rerun else 'return a number'}", at)
            value: Value = NONE
        else:
            value = self.value(node)
        if self.main:
            self.result_place = place_of(node) if node is not None else None
            number = isinstance(value, Expr) and not self.kind(value).is_array
            if not number and self.build.probing:
                raise NotOfNumbers
            if isinstance(value, TupleValue):
                wanted = _REMAT if self.build.rerun else "return one number"
                self.refuse(f"several results are not supported: {wanted}", at)
            if not isinstance(value, Expr):
                self.expr(node)  # type: ignore[arg-type]
        if self.only_return and self.depth == 0 and not self.main:
            self.result = value
            return
        if self.main and self.only_return and isinstance(value, Var):
            self.result = value
            return
        if self.result is not None:
            self.check_result(value, at)
        if "" not in self.names:
            self.names[""] = self.build.namer.fresh("result")
        self.assign_name("", value, at)
        self.result = self.values[""]
        if self.returned is not None:
            self.set_flag(self.returned, True, at)
        if self.loops:
            self.stop(at)

    def check_result(self, value: Value, at: ast.stmt) -> None:
        """Raise where what is returned here is something else than before."""
        old = self.result
        assert old is not None
        same = _alike(old, value)
        if same and isinstance(old, Expr) and isinstance(value, Expr):
            a, b = self.kind(old), self.kind(value)
            same = a is b or not (a.is_array or b.is_array or Kind.BOOL in (a, b))
        if not same:
            name = getattr(self.tree, "name", "a lambda")
            self.refuse(f"{name}() returns {self.described(old)} at one place and {self.described(value)} here", at)

    def if_(self, node: ast.If, rest: Sequence[ast.stmt]) -> tuple[Flow, bool]:
        cond = self.truth(node.test)
        if isinstance(cond, Const) and isinstance(cond.value, bool):
            return self.statements([*(node.body if cond.value else node.orelse), *rest]), True
        before = dict(self.values)
        then, a = self.nested(node.body)
        then_values, self.values = self.values, dict(before)
        orelse, b = self.nested(node.orelse)
        self.merge(then_values, a, b, node)
        both = (a, b)
        if both == (Flow.ON, Flow.ON):
            self.emit(If(cond, then, orelse, **self.where(node)))
            return Flow.ON, False
        if both == (Flow.ENDS, Flow.ENDS):
            self.emit(If(cond, then, orelse, **self.where(node)))
            return Flow.ENDS, True
        if Flow.MIXED not in both:
            # One side ends: the other takes the rest.
            more, flow = self.rest_of(rest, node)
            then, orelse = (then, (*orelse, *more)) if a is Flow.ENDS else ((*then, *more), orelse)
            self.emit(If(cond, then, orelse, **self.where(node)))
            return Flow.ENDS if flow is Flow.ENDS else Flow.MIXED, True
        self.emit(If(cond, then, orelse, **self.where(node)))
        return self.unless_left(rest, node), True

    def rest_of(self, rest: Sequence[ast.stmt], node: ast.AST) -> tuple[Block, Flow]:
        """The rest of a block, as part of a branch; it does not count as nested for what it assigns."""
        return self.block(lambda: self.statements(rest))

    def merge(self, then_values: dict[str, Value], a: Flow, b: Flow, node: ast.AST) -> None:
        """What the variables stand for after both branches."""
        for name, value in then_values.items():
            other = self.values.get(name)
            if other is None:
                self.values[name] = value
            elif not _alike(value, other):
                if a is Flow.ENDS:
                    continue
                if b is Flow.ENDS:
                    self.values[name] = value
                    continue
                first, second = self.described(value), self.described(other)
                self.refuse(f"{name} is {first} in one branch and {second} in the other", node)

    def left(self) -> str | None:
        """The flag that what follows a statement is to be skipped."""
        return self.loops[-1].skip if self.loops else self.returned

    def unless_left(self, rest: Sequence[ast.stmt], node: ast.stmt) -> Flow:
        """The rest of a block after a statement that leaves it on some paths."""
        flag = self.left()
        if flag is None:  # only exceptions leave it
            return self.statements(rest)
        more, flow = self.rest_of(rest, node)
        leave: Block = ()
        if self.loops and self.loops[-1].stops:
            leave = (If(Var(self.loops[-1].stop), (Break(),), (), **self.where(node)),)
        if more or leave:
            self.emit(If(Var(flag), leave, more, **self.where(node)))
        return flow if flow is Flow.ENDS else Flow.MIXED

    # ------------------------------------------------------------------------------------------------ loops

    def loop(self, node: ast.For | ast.While, rest: Sequence[ast.stmt]) -> tuple[Flow, bool]:
        namer = self.build.namer
        what, checkpoints = marked(self, node)
        node = copy.copy(node)
        if isinstance(node, ast.For):
            node.iter = what
        else:
            node.test = what
        loop = Loop(namer.fresh("skip"), namer.fresh("stop"), checkpoints=checkpoints)
        returns = any(isinstance(n, ast.Return) for s in node.body for n in _own_nodes(s))
        self.set_flag(loop.stop, False, node)
        if isinstance(node, ast.While):
            self.while_loop(node, loop)
        elif self.for_loop(node, loop):  # unrolled: nothing breaks out of it
            return self.statements([*node.orelse, *rest]), True
        if not returns:
            return self.loop_else(node, loop, rest)
        assert self.returned is not None
        if _endless(node) and not any(isinstance(n, ast.Break) for s in node.body for n in _own_loop_nodes(s)):
            return Flow.ENDS, True  # only a return leaves it
        more, flow = self.block(lambda: self.after_loop(node, loop, rest))
        leave: Block = ()
        if self.loops:
            leave, _ = self.block(lambda: self.stop(node))
        self.emit(If(Var(self.returned), leave, more, **self.where(node)))
        return Flow.ENDS if flow is Flow.ENDS else Flow.MIXED, True

    def after_loop(self, node: ast.For | ast.While, loop: Loop, rest: Sequence[ast.stmt]) -> Flow:
        """The else of a loop, and what follows the loop."""
        flow, done = self.loop_else(node, loop, rest)
        return flow if done else self.statements(rest)

    def loop_else(self, node: ast.For | ast.While, loop: Loop, rest: Sequence[ast.stmt]) -> tuple[Flow, bool]:
        """The else of a loop, as a branch for when it has not stopped early."""
        if not node.orelse:
            return Flow.ON, False
        before = dict(self.values)
        orelse, flow = self.nested(node.orelse)
        if flow is Flow.ENDS:
            self.values = before
            stopped, flow = self.rest_of(rest, node)
            self.emit(If(Var(loop.stop), stopped, orelse, **self.where(node)))
            return Flow.ENDS if flow is Flow.ENDS else Flow.MIXED, True
        self.emit(If(Var(loop.stop), (), orelse, **self.where(node)))
        return (Flow.ON, False) if flow is Flow.ON else (self.unless_left(rest, node), True)

    def loop_body(self, loop: Loop, node: ast.For | ast.While, first: Any = None) -> Block:
        def fill() -> None:
            self.set_flag(loop.skip, False, node)
            if first is not None:
                first()
            self.statements(node.body)

        outer, self.depth = self.loops, self.depth + 1
        self.loops = [*outer, loop]
        try:
            body, _ = self.block(fill)
        finally:
            self.loops, self.depth = outer, self.depth - 1
        return body

    def while_loop(self, node: ast.While, loop: Loop) -> None:
        before, cond = self.block(lambda: self.truth(node.test))
        if not before:
            body = self.loop_body(loop, node)
            self.emit(While(cond, body, checkpoints=loop.checkpoints, **self.where(node)))
            return
        # What the condition needs to have done is done in each trip.
        body = self.loop_body(loop, node)
        check = If(cond, body, (Break(**self.where(node)),), **self.where(node))
        self.emit(While(Const(True), (*before, check), checkpoints=loop.checkpoints, **self.where(node)))

    def for_loop(self, node: ast.For, loop: Loop) -> bool:
        """The result says whether the trips were written out, with what follows the loop."""
        what = self.iterable(node.iter)
        if isinstance(what, TupleValue):
            if loop.checkpoints is not None:
                self.refuse("ad.checkpointed: a loop over a tuple is written out, and has no state", node.iter)
            self.unrolled(node, what)
            return True
        parallel = isinstance(what, RangeValue) and what.parallel
        if parallel and loop.checkpoints is not None:
            self.refuse("ad.checkpointed: the trips of a prange leave no state to one another", node.iter)
        marks = {**self.where(node), "checkpoints": loop.checkpoints, "parallel": parallel}
        plain = isinstance(node.target, ast.Name)
        if isinstance(what, RangeValue) and plain:
            assert isinstance(node.target, ast.Name)
            name = node.target.id
            if name not in {n for s in node.body for n in _bound_names(s)}:
                var = self.variable(name)
                known = self.build.kinds.get(var)
                if known is not None and known is not Kind.INT and known is not Kind.FLOAT:
                    self.refuse(
                        f"the loop variable {name} is {a_kind(known)} elsewhere: give that another name", node.target
                    )
                if known is None and var not in self.build.widened:
                    self.build.kinds[var] = Kind.INT
                if self.build.kinds.get(var) is Kind.INT:
                    self.values[name] = Var(var)
                    body = self.loop_body(loop, node)
                    self.emit(For(var, what.start, what.stop, what.step, body, **marks))
                    return False
        wish = f"{node.target.id}_trip" if plain else "trip"  # type: ignore[attr-defined]
        counter = self.build.namer.fresh(wish)
        self.build.kinds[counter] = Kind.INT
        if isinstance(what, RangeValue):
            bounds, item = (what.start, what.stop, what.step), Var(counter, at=place_of(node.target))
            first = lambda: self.assign_target(node.target, item, node)  # noqa: E731
        else:
            length, get = what
            bounds = (Const(0), length, Const(1))
            first = lambda: self.assign_target(node.target, get(Var(counter)), node)  # noqa: E731
        body = self.loop_body(loop, node, first)
        self.emit(For(counter, *bounds, body, **marks))
        return False

    def unrolled(self, node: ast.For, items: TupleValue) -> None:
        """A loop over a tuple: its trips one after another."""
        if any(isinstance(n, ast.Break | ast.Continue | ast.Return) for s in node.body for n in _own_nodes(s)):
            self.refuse("break, continue and return in a loop over a tuple are not supported: loop over an array", node)
        changed = {"*", *self.changed_by(node.target)}
        changed |= {self.variable(name) for s in node.body for name in _bound_names(s)}
        for item in [self.detached(item, changed, node) for item in items.items]:
            self.assign_target(node.target, item, node)
            self.statements(node.body)

    def iterable(self, node: ast.expr) -> Any:
        """A RangeValue, a TupleValue, or the number of items and a function from a counter to an item."""
        if isinstance(node, ast.Call):
            function = self.resolve(node.func)
            if function is enumerate and len(node.args) in (1, 2):
                length, get = self.items(node.args[0])
                start = self.integer(node.args[1], "the start of enumerate()") if len(node.args) == 2 else Const(0)
                for keyword in node.keywords:
                    if keyword.arg != "start" or len(node.args) == 2:
                        self.refuse("enumerate() takes what to count, and a start", node)
                    start = self.integer(keyword.value, "the start of enumerate()")
                start = self.lasting(start, "start", node)
                offset = start == Const(0)
                return length, lambda k: TupleValue((k if offset else Binary("+", k, start), get(k)))
            if function is zip and node.args:
                parts = [self.items(a) for a in node.args]
                length = parts[0][0]
                for other, _ in parts[1:]:
                    if other != length:
                        length = Call(primitive(min), (length, other))
                return length, lambda k: TupleValue(tuple(get(k) for _, get in parts))
            if function is reversed and len(node.args) == 1:
                length, get = self.items(node.args[0])
                return length, lambda k: get(Binary("-", Binary("-", length, Const(1)), k))
        value = self.value(node)
        if isinstance(value, RangeValue | TupleValue):
            return value
        return self.items_of(value, node)

    def items(self, node: ast.expr) -> Any:
        found = self.iterable(node)
        if isinstance(found, TupleValue):
            self.refuse("tuples in enumerate() and zip() are not supported: use an array, or write the trips out", node)
        if isinstance(found, RangeValue):
            bounds = Call(Primitive(range, (), "int"), (found.start, found.stop, found.step))
            plain = found.start == Const(0) and found.step == Const(1)
            count = found.stop if plain else Call(Primitive(len, (), "int"), (bounds,))
            # A trip may change the variables that they were made of.
            start, step = (self.lasting(e, "bound", node) for e in (found.start, found.step))
            count = self.lasting(count, "count", node)
            return count, lambda k: Binary("+", start, Binary("*", k, step))
        return found

    def items_of(self, value: Value, node: ast.expr) -> Any:
        e = self.expr_of(value, node)
        if not self.kind(e).is_array:
            self.refuse(f"{ast.unparse(node)} is {a_kind(self.kind(e))}: a loop needs a range or an array", node)
        # The loop goes on over this array if its name is given another one.
        base = e if isinstance(e, Var) and e.name in self.steady else self.temporary("items", e, node)
        return Len(base.name), lambda k: self.place(base.name, [k], node)


# --------------------------------------------------------------------------------------------------- helpers


def _whole() -> Slice:
    return WHOLE_AXIS


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


def _alike(a: Value, b: Value) -> bool:
    if isinstance(a, Expr) and isinstance(b, Expr):
        return a == b or not (isinstance(a, Const) and isinstance(b, Const))
    if isinstance(a, TupleValue) and isinstance(b, TupleValue):
        same = a.cls is b.cls and len(a.items) == len(b.items)
        return same and all(_alike(x, y) for x, y in zip(a.items, b.items, strict=True))
    return a == b


def _endless(node: ast.For | ast.While) -> bool:
    return isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)


def _own_nodes(node: ast.AST) -> list[ast.AST]:
    """The nodes below a statement that belong to the same function."""
    return _nodes(node, ast.iter_child_nodes)


def _own_loop_nodes(node: ast.AST) -> list[ast.AST]:
    """Those that belong to the same loop: of a loop in it, what stands in its else."""

    def below(n: ast.AST) -> Iterable[ast.AST]:
        return n.orelse if isinstance(n, ast.For | ast.While) else ast.iter_child_nodes(n)

    return _nodes(node, below)


def _nodes(node: ast.AST, below: Callable[[ast.AST], Iterable[ast.AST]]) -> list[ast.AST]:
    """A node and what is `below` it, functions and classes apart."""
    found: list[ast.AST] = []
    pending = [node]
    while pending:
        node = pending.pop()
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            found.append(node)
            pending += below(node)
    return found


def _bound_names(node: ast.AST) -> set[str]:
    found = {n.id for n in _own_nodes(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found | {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef)}


def _assigned_names(tree: ast.FunctionDef) -> set[str]:
    return set().union(*(_bound_names(s) for s in tree.body))


def _local_names(tree: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Python's rule for what is local: the parameters and every name bound anywhere in the body."""
    a = tree.args
    found = {p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)}
    return found | _assigned_names(tree) if isinstance(tree, ast.FunctionDef) else found
