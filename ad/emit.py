"""IR -> readable Python.  The only place that makes text."""

import builtins
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ad.function import Function, Options, is_element
from ad.helpers import INSIDE, PLUS, SCATTER
from ad.ir import (
    AddTo,
    Assign,
    Attempt,
    Binary,
    BoolOp,
    Break,
    Call,
    Cast,
    Comment,
    Compare,
    Const,
    Count,
    Do,
    Dtype,
    Expr,
    For,
    If,
    Index,
    Items,
    Kind,
    Len,
    Like,
    Marker,
    MultiAssign,
    Pop,
    Push,
    Raise,
    Rebind,
    Return,
    Select,
    Slice,
    Stmt,
    Store,
    Unary,
    Var,
    While,
    children,
    expressions,
    walk,
    walk_stmts,
)
from ad.names import Namer
from ad.primitive import Primitive
from ad.unit import SWEEP_BACK, Unit, effects

__all__ = ["Emitted", "emit", "text_of"]

_INDENT = "    "

# Precedence, loosest first; a number for each production of the grammar.
_SELECT, _OR, _AND, _NOT, _COMPARE, _BITOR, _BITXOR, _BITAND, _SHIFT, _ARITH, _TERM, _FACTOR, _POWER, _ATOM = range(14)
_BINARY = {
    "|": _BITOR,
    "^": _BITXOR,
    "&": _BITAND,
    "<<": _SHIFT,
    ">>": _SHIFT,
    "+": _ARITH,
    "-": _ARITH,
    "*": _TERM,
    "/": _TERM,
    "//": _TERM,
    "%": _TERM,
    "**": _POWER,
}


@dataclass(frozen=True)
class Emitted:
    """The text of a module, the name of its main function, and objects that it needs but cannot import."""

    text: str
    main: str
    injected: dict[str, Any]
    recursive: bool = False
    """Whether a function calls itself: Numba's own cache crashes on some of these (numba issues 6061, 6713)."""


def emit(main: Unit) -> Emitted:
    """The module with `main` and all generated functions that it calls."""
    return _Module(main).emit()


def text_of(e: Expr, kinds: dict[str, Kind]) -> str:
    """An expression by itself, as generated code has it."""
    unit = Unit("", (), (), Options(), "", kinds=kinds)
    module = _Module(unit)
    module.namer = Namer()
    return _Printer(module, unit).expr(e)


