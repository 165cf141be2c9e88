"""Functions of the user's, read once for each combination of kinds of arguments."""

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Never

from ad.alias import shared_arrays
from ad.assignments import RESERVED
from ad.errors import ADTypeError
from ad.flow import check_assigned, run_at_least_once, without
from ad.function import Function, Options
from ad.ir import (
    Assign,
    Block,
    Call,
    Cast,
    Const,
    Expr,
    Kind,
    Place,
    Stmt,
    Store,
    Var,
    assigned,
    expressions,
    names,
    walk,
    walk_stmts,
)
from ad.names import Namer
from ad.parallel import is_parallel, parallelised
from ad.parse import Scope
from ad.rerun import is_rerun, standing_apart
from ad.scalars import scalarised
from ad.separate import separated
from ad.sizes import Shape
from ad.source import Source
from ad.values import NONE, Build, FunctionValue, NotOfNumbers, Text, TupleValue, UserFunction, Value

__all__ = ["Constant", "Library", "Structure", "TupleOf"]


@dataclass(frozen=True)
class TupleOf:
    """The structure of a tuple, or of a named tuple of class `cls`."""

    items: tuple["Structure", ...]
    cls: type | None = None


@dataclass(frozen=True)
class Constant:
    """An argument that is known when the function is read: None, a function, a text."""

    value: Any


Structure = Kind | TupleOf | Constant
_Key = tuple[UserFunction, Options, tuple[Structure, ...]]


class Library:
    """Specialisations of user functions, each made once.

    `boundscheck` and `fastmath` go before the flags that the functions were compiled with, where they are not None.
    """

    def __init__(self, boundscheck: bool | None = None, fastmath: Any = None) -> None:
        self.boundscheck = boundscheck
        self.fastmath = fastmath
        self._sources: dict[Any, Source] = {}
        self._made: dict[_Key, Function | None] = {}
        self._shells: dict[_Key, Function] = {}

    def source(self, function: UserFunction) -> Source:
        if function.function not in self._sources:
            self._sources[function.function] = Source.of(function.function)
        return self._sources[function.function]

    def options(self, function: UserFunction, caller: Options | None = None) -> Options:
        """The flags that a function is compiled with, where one with the flags `caller` calls it."""
        options = Options.of(function.dispatcher, caller)
        if self.boundscheck is not None:
            options = replace(options, boundscheck=self.boundscheck)
        if self.fastmath is not None:
            options = replace(options, fastmath=self.fastmath)
        return options

    def specialise(self, function: UserFunction, arguments: tuple[Structure, ...]) -> Function:
        """The typed function for arguments of these kinds.  Tuples are taken apart: it has a parameter for each leaf.

        Raises UnsupportedSyntax for what is outside the subset.
        """
        made = self._make((function, self.options(function), arguments), probing=False)
        assert made is not None
        return made

    def callee(self, function: UserFunction, arguments: tuple[Structure, ...], caller: Options) -> Function | None:
        """The same for a function that is called; None where its body is to take the place of the call.

        That is so unless it returns a number, leaves its arguments alone and has no loop over ``prange``, or is to be
        run again.

        Raises UnsupportedSyntax for one to be run again that is outside the subset.
        """
        key = function, self.options(function, caller), arguments
        shell = self._shells.get(key)
        if shell is not None:
            return shell
        if is_rerun(function.function):
            return self._make(key, probing=False)
        made = self._make(key, probing=True)
        if made is None or made.copied or is_parallel(made.body):
            return None
        changed = assigned(made.body)
        return None if any(p in changed and made.kinds[p].is_array for p in made.params) else made

    def structure(self, value: Value, kind: Callable[[Expr], Kind]) -> Structure | None:
        """The structure of an argument of a call; None where it has none that can be known outside of the caller."""
        match value:
            case Expr():
                return kind(value)
            case TupleValue(items, cls):
                parts = [self.structure(item, kind) for item in items]
                known = [part for part in parts if part is not None]
                return TupleOf(tuple(known), cls) if len(known) == len(parts) else None
            case FunctionValue(UserFunction(function, dispatcher)):
                return Constant(dispatcher or function)
            case Text(text):
                return Constant(text)
        return Constant(None) if value is NONE else None

    def _make(self, key: _Key, probing: bool) -> Function | None:
        if key not in self._made:
            self._made[key] = self._read(key, probing)
        return self._made[key]

    def _read(self, key: _Key, probing: bool) -> Function | None:
        function, options, arguments = key
        source = self.source(function)
        widened: dict[str, Kind] = {}
        result = Kind.FLOAT  # of a call of itself, until more is known
        while True:
            reading = _Reading(self, source, function, options, arguments, widened, probing)
            shell = self._shells[key] = reading.shell(result)
            try:
                made = reading.function()
            except NotOfNumbers:
                return None
            finally:
                del self._shells[key]
            if reading.build.changed:
                continue
            assert made is not None
            calls_itself = any(
                isinstance(e, Call) and e.callee is shell
                for s in walk_stmts(made.body)
                for part in expressions(s)
                for e in walk(part)
            )
            if calls_itself and made.constants:
                name = made.called[made.params[-1]]
                source.refuse(f"{made.name}() calls itself, so it must get {name} as an argument", None)
            if calls_itself and made.result_kind is not result:
                result = made.result_kind
                continue
            shell.fill(made)
            return shell

    def require_float(self, f: Function) -> None:
        """Raise unless the result is a float."""
        kind = f.result_kind
        if kind.is_array:
            f.source.refuse(f"{f.name}() returns a {kind}: return a number, np.sum(...) of it say", f.result_place)
        if kind is Kind.BOOL:
            f.source.refuse(f"{f.name}() returns a bool: return a float", f.result_place)
        if kind.is_complex:
            f.source.refuse(f"{f.name}() returns a complex number: return its .real or abs()", f.result_place)
        if not kind.is_float:
            raise ADTypeError(f"{f.name}() returns an {kind}, which has no derivative: return a float")


