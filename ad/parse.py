"""The front end: Python's syntax tree -> typed IR.  What is outside the subset raises UnsupportedSyntax.

Free names are resolved now: functions to primitives or to user functions, numbers to constants.  Control flow becomes
structured: what leaves a loop is the last thing that a trip does, what follows stands in the other branch, and every
function ends in one place.
"""

import ast
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ad.assignments import Assignments, alike
from ad.checkpointed import marked
from ad.expressions import a_kind
from ad.flow import empty
from ad.function import Options
from ad.ir import (
    WHOLE_AXIS,
    Assign,
    Binary,
    Block,
    Break,
    Call,
    Checkpoints,
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
    Stmt,
    Var,
    While,
)
from ad.primitive import Primitive, primitive
from ad.rerun import remat
from ad.source import MISSING, TOO_DEEP, Source, place_of
from ad.syntax import bound_names, endless, own_loop_nodes, own_nodes
from ad.values import (
    NONE,
    Build,
    FunctionValue,
    NotOfNumbers,
    RangeValue,
    Text,
    TupleValue,
    UserFunction,
    Value,
)

__all__ = ["Scope"]


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


class Scope(Assignments):
    """One function: the one that is differentiated, or one whose body takes the place of a call."""

    def __init__(
        self,
        build: Build,
        source: Source,
        tree: ast.FunctionDef | ast.Lambda,
        outer: "Scope | None" = None,
        options: Options | None = None,
    ) -> None:
        super().__init__(build, source, tree, outer, options)
        self.loops: list[Loop] = []
        self.result: Value | None = None
        self.result_place: Place | None = None
        self.returned: str | None = None  # the flag that a return was met
        body = tree.body if isinstance(tree, ast.FunctionDef) else []
        returns = [n for s in body for n in own_nodes(s) if isinstance(n, ast.Return)]
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
            self.assign_part(Index(array.name, WHOLE_AXIS), self.expr(call.args[0]), "", node)
            return
        self.value(call)

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
        same = alike(old, value)
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
            elif not alike(value, other):
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
        returns = any(isinstance(n, ast.Return) for s in node.body for n in own_nodes(s))
        self.set_flag(loop.stop, False, node)
        if isinstance(node, ast.While):
            self.while_loop(node, loop)
        elif self.for_loop(node, loop):  # unrolled: nothing breaks out of it
            return self.statements([*node.orelse, *rest]), True
        if checkpoints is not None and checkpoints.computed is not None and loop.stops:
            self.refuse(
                f"ad.checkpointed: {checkpoints.schedule} is for a loop that runs to its end, with no break or return: "
                'the schedules "binomial" and "online" are for others, too',
                what,
            )
        if not returns:
            return self.loop_else(node, loop, rest)
        assert self.returned is not None
        if endless(node) and not any(isinstance(n, ast.Break) for s in node.body for n in own_loop_nodes(s)):
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
            if name not in {n for s in node.body for n in bound_names(s)}:
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
        if any(isinstance(n, ast.Break | ast.Continue | ast.Return) for s in node.body for n in own_nodes(s)):
            self.refuse("break, continue and return in a loop over a tuple are not supported: loop over an array", node)
        changed = {"*", *self.changed_by(node.target)}
        changed |= {self.variable(name) for s in node.body for name in bound_names(s)}
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