@dataclass
class _Module:
    main: Unit
    units: list[Unit] = field(default_factory=list)
    under_way: list[Unit] = field(default_factory=list)
    recursive: bool = False
    allocating: set[Unit] = field(default_factory=set)
    names: dict[Any, str] = field(default_factory=dict)  # of units, functions, constants
    imports: dict[str, set[str]] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    constants: dict[str, Const] = field(default_factory=dict)
    injected: dict[str, Any] = field(default_factory=dict)

    def emit(self) -> Emitted:
        self.collect(self.main)
        self.find_allocating()
        taken: set[str] = set()
        for unit in self.units:
            found = effects(unit.body)
            taken |= found.reads | found.writes | set(unit.params)
        self.namer = Namer(taken)
        self.njit = self.imported("numba", "njit")
        for unit in reversed(self.units):  # the main one gets the name it wants
            self.names[unit] = ""
        for unit in sorted(self.units, key=lambda u: u is not self.main):
            self.names[unit] = self.namer.fresh(unit.name)
        functions = [_Printer(self, unit).text() for unit in self.units]
        return Emitted(self.head() + "\n\n".join(functions), self.names[self.main], self.injected, self.recursive)

    def collect(self, unit: Unit) -> None:
        """The unit and what it calls, callees first."""
        if unit in self.units:
            return
        if unit in self.under_way:
            self.recursive = True
            return
        self.under_way.append(unit)
        for callee in _called(unit):
            self.collect(callee)
        self.units.append(unit)

    def find_allocating(self) -> None:
        """The units that may allocate arrays, or call one that does."""
        calls = {unit: set(_called(unit)) for unit in self.units}
        more = {unit for unit in self.units if _allocates(unit)}
        while more:
            self.allocating |= more
            more = {unit for unit in self.units if calls[unit] & more} - self.allocating

    def head(self) -> str:
        lines: list[str] = []
        standard = [m for m in ("math",) if m in self.modules]
        lines += [_import(m, self.modules[m]) for m in standard]
        if standard:
            lines.append("")
        third: list[str] = []
        if "np" in self.modules:
            third.append(_import("numpy", self.modules["np"]))
        froms = sorted(self.imports.items(), key=lambda item: (item[0] != "numba", item[0]))
        third += [f"from {module} import {', '.join(sorted(names))}" for module, names in froms]
        lines += third
        if self.injected:
            lines += ["", f"# from the caller: {', '.join(sorted(self.injected))}"]
        if self.constants:
            lines.append("")
            lines += [f"{name} = {self.number(Const(c.value))}" for name, c in sorted(self.constants.items())]
        return "\n".join(lines) + "\n\n\n"

    # -------------------------------------------------------------------------------------- global names

    def imported(self, module: str, function: str) -> str:
        key = (module, function)
        if key not in self.names:
            name = self.namer.fresh(function)
            self.names[key] = name
            text = function if name == function else f"{function} as {name}"
            self.imports.setdefault(module, set()).add(text)
        return self.names[key]

    def module(self, name: str) -> str:
        if name not in self.modules:
            self.modules[name] = self.namer.fresh(name)
        return self.modules[name]

    def function(self, callee: Any) -> str:
        if isinstance(callee, Unit):
            return self.names[callee]
        if isinstance(callee, Function):  # in an expression by itself
            return callee.name
        assert isinstance(callee, Primitive), callee
        home, name = callee.home, callee.name
        if home == "builtins":
            return name
        if home in ("math", "np"):
            return f"{self.module(home)}.{name}"
        if home is not None:
            return self.imported(home, name)
        key = id(callee.function)
        if key not in self.names:
            self.names[key] = self.namer.fresh(name)
            self.injected[self.names[key]] = callee.function
        return self.names[key]

    def number(self, e: Const) -> str:
        value = e.value
        if e.name is not None:
            if "." in e.name:
                home, attribute = e.name.split(".")
                return f"{self.module(home)}.{attribute}"
            key = ("constant", e)
            if key not in self.names:
                name = self.namer.fresh(e.name)
                self.names[key] = name
                self.constants[name] = e
            return self.names[key]
        if isinstance(value, float) and not math.isfinite(value):
            text = f"{self.module('math')}.{'nan' if math.isnan(value) else 'inf'}"
            return f"-{text}" if value < 0 else text
        return repr(value)


def _targets(s: Stmt) -> Iterable[Expr]:
    match s:
        case AddTo(target=target):
            return (target,)
        case Pop(targets=targets):
            return targets
    return ()


def _import(module: str, name: str) -> str:
    return f"import {module}" if module == name else f"import {module} as {name}"


def decorator_options(options: Options, among: Sequence[Unit]) -> str:
    """The arguments of njit for a function of a module; what it does not name, Numba takes from its caller."""
    parts = ["nogil=True", 'error_model="numpy"']
    if options.boundscheck:
        parts.append("boundscheck=True")
    if options.fastmath:
        flags = options.fastmath
        parts.append("fastmath={" + ", ".join(map(repr, flags)) + "}" if isinstance(flags, tuple) else "fastmath=True")
    elif any(unit.options.fastmath for unit in among):
        parts.append("fastmath=False")
    return ", ".join(parts)


