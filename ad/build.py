"""Generated text -> compiled function.

A module is compiled from the text in memory; the file of the same content in the cache directory gives tracebacks their
lines and Numba a place to keep machine code.  The versions of all that takes part stand in the file, hence in its
name: another version never finds the code of this one.
"""

import hashlib
import linecache
import platform
import threading
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError

from ad.cache import discard, store
from ad.emit import Emitted
from ad.errors import ADError
from tape import cursor

__all__ = ["Kernel"]

_lock = threading.RLock()


@cache
def _provenance() -> str:
    """What the machine code depends on besides the text: our own helpers, the layout of the tape, the compiler."""
    helpers = hashlib.sha256()
    for name in ("runtime.py", "special.py"):
        helpers.update((Path(__file__).parent / name).read_bytes())
    for name in ("cursor.py", "numba.py"):
        helpers.update((Path(cursor.__file__).parent / name).read_bytes())
    return (
        f"# layered-tape {version('layered-tape')}, tape ABI {cursor.ABI}, helpers {helpers.hexdigest()[:16]}, "
        f"numba {numba.__version__}, llvmlite {llvmlite.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}\n"
    )


class Kernel:
    """The main function of a generated module, compiled for the arguments that it is called with.

    `function` is the Numba dispatcher, `source` the text without the line of versions, `filename` its file.
    """

    def __init__(self, emitted: Emitted) -> None:
        self.source = emitted.text
        self._emitted = emitted
        # Objects of the running program cannot be found again by another process.
        path = None if emitted.injected else store(emitted.main, emitted.text + "\n\n" + _provenance())
        self._path = path
        self._load(path)

    def _load(self, path: Path | None) -> None:
        emitted = self._emitted
        text = emitted.text
        if path is not None:
            self.filename = str(path)
        else:
            digest = hashlib.sha256(text.encode()).hexdigest()[:24]
            self.filename = f"<ad {emitted.main} {digest}>"
            linecache.cache[self.filename] = (len(text), None, text.splitlines(keepends=True), self.filename)
        namespace: dict[str, Any] = {"__name__": f"ad.generated.{emitted.main}", **emitted.injected}
        exec(compile(text, self.filename, "exec"), namespace)
        for value in namespace.values():
            if isinstance(value, Dispatcher) and value.py_func.__globals__ is namespace:
                # Numba's raise leaks references to arrays.  Generated functions allocate none, so they need no counting.
                value.targetoptions["_nrt"] = False
                if path is not None:
                    value.enable_caching()
        self.function: Dispatcher = namespace[emitted.main]

    def compile(self, args: Iterable[Any]) -> None:
        """Compile for the types of arguments, or load the machine code.  Raises ADError where Numba cannot."""
        signature = tuple(numba.typeof(a) for a in args)
        with _lock:
            try:
                self.function.compile(signature)
            except NumbaError as error:
                raise ADError(self._complaint(error)) from error
            except Exception as error:
                if self._path is None:
                    raise
                # Numba reads its files without a check: start again without the damaged ones.
                discard(self._path)
                self._load(None)
                try:
                    self.function.compile(signature)
                except NumbaError as second:
                    raise ADError(self._complaint(second)) from error

    def _complaint(self, error: NumbaError) -> str:
        lines = str(error).splitlines() or [""]
        return f"Numba cannot compile the generated {self._emitted.main}() ({self.filename}): {lines[0]}"
