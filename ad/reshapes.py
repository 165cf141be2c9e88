"""What is reshaped and written to must be C-contiguous.

np.reshape gives a view of such an array, and a copy of others.  The analysis of what shares memory, and the shadows of
arrays, take it for a view.  Where the program writes to the array, under any name, that makes a difference.  The layout
of an array is not known before the program runs, so it is checked then.
"""

from dataclasses import replace

import numpy as np

from ad.alias import viewed
from ad.errors import ADValueError
from ad.helpers import IS_CONTIGUOUS
from ad.ir import Assign, Block, Call, Const, Expr, For, If, Kind, Raise, Stmt, Store, Unary, Var, While, walk
from ad.primitive import Primitive
from ad.source import Source

__all__ = ["check_reshapes"]


def check_reshapes(
    body: Block, kinds: dict[str, Kind], shared: dict[str, frozenset[str]], params: tuple[str, ...], source: Source
) -> tuple[Block, Block]:
    """Checks of parameters, and the body with a check before every reshape of a shared array.

    The body works on copies of parameters, which may be contiguous where these are not.
    """
    checks = _Checks(kinds, shared, source)
    body = checks.block(body)
    return tuple(checks.check(Var(p), checks.reshapes[p]) for p in params if p in checks.reshapes), body


class _Checks:
    def __init__(self, kinds: dict[str, Kind], shared: dict[str, frozenset[str]], source: Source) -> None:
        self.kinds = kinds
        self.shared = shared
        self.source = source
        self.reshapes: dict[str, Stmt] = {}
        """The first statement that reshapes an array, for all names that may stand for it."""

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for s in block:
            match s:
                case Assign(value=value) | Store(value=value):
                    for array, base in self.reshaped(value).items():
                        out.append(self.check(array, s))
                        self.reshapes = dict.fromkeys(self.shared[base], s) | self.reshapes
                case If(_, then, orelse):
                    s = replace(s, then=self.block(then), orelse=self.block(orelse))
                case For(body=body) | While(body=body):
                    s = replace(s, body=self.block(body))
            out.append(s)
        return tuple(out)

    def reshaped(self, value: Expr) -> dict[Expr, str]:
        """What an expression reshapes of shared arrays, with the array that it is a view of."""
        found: dict[Expr, str] = {}
        for part in walk(value):
            match part:
                case Call(Primitive(function=np.reshape), (array, *_)):
                    base = viewed(array, self.kinds)
                    if base in self.shared:
                        found[array] = base
        return found

    def check(self, array: Expr, at: Stmt) -> Stmt:
        source = at.source or self.source
        text = (
            f"{source.filename}:{at.line}: an array that is written to is reshaped, and is not C-contiguous: pass "
            "np.ascontiguousarray(...), or copy it into a new array, w = np.empty(...), w[:] = ..."
        )
        error = Raise(ADValueError, (Const(text),), line=at.line, source=at.source)
        return If(Unary("not", Call(IS_CONTIGUOUS, (array,))), (error,), (), line=at.line, source=at.source)
