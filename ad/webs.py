"""Give every use of a name that is another array a name of its own.

``u = np.zeros(n) ... u = np.ones(n)`` are two arrays that share a name for no reason: each definition, with the uses
that it reaches, is renamed apart.  What a loop carries from trip to trip keeps one name.
"""

from collections.abc import Callable
from dataclasses import replace

from ad.ir import (
    Assign,
    Block,
    Expr,
    For,
    If,
    Index,
    Len,
    Rebind,
    Stmt,
    Store,
    Var,
    While,
    expressions,
    map_expressions,
    substitute,
    walk,
)
from ad.names import Namer

__all__ = ["rename_arrays", "rename_webs"]

_Definition = tuple[int, str]
_Reaching = dict[str, frozenset[_Definition]]


def rename_webs(
    body: Block, arrays: set[str], params: tuple[str, ...], namer: Namer, result: str
) -> tuple[Block, dict[str, str]]:
    """The body with the webs of `arrays` renamed apart, and what the new names were called before."""
    webs = _Webs(arrays)
    at_entry = {p: frozenset({(0, p)}) for p in params if p in arrays}
    at_exit = webs.block(body, at_entry)
    webs.use(None, result, at_exit)
    return webs.renamed(body, params, namer)


class _Webs:
    def __init__(self, arrays: set[str]) -> None:
        self.arrays = arrays
        self.parent: dict[_Definition, _Definition] = {}
        self.uses: dict[tuple[Stmt | None, str], frozenset[_Definition]] = {}

    def root(self, d: _Definition) -> _Definition:
        while (up := self.parent.get(d, d)) != d:
            d = up
        return d

    # ---------------------------------------------------------------------------------- what reaches what

    def use(self, s: Stmt | None, name: str, env: _Reaching) -> None:
        if name not in self.arrays:
            return
        found = env.get(name, frozenset()) | self.uses.get((s, name), frozenset())
        self.uses[s, name] = found
        for other in found:
            self.parent[self.root(other)] = self.root(min(found))

    def read(self, s: Stmt, exprs: tuple[Expr, ...], env: _Reaching) -> None:
        for e in exprs:
            for part in walk(e):
                match part:
                    case Var(name) | Index(name, _) | Len(name, _):
                        self.use(s, name, env)

    def block(self, block: Block, env: _Reaching) -> _Reaching:
        for s in block:
            env = self.stmt(s, env)
        return env

    def stmt(self, s: Stmt, env: _Reaching) -> _Reaching:
        self.read(s, expressions(s), env)
        match s:
            case Assign(target, _):
                return self.defined(s, (target,), env)
            case Store(array=array):
                self.use(s, array, env)
            case Rebind(targets, sources):
                for name in sources:
                    self.use(s, name, env)
                return self.defined(s, targets, env)
            case If(_, then, orelse):
                return _join(self.block(then, env), self.block(orelse, env))
            case For(body=body) | While(body=body):
                while True:
                    more = _join(env, self.block(body, env))
                    if more == env:
                        return env
                    env = more
                    self.read(s, expressions(s), env)
        return env

    def defined(self, s: Stmt, targets: tuple[str, ...], env: _Reaching) -> _Reaching:
        new = {t: frozenset({(id(s), t)}) for t in targets if t in self.arrays}
        return {**env, **new}

    # --------------------------------------------------------------------------------------------- renaming

    def renamed(self, body: Block, params: tuple[str, ...], namer: Namer) -> tuple[Block, dict[str, str]]:
        self.namer = namer
        self.called: dict[_Definition, str] = {self.root((0, p)): p for p in params if p in self.arrays}
        self.origin: dict[str, str] = {}
        return _rename_block(body, self.target, self.source), self.origin

    def web_name(self, d: _Definition) -> str:
        root = self.root(d)
        if root not in self.called:
            name = d[1]
            if name in self.called.values():
                name = self.namer.fresh(name)
                self.origin[name] = d[1]
            self.called[root] = name
        return self.called[root]

    def target(self, s: Stmt, name: str) -> str:
        return self.web_name((id(s), name)) if name in self.arrays else name

    def source(self, s: Stmt, name: str) -> str:
        found = self.uses.get((s, name))
        return self.web_name(min(found)) if found else name


def rename_arrays(body: Block, new: dict[str, str]) -> Block:
    """A block with other names for some arrays."""
    return _rename_block(body, lambda s, name: new.get(name, name), lambda s, name: new.get(name, name))


_Naming = Callable[[Stmt, str], str]


def _rename_block(block: Block, target: _Naming, source: _Naming) -> Block:
    return tuple(_rename_stmt(s, target, source) for s in block)


def _rename_stmt(s: Stmt, target: _Naming, source: _Naming) -> Stmt:
    def change(e: Expr) -> Expr | None:
        match e:
            case Var(name):
                return Var(source(s, name), at=e.at)
            case Index(name, index):
                return Index(source(s, name), substitute(index, change), at=e.at)
            case Len(name, axis):
                return Len(source(s, name), axis, at=e.at)
        return None

    s_new = map_expressions(s, lambda e: substitute(e, change))
    match s_new:
        case Assign(name):
            return replace(s_new, target=target(s, name))
        case Store(array):
            return replace(s_new, array=source(s, array))
        case Rebind(targets, sources):
            left, right = tuple(target(s, t) for t in targets), tuple(source(s, t) for t in sources)
            return replace(s_new, targets=left, sources=right)
        case If(_, then, orelse):
            then, orelse = _rename_block(then, target, source), _rename_block(orelse, target, source)
            return replace(s_new, then=then, orelse=orelse)
        case For(var, body=body):
            return replace(s_new, var=target(s, var), body=_rename_block(body, target, source))
        case While(body=body):
            return replace(s_new, body=_rename_block(body, target, source))
    return s_new


def _join(a: _Reaching, b: _Reaching) -> _Reaching:
    return {name: a.get(name, frozenset()) | b.get(name, frozenset()) for name in a.keys() | b.keys()}
