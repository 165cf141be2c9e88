"""The layout of a state: which arrays and numbers it has, where in a nest of tuples, lists and dicts."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ad.errors import ADTypeError, ADValueError

__all__ = ["Layout", "Leaf", "Misfit"]

Array = npt.NDArray[Any]

_NUMBERS: dict[type, str] = {bool: "?", int: "i8", float: "f8", complex: "c16"}


class Misfit(Exception):
    """Something has another layout than it must have; the text begins with the name of the leaf."""


class Leaf(NamedTuple):
    """An array or a number of a state."""

    path: str
    kind: type
    """numpy.ndarray, a class of numbers of Python's, or one of NumPy's."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        if self.kind is np.ndarray:
            return f"{self.dtype}{list(self.shape)}"
        return self.kind.__name__ if self.kind in _NUMBERS else str(self.dtype)

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


_Take = Callable[[Any, list[Any]], None]
_Put = Callable[[Iterator[Any]], Any]


class Layout:
    """That of a value; other values are held to it.

    A value is an array, a number (bool, int, float, complex, or a scalar of NumPy's), None, or a tuple, named tuple,
    list or dict of such values.  Arrays have any dtype of fixed size, structured ones included.  Raises ADTypeError for
    what else there is in it, and names it; `name` is what the value is called.
    """

    def __init__(self, value: Any, name: str) -> None:
        self.name = name
        self.leaves: list[Leaf] = []
        self._take, self._put, self._text = self._of(value, name)

    def __str__(self) -> str:
        return self._text

    @property
    def nbytes(self) -> int:
        """Bytes of all leaves."""
        return sum(leaf.nbytes for leaf in self.leaves)

    def flat(self, value: Any) -> list[Any]:
        """The leaves of a value.  Raises Misfit, which names the leaf, where it has another layout."""
        found: list[Any] = []
        self._take(value, found)
        return found

    def nest(self, leaves: list[Any]) -> Any:
        """The value with these leaves."""
        return self._put(iter(leaves))

    def copy(self, value: Any) -> Any:
        """A value with arrays of its own, laid out in memory as those of `value` if these are contiguous."""
        return self.nest([x.copy(order="K") if type(x) is np.ndarray else x for x in self.flat(value)])

    # ---------------------------------------------------------------------------------------- building

    def _of(self, value: Any, path: str) -> tuple[_Take, _Put, str]:
        """How to take the leaves out of a value like this one, how to put them in, and a text of the layout."""
        kind = type(value)
        if kind is np.ndarray:
            return self._array(value, path)
        if kind in _NUMBERS or isinstance(value, np.generic):
            return self._number(value, path)
        if value is None:
            return _nothing(path)
        if kind is dict:
            return self._dict(value, path)
        if kind in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
            return self._sequence(value, path)
        what = f"{kind.__name__}, a subclass of numpy.ndarray" if isinstance(value, np.ndarray) else kind.__name__
        raise ADTypeError(
            f"{path} is of type {what}; a state is made of NumPy arrays, numbers and None, in tuples, lists and dicts"
        )

    def _array(self, value: Array, path: str) -> tuple[_Take, _Put, str]:
        dtype, shape = value.dtype, value.shape
        if dtype.hasobject or dtype.itemsize == 0:
            raise ADTypeError(f"{path} has dtype {dtype}, which is no plain memory of a fixed size")
        leaf = Leaf(path, np.ndarray, dtype, shape)
        self.leaves.append(leaf)
        ndarray = np.ndarray

        def take(x: Any, out: list[Any]) -> None:
            # A dtype is most often the very same object, and that is fast to see.
            if type(x) is not ndarray or x.shape != shape or (x.dtype is not dtype and x.dtype != dtype):
                raise Misfit(f"{path}: {_described(x)} where {leaf} is wanted")
            out.append(x)

        return take, next, str(leaf)

    def _number(self, value: Any, path: str) -> tuple[_Take, _Put, str]:
        kind = type(value)
        dtype = np.dtype(_NUMBERS[kind]) if kind in _NUMBERS else value.dtype
        if dtype.hasobject or dtype.itemsize == 0:
            raise ADTypeError(f"{path} has dtype {dtype}, which is no plain memory of a fixed size")
        leaf = Leaf(path, kind, dtype, ())
        self.leaves.append(leaf)
        sized = kind not in _NUMBERS  # text and dates of NumPy's

        def take(x: Any, out: list[Any]) -> None:
            # One of Python's is not as good as one of NumPy's: powers and divisions may differ in the last bit.
            if type(x) is not kind or (sized and x.dtype != dtype):
                raise Misfit(f"{path}: {_described(x)} where {dtype if sized else kind.__name__} is wanted")
            if kind is int and not -(2**63) <= x < 2**63:
                raise Misfit(f"{path}: an int of more than 64 bits")
            out.append(x)

        return take, next, str(leaf)

    def _dict(self, value: dict[Any, Any], path: str) -> tuple[_Take, _Put, str]:
        keys = list(value)
        parts = [self._of(value[k], f"{path}[{k!r}]") for k in keys]
        takes = [(k, part[0]) for k, part in zip(keys, parts)]
        puts = [(k, part[1]) for k, part in zip(keys, parts)]
        wanted = dict.fromkeys(keys).keys()

        def take(x: Any, out: list[Any]) -> None:
            if type(x) is not dict or x.keys() != wanted:
                raise Misfit(f"{path}: {_described(x)} where a dict with the keys {keys} is wanted")
            for k, part in takes:
                part(x[k], out)

        def put(leaves: Iterator[Any]) -> Any:
            return {k: part(leaves) for k, part in puts}

        return take, put, "{" + ", ".join(f"{k!r}: {part[2]}" for k, part in zip(keys, parts)) + "}"

    def _sequence(self, value: Any, path: str) -> tuple[_Take, _Put, str]:
        kind = type(value)
        fields = getattr(kind, "_fields", None)
        names = [f"{path}.{f}" for f in fields] if fields else [f"{path}[{i}]" for i in range(len(value))]
        parts = [self._of(x, name) for x, name in zip(value, names)]
        takes, puts = [part[0] for part in parts], [part[1] for part in parts]
        length = len(parts)

        def take(x: Any, out: list[Any]) -> None:
            if type(x) is not kind or len(x) != length:
                raise Misfit(f"{path}: {_described(x)} where a {kind.__name__} of {length} is wanted")
            for part, item in zip(takes, x):
                part(item, out)

        def put(leaves: Iterator[Any]) -> Any:
            items = [part(leaves) for part in puts]
            return kind(*items) if fields else kind(items)

        return take, put, f"{kind.__name__}({', '.join(part[2] for part in parts)})"