class _Reading:
    """One reading of a function."""

    def __init__(
        self,
        library: Library,
        source: Source,
        function: UserFunction,
        options: Options,
        arguments: tuple[Structure, ...],
        widened: dict[str, Kind],
        probing: bool,
    ) -> None:
        tree = source.tree
        extra = tree.args.vararg or tree.args.kwarg
        if extra:
            source.refuse("*args and **kwargs are not supported: name every argument", extra)
        taken = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        taken |= {a.arg for a in ast.walk(tree.args) if isinstance(a, ast.arg)}
        self.build = Build(source, options, library, Namer(taken | RESERVED), widened, probing=probing)
        self.build.calls.append(function)
        self.build.rerun = is_rerun(function.function)
        self.scope = Scope(self.build, source, tree)
        self.params: list[str] = []
        self.param_kinds: list[Kind] = []
        listed = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
        for a, structure in zip(listed, arguments, strict=True):
            self.scope.values[a.arg] = self.leaves(a.arg, structure)

    def leaves(self, name: str, structure: Structure) -> Value:
        match structure:
            case Kind():
                inner = self.scope.variable(name)
                self.params.append(inner)
                self.param_kinds.append(structure)
                self.build.kinds[inner] = self.build.widened.get(inner, structure)
                return Var(inner)
            case TupleOf(items, cls):
                fields = getattr(cls, "_fields", range(len(items)))
                parts = [self.leaves(f"{name}.{f}", item) for f, item in zip(fields, items, strict=True)]
                return TupleValue(tuple(parts), cls)
            case Constant(None):
                return NONE
            case Constant(value):
                return self.scope.constant_value(value, name, self.build.source.tree)
        raise AssertionError(structure)

    def shell(self, result: Kind) -> Function:
        """The function before its body is known, for calls of itself."""
        build = self.build
        kinds = {"": result}
        params = tuple(self.params), tuple(self.param_kinds)
        more = build.namer, build.options
        return Function(build.source, *params, kinds, (), "", *more, complete=False, rerun=build.rerun)

    def function(self) -> Function | None:
        build, scope = self.build, self.scope
        line = build.source.tree.lineno
        result = scope.run()
        if build.changed:
            return None
        assert isinstance(result, Var), result
        entry: list[Stmt] = []
        for name, kind in zip(self.params, self.param_kinds, strict=True):
            wanted = build.kinds[name]
            if wanted is not kind:
                inner: Any = Cast(Kind.INT, Var(name)) if kind is Kind.BOOL else Var(name)
                entry.append(Assign(name, Cast(wanted, inner), line=line))
        body = without_dead_flags((*entry, *build.out), result.name)
        names_of = self.params, result.name, build.namer, build.source, build.called
        body = parallelised(body, build.kinds, *names_of)
        constants = build.constants
        self.params += [name for name, _ in constants.values()]
        self.param_kinds += [build.kinds[name] for name, _ in constants.values()]
        params = tuple(self.params)
        given: dict[str, Shape] = {name: (None,) * build.kinds[name].ndim for name in params}
        given |= {name: array.shape for name, array in constants.values()}
        body, small = scalarised(body, build.kinds, given, result.name, build.namer, build.called)
        written = body
        body, copied = separated(body, build.kinds, params, result.name, build.namer, build.source, build.called)
        for name, _ in constants.values():
            if name in copied:
                self.refuse_store(written, name)
        name, place = result.name, scope.result_place
        if build.rerun:
            more = build.namer, build.source, build.called
            body, name = standing_apart(body, build.kinds, params, copied, name, place, *more)
        shared = shared_arrays(body, build.kinds)
        body = run_at_least_once(body, set(params), name, build.kinds, shared, build.called)
        made = Function(
            build.source,
            params,
            tuple(self.param_kinds),
            build.kinds,
            body,
            name,
            build.namer,
            build.options,
            place,
            copied,
            tuple(array for _, array in constants.values()),
            called=build.called,
            inlined=tuple(build.inlined),
            small=small,
            rerun=build.rerun,
        )
        check_assigned(made)
        return made

    def refuse_store(self, body: Block, constant: str) -> Never:
        """Raise for the first statement that may write to an array of the module."""
        build = self.build
        aliases = shared_arrays(body, build.kinds)[constant]
        store = next(s for s in walk_stmts(body) if isinstance(s, Store) and s.array in aliases)
        source: Source = store.source or build.source
        source.refuse(
            f"{build.called[constant]} is an array of the enclosing scope: only arguments can be written to",
            Place(store.line),
        )


def without_dead_flags(body: Block, result: str) -> Block:
    """A block without assignments of constants to variables that nothing reads."""
    while True:
        read = {result} | {name for s in walk_stmts(body) for name in names(*expressions(s))}
        flags = {
            s.target
            for s in walk_stmts(body)
            if isinstance(s, Assign) and isinstance(s.value, Const) and isinstance(s.value.value, bool)
        }
        dead = flags - read
        rest = without(body, dead, Const)
        if rest == body:
            return body
        body = rest
