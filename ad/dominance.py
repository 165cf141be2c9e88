"""Which definitions have surely happened at a place: they stand before it, in its block or in one around it."""

from ad.ir import Assign, Block, For, If, Index, Len, Rebind, Store, Var, While, expressions, walk

__all__ = ["Dominance"]

_Path = tuple[int, ...]
"""Where a statement stands: its position in the outermost block, the part of that statement, its position there..."""


class Dominance:
    """The places of definitions and uses of arrays in a body."""

    def __init__(self, body: Block) -> None:
        self.definitions: dict[str, list[_Path]] = {}
        self.uses: dict[str, list[_Path]] = {}
        self.block(body, ())

    def block(self, block: Block, around: _Path) -> None:
        for k, s in enumerate(block):
            path = (*around, k)
            for e in expressions(s):
                for part in walk(e):
                    match part:
                        case Var(name) | Index(name) | Len(name):
                            self.uses.setdefault(name, []).append(path)
            match s:
                case Assign(target):
                    self.definitions.setdefault(target, []).append(path)
                case Store(array):
                    self.uses.setdefault(array, []).append(path)
                case Rebind(targets):
                    for name in targets:
                        self.uses.setdefault(name, []).append(path)
                        self.definitions.setdefault(name, []).append(path)
                case If(_, then, orelse):
                    self.block(then, (*path, 0))
                    self.block(orelse, (*path, 1))
                case For(body=body) | While(body=body):
                    self.block(body, (*path, 0))

    def covered(self, name: str, base: str) -> bool:
        """Whether a name and an array have one definition each, that of the name after that of the array, before all
        that uses the name."""
        own, first = self.definitions.get(name, []), self.definitions.get(base, [])
        if len(own) != 1 or len(first) != 1:
            return False
        return _before(first[0], own[0]) and all(_before(own[0], use) for use in self.uses.get(name, []))


def _before(first: _Path, place: _Path) -> bool:
    n = len(first) - 1
    return place[:n] == first[:n] and place[n] > first[n]