def _nothing(path: str) -> tuple[_Take, _Put, str]:
    def take(x: Any, out: list[Any]) -> None:
        if x is not None:
            raise Misfit(f"{path}: {_described(x)} where None is wanted")

    return take, lambda leaves: None, "None"


def _described(x: Any) -> str:
    if isinstance(x, np.ndarray):
        kind = "" if type(x) is np.ndarray else f"{type(x).__name__} of "
        return f"{kind}{x.dtype}{list(x.shape)}"
    if isinstance(x, dict):
        return f"a dict with the keys {list(x)}"
    if isinstance(x, tuple | list):
        return f"a {type(x).__name__} of {len(x)}"
    if x is None:
        return "None"
    if isinstance(x, np.generic):
        return f"a scalar of {x.dtype}"
    return type(x).__name__


def apart(layout: Layout, value: Any) -> None:
    """Raise ADValueError if two arrays of a value share memory: restored, they would not, and steps in place would
    differ.
    """
    arrays = [(leaf.path, x) for leaf, x in zip(layout.leaves, layout.flat(value)) if isinstance(x, np.ndarray)]
    for k, (path, x) in enumerate(arrays):
        for other, y in arrays[:k]:
            if np.may_share_memory(x, y) and np.shares_memory(x, y):
                raise ADValueError(f"{other} and {path} share memory: pass a copy of one of them")
