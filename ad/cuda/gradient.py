"""`BatchGradient`: the gradient of a function of numbers, for many sets of arguments at once, on a GPU."""

import hashlib
import linecache
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numba import cuda
from numba.cuda.core.errors import NumbaError

from ad.arguments import structure_of
from ad.cuda.runtime import DEPTH, EMPTY, ZERO
from ad.cuda.text import device_text
from ad.errors import ADError, ADTypeError, ADValueError
from ad.options import code_options
from ad.transforms import Gradient, Wrt
from tape.cuda.lanes import WARP, shape
from tape.cuda.select import current_device
from tape.errors import TapeMemoryError
from tape.sizes import format_bytes, parse_bytes

__all__ = ["BatchGradient"]

_THREADS = 128
_FIRST_DEPTH = 64
_KINDS = {np.dtype("f8"): 1.0, np.dtype("i8"): 1, np.dtype("?"): True}


@dataclass(frozen=True)
class _Argument:
    """An argument of a call: an array on the device, of one item if all threads have the same."""

    array: Any
    single: bool
    on_host: bool
    like: Any
    """A number of its kind."""


class _Compiled:
    """A kernel for one combination of kinds."""

    def __init__(self, gradient: Gradient, kinds: tuple[Any, ...], single: tuple[bool, ...]) -> None:
        special = gradient._special(kinds, code_options({}))
        if special.function.constants:
            raise ADError(f'target="cuda": {special.function.name}() reads arrays; it may work with numbers alone')
        if special.kernel._emitted.injected:
            raise ADError(f'target="cuda": {special.function.name}() has rules or functions that are of the CPU alone')
        self.results, self.on_tape, self.name = len(special.results), special.uses_tape, special.function.name
        self.alone = special.single
        self.source = device_text(
            special.kernel.source, special.kernel._emitted.main, self.results, single, special.uses_tape
        )
        digest = hashlib.sha256(self.source.encode()).hexdigest()[:24]
        filename = f"<ad cuda {self.name} {digest}>"
        linecache.cache[filename] = (len(self.source), None, self.source.splitlines(keepends=True), filename)
        module = ModuleType(f"_ad_cuda_{self.name}_{digest}")
        exec(compile(self.source, filename, "exec"), module.__dict__)
        self.launch = module.__dict__["launch"]
        self.depth = _FIRST_DEPTH if self.on_tape else 1
        """Words of a lane: as many as the deepest so far wanted."""


class BatchGradient:
    """A compiled gradient for the device; made by ``ad.grad(f, target="cuda")`` and `ad.value_and_grad`.

    A call takes what `f` takes, with one-dimensional arrays of equal length in place of numbers: a thread each.  A
    number is the same for all.  Arrays are of float64, int64 or bool: NumPy's, for which the results are NumPy's too,
    or on the device (Numba, or with ``__cuda_array_interface__``), for which they are Numba's device arrays.

    Parameters (of a call, besides those of `f`)
    ----------
    device_memory : int, str or None
        Most memory for what is recorded; ``None`` for half of what is free.  Threads that have no room wait.

    Raises
    ------
    ADError
        For code that has no version for the device: arrays, complex numbers, `raise`, `assert`, `print`, rules of
        your own.
    ADTypeError, ADValueError
        For arrays of another dtype or shape, and arguments that do not fit.
    ZeroDivisionError
        Where a thread divides by zero as Python would not; there are no results then.
    TapeMemoryError
        If the records of a single warp do not fit.
    """

    def __init__(self, f: Callable[..., float], wrt: Wrt, with_value: bool) -> None:
        self._gradient = Gradient(f, wrt, with_value)
        self._with_value = with_value
        self._compiled: dict[Any, _Compiled] = {}
        self._latest: _Compiled | None = None
        self._lock = threading.RLock()
        self.__name__ = self._gradient.__name__
        self.__doc__ = self._gradient.__doc__

    def __repr__(self) -> str:
        return f'{self._gradient!r} with target="cuda"'

    @property
    def source(self) -> str:
        """The text of the kernel, of the latest kinds of arguments.  Raises ADError before the first call."""
        if self._latest is None:
            raise ADError(f"the kernel depends on the kinds of the arguments: call {self.__name__} once, then look")
        return self._latest.source

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        device_memory = None
        if "device_memory" not in self._gradient._names:
            device_memory = kwargs.pop("device_memory", None)
        try:
            bound = self._gradient._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ADTypeError(f"{self.__name__}(): {error}") from None
        bound.apply_defaults()
        current_device().enter()
        arguments = [_argument(name, value) for name, value in bound.arguments.items()]
        lengths = {a.array.size for a in arguments if not a.single}
        if len(lengths) > 1:
            raise ADValueError(
                f"{self.__name__}(): arrays of lengths {sorted(lengths)}; a thread takes one item of each"
            )
        count = lengths.pop() if lengths else 1
        with self._lock:
            compiled = self._latest = self._find(arguments)
            value, derivatives = _run(compiled, arguments, count, device_memory)
        if all(a.on_host for a in arguments):
            value, derivatives = value.copy_to_host(), tuple(d.copy_to_host() for d in derivatives)
        found = derivatives[0] if compiled.alone else derivatives
        return (value, found) if self._with_value else found

    def _find(self, arguments: list[_Argument]) -> _Compiled:
        names, chosen = self._gradient._names, self._gradient._wrt or ()
        kinds = tuple(structure_of(n, a.like, n in chosen) for n, a in zip(names, arguments, strict=True))
        single = tuple(a.single for a in arguments)
        if (kinds, single) not in self._compiled:
            self._compiled[kinds, single] = _Compiled(self._gradient, kinds, single)
        return self._compiled[kinds, single]


