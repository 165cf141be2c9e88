"""Fresh names that clash with nothing the user wrote."""

import builtins
import keyword
from collections.abc import Iterable

__all__ = ["Namer"]

_BUILTINS = frozenset(dir(builtins))


class Namer:
    """Hands out names that are taken by nobody yet."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, names: Iterable[str]) -> None:
        self._taken.update(names)

    def fresh(self, wish: str) -> str:
        """`wish` itself where it is free, else with the first free number behind it."""
        name, n = wish, 0
        while name in self._taken or keyword.iskeyword(name) or name in _BUILTINS:
            n += 1
            name = f"{wish}_{n}"
        self._taken.add(name)
        return name

    def copy(self) -> "Namer":
        return Namer(self._taken)
