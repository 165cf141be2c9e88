"""The front end: Python's syntax tree -> IR.  What is outside the subset raises UnsupportedSyntax, here or in kinds.

Free names are resolved now: functions to primitives or to user functions, numbers to constants.  A return in a branch
becomes an assignment to one result variable, so that every function ends in one place.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ad.expressions import UNSUPPORTED, ExpressionParser
from ad.ir import (
    Assign,
    Binary,
    Block,
    Const,
    Expr,
    For,
    If,
    Place,
    Stmt,
    Var,
    While,
    assigned,
    names,
    substitute,
)
from ad.names import Namer
from ad.rules import ADVICE
from ad.source import Source, place_of

__all__ = ["Parsed", "parse"]


# Generated code calls these by name: a user's variable of the same name is renamed there.
_RESERVED = frozenset({"range", "len", "float", "int", "bool", "abs", "min", "max"})

_STATEMENTS: dict[type[ast.AST], str] = {
    ast.Assert: "assert is not supported: check the arguments before the call",
    ast.Raise: "raise is not supported: check the arguments before the call",
    ast.Break: "break is not supported: put the condition into a while, or into an if around the rest of the body",
    ast.Continue: "continue is not supported: put the rest of the body into an if",
    ast.Try: "try is not supported: check for the special case with an if",
    ast.With: "with is not supported",
    ast.Import: "an import inside the function is not supported: import at the top of the module",
    ast.ImportFrom: "an import inside the function is not supported: import at the top of the module",
    ast.FunctionDef: "a function inside the function is not supported: define it at the top of the module",
    ast.ClassDef: "a class inside the function is not supported",
    ast.Delete: "del is not supported",
    ast.Global: "global is not supported: return the value, or pass it as an argument",
    ast.Nonlocal: "nonlocal is not supported: return the value, or pass it as an argument",
    ast.Match: "match is not supported: write if and elif",
}


@dataclass(frozen=True, eq=False)
class Parsed:
    """A function in IR, before kinds are known.  `result` is the variable that is returned at the end."""

    source: Source
    params: tuple[str, ...]
    body: Block
    result: str
    namer: Namer
    result_place: Place | None = None
    arrays: frozenset[str] = frozenset()  # parameters used like arrays
    ints: frozenset[str] = frozenset()  # parameters in bounds of ranges and in indices

    @property
    def name(self) -> str:
        return self.source.name


def parse(source: Source) -> Parsed:
    """Parse a function; raises UnsupportedSyntax."""
    return _Parser(source).parse()


def _assigned_names(tree: ast.FunctionDef) -> set[str]:
    """Python's rule for what is local: every name bound anywhere in the body."""
    return {n.id for s in tree.body for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


class _Parser(ExpressionParser):
    def __init__(self, source: Source) -> None:
        tree = self.tree = source.tree
        arguments = tree.args
        extra = arguments.vararg or arguments.kwarg
        if extra:
            source.refuse("*args and **kwargs are not supported: name every argument", extra)
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        user_names = {a.arg for a in listed} | _assigned_names(tree)
        self.namer = Namer(user_names | {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)})
        super().__init__(source, user_names, {n: self.namer.fresh(n) for n in sorted(user_names & _RESERVED)})
        self.params = tuple(self.local(a.arg) for a in listed)
        self.result = ""
        self.result_place: Place | None = None

    # ------------------------------------------------------------------------------------------ statements

    def parse(self) -> Parsed:
        body = self.tree.body
        returns = [n for n in ast.walk(self.tree) if isinstance(n, ast.Return)]
        only = returns[0] if len(returns) == 1 and returns[0] is body[-1] else None
        if only is not None and isinstance(only.value, ast.Name) and only.value.id in self.locals:
            self.result = self.local(only.value.id)
        else:
            self.result = self.namer.fresh("result")
        block, ended = self.block(body)
        if not ended:
            self.refuse(
                f"{self.source.name}() can end without a return, which returns None: end it with return and a number",
                body[-1],
            )
        return Parsed(
            self.source,
            self.params,
            block,
            self.result,
            self.namer,
            self.result_place,
            frozenset(self.arrays & set(self.params)),
            frozenset(self.ints & set(self.params)),
        )

    def block(self, stmts: Sequence[ast.stmt], loop: bool = False) -> tuple[Block, bool]:
        """The IR of statements, and whether they always end in a return."""
        out: list[Stmt] = []
        for i, node in enumerate(stmts):
            if isinstance(node, ast.Return):
                if loop:
                    self.refuse(
                        "return inside a loop is not supported: assign the result and let the condition end the loop",
                        node,
                    )
                out += self.returned(node)
                return tuple(out), True
            if isinstance(node, ast.If):
                rest = list(stmts[i + 1 :])
                stmt, ended = self.branch(node, rest, loop)
                out.append(stmt)
                if ended is not None:
                    return tuple(out), ended
                continue
            out += self.statement(node, loop)
        return tuple(out), False

    def returned(self, node: ast.Return) -> list[Stmt]:
        if node.value is None:
            self.refuse("return without a value: return a number", node)
        if isinstance(node.value, ast.Tuple):
            self.refuse("several results are not supported: return one number", node)
        self.result_place = place_of(node.value)
        value = self.expr(node.value)
        if isinstance(value, Var) and value.name == self.result:
            return []
        return [Assign(self.result, value, line=node.lineno)]

    def branch(self, node: ast.If, rest: list[ast.stmt], loop: bool) -> tuple[If, bool | None]:
        """An if; where one side returns, the other one takes the rest of the block.

        The second value is None where the block goes on after the if, else whether it has ended in a return.
        """
        cond = self.truth(node.test)
        then, orelse = node.body, node.orelse
        if not any(isinstance(n, ast.Return) for part in (then, orelse) for s in part for n in ast.walk(s)):
            then_ir, _ = self.block(then, loop)
            else_ir, _ = self.block(orelse, loop)
            return If(cond, then_ir, else_ir, line=node.lineno), None
        goes_on = [part for part in (then, orelse) if not _returns(part)]
        if len(goes_on) == 2 and len(rest) > 1:
            self.refuse(
                "a return deep inside an if that can also go on is not supported: give every branch its own return, or "
                "assign the result and return it at the end",
                node,
            )
        then_ir, then_ended = self.block(then if _returns(then) else [*then, *rest], loop)
        else_ir, else_ended = self.block(orelse if _returns(orelse) else [*orelse, *rest], loop)
        return If(cond, then_ir, else_ir, line=node.lineno), then_ended and else_ended

    def statement(self, node: ast.stmt, loop: bool) -> list[Stmt]:
        match node:
            case ast.Pass():
                return []
            case ast.Expr(value=ast.Constant()):
                return []  # a docstring
            case ast.Expr(value=ast.Call(func=ast.Name("print"))):
                self.refuse(ADVICE[print], node)
            case ast.Expr(value=value) if type(value) in UNSUPPORTED:
                self.refuse(UNSUPPORTED[type(value)], node)
            case ast.Expr():
                self.refuse("an expression whose value is not used has no effect here: remove it", node)
            case ast.Assign(targets=targets, value=value):
                return self.assign(node, targets, value)
            case ast.AnnAssign(target=target, value=value):
                return self.assign(node, [target], value) if value is not None else []
            case ast.AugAssign(target=ast.Name(name), op=op, value=value):
                place = place_of(node)
                old = Var(self.local(name), at=place_of(node.target))
                new = Binary(self.operator(op, node), old, self.expr(value), at=place)
                return [Assign(self.local(name), new, line=node.lineno)]
            case ast.AugAssign(target=target):
                self.target(target)
            case ast.For():
                return [self.for_loop(node)]
            case ast.While():
                if node.orelse:
                    self.refuse("else of a loop is not supported: put it after the loop", node.orelse[0])
                body, _ = self.block(node.body, True)
                return [While(self.truth(node.test), body, line=node.lineno)]
        kind = "with is not supported" if isinstance(node, ast.AsyncWith | ast.AsyncFor) else "this is not supported"
        self.refuse(_STATEMENTS.get(type(node), kind), node)

    def target(self, node: ast.expr) -> str:
        match node:
            case ast.Name(name):
                return self.local(name)
            case ast.Subscript():
                self.refuse(
                    "writing to an element of an array is not supported yet: arrays are read only; keep what changes "
                    "in scalar variables",
                    node,
                )
            case ast.Tuple() | ast.List() | ast.Starred():
                self.refuse("nested unpacking is not supported: write a, b = x, y", node)
        self.refuse("only plain variables can be assigned", node)

    def assign(self, node: ast.stmt, targets: Sequence[ast.expr], value: ast.expr) -> list[Stmt]:
        line = node.lineno
        first = targets[0]
        if isinstance(first, ast.Tuple | ast.List):
            if len(targets) > 1:
                self.refuse("a chain of tuple assignments is not supported: write one at a time", node)
            if not isinstance(value, ast.Tuple | ast.List):
                self.refuse("unpacking is supported in the form a, b = x, y only", value)
            if len(first.elts) != len(value.elts):
                self.refuse(f"{len(first.elts)} variables on the left, {len(value.elts)} values on the right", node)
            return self.parallel([self.target(t) for t in first.elts], [self.expr(v) for v in value.elts], line)
        found = [self.target(t) for t in targets]
        expr = self.expr(value)
        out: list[Stmt] = [Assign(found[0], expr, line=line)]
        again: Expr = expr if isinstance(expr, Const) else Var(found[0], at=place_of(first))
        return out + [Assign(name, again, line=line) for name in found[1:]]

    def parallel(self, targets: list[str], values: list[Expr], line: int) -> list[Stmt]:
        """``a, b = x, y``: a variable that a later value still reads keeps its old value in another one."""
        out: list[Stmt] = []
        for i, target in enumerate(targets):
            if any(target in names(v) for v in values[i + 1 :]):
                old = self.namer.fresh(f"{target}_old")
                out.append(Assign(old, Var(target, at=values[i].at), line=line))
                swap = _renaming(target, old)
                values[i + 1 :] = [substitute(v, swap) for v in values[i + 1 :]]
            if values[i] != Var(target):
                out.append(Assign(target, values[i], line=line))
        return out

    def for_loop(self, node: ast.For) -> For:
        if node.orelse:
            self.refuse("else of a loop is not supported: put it after the loop", node.orelse[0])
        if not isinstance(node.target, ast.Name):
            self.refuse("a loop needs one plain variable: write for i in range(n)", node.target)
        call = node.iter
        function = self.resolve(call.func) if isinstance(call, ast.Call) else None
        if not isinstance(call, ast.Call) or function is not range or call.keywords or not 1 <= len(call.args) <= 3:
            advice = ADVICE.get(function, "") if getattr(function, "__hash__", None) else ""
            advice = advice or "write for i in range(n)"
            self.refuse(f"only loops over range(...) are supported: {advice}", call)
        bounds = [self.expr(a) for a in call.args]
        self.takes_ints(*bounds)
        defaults: list[Expr] = [Const(0), Const(1)]
        start, stop, step = [defaults[0], *bounds, defaults[1]] if len(bounds) == 1 else [*bounds, defaults[1]][:3]
        if isinstance(step, Const) and step.value == 0:
            self.refuse("the step of a range cannot be 0", call)
        var = self.local(node.target.id)
        body, _ = self.block(node.body, True)
        if var in assigned(body):
            # Python's loop does not look at the variable: count with one of our own.
            counter = self.namer.fresh(f"{var}_trip")
            body = (Assign(var, Var(counter, at=place_of(node.target)), line=node.lineno), *body)
            var = counter
        return For(var, start, stop, step, body, line=node.lineno)


def _returns(stmts: Sequence[ast.stmt]) -> bool:
    """Whether statements always end in a return."""
    return any(
        isinstance(s, ast.Return) or (isinstance(s, ast.If) and _returns(s.body) and _returns(s.orelse)) for s in stmts
    )


def _renaming(old: str, new: str) -> Callable[[Expr], Expr | None]:
    return lambda e: Var(new, at=e.at) if isinstance(e, Var) and e.name == old else None