def _argument(name: str, value: Any) -> _Argument:
    on_host = not hasattr(value, "__cuda_array_interface__") and not getattr(value, "__cuda_ndarray__", False)
    if on_host:
        host = np.asarray(value)
        if host.dtype.kind in "iu" and host.ndim == 0:
            host = host.astype(np.int64)
        array: Any = host.reshape(1) if host.ndim == 0 else host
        single = host.ndim == 0
    else:
        array, single = (value if hasattr(value, "copy_to_host") else cuda.as_cuda_array(value)), False
    if np.dtype(array.dtype) not in _KINDS:
        raise ADTypeError(
            f"the argument {name!r} has items of {array.dtype}: float64, int64 and bool are supported here"
        )
    if len(array.shape) != 1:
        raise ADValueError(
            f"the argument {name!r} has shape {tuple(array.shape)}: one dimension is wanted, or a number"
        )
    like = _KINDS[np.dtype(array.dtype)]
    return _Argument(cuda.to_device(np.ascontiguousarray(array)) if on_host else array, single, on_host, like)


def _run(
    compiled: _Compiled, arguments: list[_Argument], count: int, device_memory: int | str | None
) -> tuple[Any, tuple[Any, ...]]:
    """Value and derivatives of all threads, by as many launches as the memory for records asks for."""
    value, *derivatives = (cuda.device_array(count, np.float64) for _ in range(1 + compiled.results))
    given = [a.array for a in arguments]
    first = 0
    while first < count:
        now = min(count - first, _room(compiled, device_memory))
        block = cuda.device_array(shape(now, compiled.depth), np.float64)
        trouble = cuda.to_device(np.zeros(3, np.int64))
        try:
            compiled.launch[-(-now // _THREADS), _THREADS](
                (block, block.view(np.int64)), trouble, first, now, *given, value, *derivatives
            )
        except (NumbaError, NotImplementedError, KeyError) as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ADError(f'target="cuda": Numba cannot compile {compiled.name}() for the device: {reason}') from error
        noted = trouble.copy_to_host()  # waits for the kernel
        if noted[DEPTH]:
            compiled.depth = max(int(noted[DEPTH]), 2 * compiled.depth)  # the same threads again: they change nothing
            continue
        if noted[ZERO]:
            raise ZeroDivisionError(f"{noted[ZERO]} divisions by zero in {compiled.name}()")
        if noted[EMPTY]:
            raise ADError("the sweeps did not match: this is a defect of ad, please report it with the function")
        first += now
    return value, tuple(derivatives)


def _room(compiled: _Compiled, device_memory: int | str | None) -> int:
    """Threads whose lanes have room at once."""
    if not compiled.on_tape:
        return 1 << 30
    device = current_device()
    limit = device.free_bytes() // 2 if device_memory is None else parse_bytes(device_memory, "device_memory")
    lane = 8 * compiled.depth
    if limit < WARP * lane:
        raise TapeMemoryError(
            f"the records of {WARP} threads take {format_bytes(WARP * lane)}, and {format_bytes(limit)} are there"
        )
    return limit // (WARP * lane) * WARP