@dataclass
class _Printer:
    """The text of one function."""

    module: _Module
    unit: Unit
    lines: list[str] = field(default_factory=list)
    last_comment: str = ""
    derived: bool = False  # whether the statement under way is not the user's own

    def text(self) -> str:
        unit, name = self.unit, self.module.names[self.unit]
        self.lines = [
            f"@{self.module.njit}({self.pipeline()}{decorator_options(unit.options, self.module.units)})",
            f"def {name}({', '.join(unit.params)}):",
            f'{_INDENT}"""{unit.doc}"""',
        ]
        self.block(unit.body, 1)
        return "\n".join(self.lines) + "\n"

    def pipeline(self) -> str:
        """The option of a function that may allocate arrays, or of one with threads."""
        if self.unit.parallel:
            return "parallel=True, "
        if self.unit not in self.module.allocating:
            return ""
        return f"pipeline_class={self.module.imported('ad.guard', 'Guarded')}, "

    def put(self, depth: int, text: str) -> None:
        self.lines.append(_INDENT * depth + text)

    # ----------------------------------------------------------------------------------------- statements

    def block(self, block: Sequence[Stmt], depth: int) -> None:
        i = 0
        if all(isinstance(s, Comment) for s in block):
            self.put(depth, "pass")
            return
        while i < len(block):
            run = _equal_constants(block, i)
            if len(run) > 1:
                first = block[i]
                assert isinstance(first, Assign)
                self.put(depth, " = ".join([*run, self.expr(first.value)]))
                i += len(run)
                continue
            self.stmt(block[i], depth, block[i + 1 :])
            i += 1

    def stmt(self, s: Stmt, depth: int, rest: Sequence[Stmt]) -> None:
        self.derived = s.line == 0
        match s:
            case Comment(text):
                if text != self.last_comment and rest:
                    if text == SWEEP_BACK:
                        self.lines.append("")
                    self.put(depth, f"# {text}")
                    self.last_comment = text
            case Assign(target, value):
                self.put(depth, self.assignment(target, value))
            case AddTo(Var(name), value, True):
                self.put(depth, f"{name} = {self.module.function(PLUS)}({name}, {self.expr(value)})")
            case AddTo(target, value):
                self.put(depth, self.addition(self.expr(target), value))
            case MultiAssign(targets, Call(callee, (number, *ranges))) if callee is INSIDE and len(ranges) > 1:
                self.put(depth, f"{', '.join(targets)} = {self.module.function(callee)}(")
                for part in (number, *ranges):
                    self.put(depth + 1, f"{self.expr(part)},")
                self.put(depth, ")")
            case MultiAssign(targets, Items(values)):
                self.put(depth, f"{', '.join(targets)} = (")
                for part in values:
                    self.put(depth + 1, f"{self.expr(part)},")
                self.put(depth, ")")
            case MultiAssign(targets, value):
                left = f"{', '.join(targets)} = " if targets else ""
                self.put(depth, left + self.expr(value))
            case Store(array, index, value, op):
                place = f"{array}[{self.index(index)}]"
                self.put(depth, f"{place} {op}= {self.expr(value)}")
            case Rebind(targets, sources):
                self.put(depth, f"{', '.join(targets)} = {', '.join(sources)}")
            case Push((Var(name),), exchanged=True):
                self.put(depth, f"{name} = {self.module.imported('ad.words', 'exchange')}({self.unit.tape}, {name})")
            case Pop((Var(name),), exchanged=True):
                self.put(depth, f"{name} = {self.module.imported('ad.words', 'restored')}({self.unit.tape}, {name})")
            case Pop((Var(name),), kind, refilled=True):
                function = self.module.imported("ad.words", f"refilled{self.suffix(kind)}")
                self.put(depth, f"{name} = {function}({self.unit.tape}, {name})")
            case Push(values, kind, shape_only):
                self.push(values, kind, shape_only, depth)
            case Pop(targets, kind, shape_only):
                self.pop(targets, kind, shape_only, depth)
            case Break():
                self.put(depth, "break")
            case Raise(error, args):
                listed = ", ".join(self.expr(a) for a in args)
                self.put(depth, f"raise {self.exception(error)}({listed})")
            case Do(call):
                self.put(depth, self.expr(call))
            case For(var, start, stop, step, body):
                word = self.module.imported("numba", "prange") if s.parallel and self.unit.parallel else "range"
                self.put(depth, f"for {var} in {word}{self.range(start, stop, step)}:")
                self.block(body, depth + 1)
                self.last_comment = ""
            case While(cond, body):
                self.put(depth, f"while {self.expr(cond)}:")
                self.block(body, depth + 1)
                self.last_comment = ""
            case If():
                self.branch(s, depth, "if")
                self.last_comment = ""
            case Attempt(body, failed):
                self.put(depth, "try:")
                self.block(body, depth + 1)
                self.put(depth, "except Exception:")
                self.block(failed, depth + 1)
            case Return(values):
                listed = ", ".join(self.expr(v) for v in values)
                self.put(depth, f"return {listed}".rstrip())
            case Count(counts, slot, amount):
                count = self.module.imported("ad.counting", "count")
                self.put(depth, f"{count}({self.expr(counts)}, {slot}, {self.expr(amount)})")

    def push(self, values: tuple[Expr, ...], kind: Kind, shape_only: bool, depth: int) -> None:
        tape = str(self.unit.tape)
        if kind is Kind.BOOL and self.unit.bits is not None:
            function, bits = self.module.imported("ad.bits", "push_bit"), self.unit.bits
            for value in values:
                self.put(depth, f"{bits} = {function}({tape}, {bits}, {self.expr(value)})")
            return
        if kind.is_array:
            name = "push_shape" if shape_only else f"push_array{self.suffix(kind)}"
            function = self.module.imported("ad.words", name)
        else:
            function = self.module.imported("tape.numba", f"push{self.suffix(kind)}")
        self.put(depth, f"{function}({', '.join((tape, *map(self.expr, values)))})")

    def pop(self, targets: tuple[Var | Index, ...], kind: Kind, shape_only: bool, depth: int) -> None:
        if kind is Kind.BOOL and self.unit.bits is not None:
            function, bits = self.module.imported("ad.bits", "pop_bit"), self.unit.bits
            for target in reversed(targets):
                self.put(depth, f"{self.expr(target)}, {bits} = {function}({self.unit.tape}, {bits})")
        elif kind.is_array:
            self.pop_array(targets[0], kind, shape_only, depth)
        else:
            name = "pop_complex" if kind.is_complex else "pop" if kind.is_float else "pop_int"
            function = self.module.imported("ad.runtime", name + self.suffix(kind))
            count = f", {len(targets)}" if len(targets) > 1 else ""
            value = f"{function}({self.unit.tape}{count})"
            if kind not in (Kind.FLOAT, Kind.INT, Kind("complex128")):
                value = f"{self.dtype(kind.dtype)}({value})"
            self.put(depth, f"{', '.join(map(self.expr, targets))} = {value}")

    def pop_array(self, target: Var | Index, kind: Kind, shape_only: bool, depth: int) -> None:
        tape = self.unit.tape
        if isinstance(target, Index) and is_element(target.index, self.unit.kinds):
            function = self.module.imported("ad.words", f"pop_into{self.suffix(kind)}")
            self.put(depth, f"{function}({tape}, {self.expr(target)})")
            return
        function = self.module.imported("ad.words", "pop_empty" if shape_only else f"pop_array{self.suffix(kind)}")
        value = f"{function}({tape}, {self.dtype(kind.dtype)}, {kind.ndim})"
        if isinstance(target, Index):
            into = self.module.function(SCATTER)
            self.put(depth, f"{into}({target.array}, {self.expr(target.index)}, {value})")
        else:
            self.put(depth, f"{self.expr(target)} = {value}")

    def suffix(self, kind: Kind) -> str:
        """That of the functions which record in single precision."""
        return "_f4" if self.unit.single and kind.dtype in ("float64", "complex128") else ""

    def dtype(self, name: str) -> str:
        return f"{self.module.module('np')}.{'bool_' if name == 'bool' else name}"

    def exception(self, error: type[BaseException]) -> str:
        if getattr(builtins, error.__name__, None) is error:
            return error.__name__
        return self.module.imported(error.__module__, error.__qualname__)

    def index(self, e: Expr) -> str:
        if isinstance(e, Items):
            return ", ".join(self.index(p) for p in e.parts) + ("," if len(e.parts) == 1 else "")
        if isinstance(e, Slice):
            start, stop, step = (self.expr(p) for p in (e.start, e.stop, e.step))
            return f"{start}:{stop}" + (f":{step}" if step else "")
        return self.expr(e)

    def keyword(self, value: Any) -> str:
        if isinstance(value, Dtype):
            return self.dtype(value.name)
        return repr(value)

    def assignment(self, target: str, value: Expr) -> str:
        array = target in self.unit.kinds and self.unit.kinds[target].is_array  # others may refer to it
        if isinstance(value, Binary) and value.left == Var(target) and not array:
            return f"{target} {value.op}= {self.expr(value.right)}"
        return f"{target} = {self.expr(value)}"

    def addition(self, target: str, value: Expr) -> str:
        if isinstance(value, Unary) and value.op == "-":
            return f"{target} -= {self.expr(value.operand)}"
        if isinstance(value, Const) and value.name is None and value.value < 0:
            return f"{target} -= {self.expr(Const(-value.value))}"
        return f"{target} += {self.expr(value)}"

    def range(self, start: Expr, stop: Expr, step: Expr) -> str:
        parts = [start, stop, step]
        if step == Const(1):
            parts = [stop] if start == Const(0) else parts[:2]
        return f"({', '.join(self.expr(p) for p in parts)})"

    def branch(self, s: If, depth: int, word: str) -> None:
        then, orelse, cond = s.then, s.orelse, s.cond
        if not _does(then) and _does(orelse):
            then, orelse = orelse, ()
            cond = Unary("not", cond)
        self.put(depth, f"{word} {self.expr(cond)}:")
        self.block(then, depth + 1)
        if not _does(orelse):
            return
        if len(orelse) == 1 and isinstance(orelse[0], If):
            self.branch(orelse[0], depth, "elif")
            return
        self.put(depth, "else:")
        self.block(orelse, depth + 1)

    # ---------------------------------------------------------------------------------------- expressions

    def expr(self, e: Expr, outer: int = _SELECT) -> str:
        """The text of an expression, in parentheses where it binds looser than `outer`."""
        text, own = self.production(e)
        return f"({text})" if own < outer else text

    def production(self, e: Expr) -> tuple[str, int]:
        match e:
            case Const():
                text = self.module.number(e)
                return text, _FACTOR if text.startswith("-") else _ATOM
            case Var(name):
                return name, _ATOM
            case Index(array, index):
                return f"{array}[{self.index(index)}]", _ATOM
            case Items(parts):
                listed = ", ".join(self.expr(p) for p in parts)
                return f"({listed},)" if len(parts) == 1 else f"({listed})", _ATOM
            case Marker(text):
                return text, _ATOM
            case Slice(start, stop, step):  # as an argument
                return f"slice({', '.join(self.expr(p) or 'None' for p in (start, stop, step))})", _ATOM
            case Like(array):
                return array, _ATOM
            case Len(array, 0):
                return f"len({array})", _ATOM
            case Len(array, None):
                return f"{array}.size", _ATOM
            case Len(array, axis):
                return f"{array}.shape[{axis}]", _ATOM
            case Select(cond, then, orelse) if self.unit.is_array(cond):
                listed = ", ".join(self.expr(p) for p in (cond, then, orelse))
                return f"{self.module.module('np')}.where({listed})", _ATOM
            case BoolOp(op, values) if self.unit.is_array(e):
                own = _OR if op == "or" else _AND
                return f" {'|' if op == 'or' else '&'} ".join(f"({self.expr(v)})" for v in values), own
            case Unary("not", operand) if self.unit.is_array(e):
                return f"~{self.expr(operand, _ATOM)}", _FACTOR
            case Unary("not", operand):
                return f"not {self.expr(operand, _NOT)}", _NOT
            case Unary("-", Binary("*" | "/") as product) if self.derived and _leads_with_name(product):
                return f"-{self.expr(product)}", _TERM  # the sign of a product is that of its first factor
            case Unary(op, operand):
                return f"{op}{self.expr(operand, _FACTOR)}", _FACTOR
            case Binary("**", left, right):
                return f"{self.expr(left, _ATOM)} ** {self.expr(right, _FACTOR)}", _POWER
            case Binary(op, left, right):
                own = _BINARY[op]
                return f"{self.expr(left, own)} {op} {self.expr(right, own + 1)}", own
            case Compare(left, ops, rest):
                pairs = [f" {op} {self.expr(r, _COMPARE + 1)}" for op, r in zip(ops, rest, strict=True)]
                return self.expr(left, _COMPARE + 1) + "".join(pairs), _COMPARE
            case BoolOp(op, values):
                own = _OR if op == "or" else _AND
                return f" {op} ".join(self.expr(v, own + 1) for v in values), own
            case Select(cond, then, orelse):
                inner = _SELECT + 1
                text = f"{self.expr(then, inner)} if {self.expr(cond, inner)} else {self.expr(orelse)}"
                return text, _SELECT
            case Cast(kind, operand):
                plain = {Kind.FLOAT: "float", Kind.INT: "int", Kind.BOOL: "bool"}
                return f"{plain.get(kind) or self.dtype(kind.dtype)}({self.expr(operand)})", _ATOM
            case Call(callee, args, keywords):
                if isinstance(callee, Primitive) and callee.function is np.transpose and not keywords:
                    return f"{self.expr(args[0], _ATOM)}.T", _ATOM  # np.transpose takes Numba seconds
                given = [self.expr(a) for a in args]
                given += [f"{name}={self.keyword(value)}" for name, value in keywords]
                if isinstance(callee, Primitive) and callee.compiled is not None and (keywords or not callee.native):
                    callee = Primitive(callee.compiled, ())
                return f"{self.module.function(callee)}({', '.join(given)})", _ATOM
        raise AssertionError(e)


def _called(unit: Unit) -> Iterable[Unit]:
    """The generated functions that one calls, in order."""
    for s in walk_stmts(unit.body):
        for e in (*expressions(s), *_targets(s)):
            for part in walk(e):
                if isinstance(part, Call) and isinstance(part.callee, Unit):
                    yield part.callee


def _allocates(unit: Unit) -> bool:
    """Whether a function may allocate arrays itself: it makes one, or computes with a whole one."""

    def is_array(name: str) -> bool:
        return name in unit.kinds and unit.kinds[name].is_array

    def computes(e: Expr) -> bool:
        match e:
            case Call(Unit(), args):
                return any(computes(a) for a in args if not isinstance(a, Var))
            case Call(Primitive() as callee) if not callee.elementwise:  # it may make one of numbers alone
                return True
            case Var(name):
                return is_array(name)
            case Index(array, index) if any(isinstance(p, Slice) or computes(p) for p in walk(index)):
                return is_array(array)
        return any(computes(part) for part in children(e))

    stmts = list(walk_stmts(unit.body))
    made = (name for s in stmts for name in _made(s))
    return any(is_array(name) for name in made) or any(computes(e) for s in stmts for e in expressions(s))


def _made(s: Stmt) -> Iterable[str]:
    match s:
        case Assign(target=target):
            return (target,)
        case MultiAssign(targets=targets):
            return targets
        case Pop(targets=targets):
            return [t.name for t in targets if isinstance(t, Var)]
    return ()


def _leads_with_name(e: Expr) -> bool:
    while isinstance(e, Binary) and e.op in "*/":
        e = e.left
    return isinstance(e, Var | Index | Call)


def _does(block: Sequence[Stmt]) -> bool:
    return any(not isinstance(s, Comment) for s in block)


def _equal_constants(block: Sequence[Stmt], i: int) -> list[str]:
    """The targets of a run of generated assignments of one number, from statement i on."""
    found: list[str] = []
    first = block[i]
    for s in block[i:]:
        if not (isinstance(s, Assign) and s.line == 0 and isinstance(s.value, Const)):
            break
        if not (isinstance(first, Assign) and s.value == first.value):
            break
        found.append(s.target)
    return found
