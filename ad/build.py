"""Generated text -> compiled function.

A module is compiled from the text in memory; the file of the same content in the cache directory gives tracebacks their
lines and Numba a place to keep machine code.  The versions of all that takes part stand in the file, hence in its
name: another version never finds the code of this one.
"""

import hashlib
import linecache
import logging
import platform
import sys
import threading
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError

from ad.cache import discard, store
from ad.emit import Emitted
from ad.errors import ADError
from ad.guard import Guarded
from tape import cursor

__all__ = ["Kernel"]

_log = logging.getLogger("ad")
_lock = threading.RLock()
_kernels: "WeakValueDictionary[str, Kernel]" = WeakValueDictionary()


def _sources() -> list[Path]:
    """All of our own Python: a list of what generated code calls would miss what that calls in its turn."""
    return [path for package in (__file__, cursor.__file__) for path in sorted(Path(package).parent.rglob("*.py"))]


@cache
def _provenance() -> str:
    """What the machine code depends on besides the text: our own helpers, the layout of the tape, the compiler."""
    helpers = hashlib.sha256()
    for path in _sources():
        helpers.update(path.read_bytes())
    return (
        f"# layered-tape {version('layered-tape')}, tape ABI {cursor.ABI}, helpers {helpers.hexdigest()[:16]}, "
        f"numba {numba.__version__}, llvmlite {llvmlite.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}\n"
    )


class Kernel:
    """The main function of a generated module, compiled for the arguments that it is called with.

    `function` is the Numba dispatcher, `source` the text without the line of versions, `filename` its file.
    """

    @classmethod
    def of(cls, emitted: Emitted) -> "Kernel":
        """The kernel of a module; the same one for the same text as long as it is in use."""
        if emitted.injected:
            return cls(emitted)
        with _lock:
            kernel = _kernels.get(emitted.text)
            if kernel is None:
                kernel = _kernels[emitted.text] = cls(emitted)
            return kernel

    def __init__(self, emitted: Emitted) -> None:
        self.source = emitted.text
        self._emitted = emitted
        self._load(self._stored())

    def _stored(self) -> Path | None:
        """The file of the module; None where there can be none."""
        if self._emitted.recursive or self._emitted.injected:
            # Objects of the running program: another process does not have them.
            return None
        return store(self._emitted.main, self._emitted.text + "\n\n" + _provenance())

    def _load(self, path: Path | None) -> None:
        emitted = self._emitted
        self._path = path
        text = emitted.text
        if config.DISABLE_JIT:
            raise ADError("NUMBA_DISABLE_JIT is set: gradients run compiled only")
        if path is not None:
            self.filename = str(path)
        else:
            digest = hashlib.sha256(text.encode()).hexdigest()[:24]
            self.filename = f"<ad {emitted.main} {digest}>"
            linecache.cache[self.filename] = (len(text), None, text.splitlines(keepends=True), self.filename)
        # Numba finds the module of cached code by its name.
        name = path.stem if path is not None else f"{emitted.main}_{hashlib.sha256(text.encode()).hexdigest()[:24]}"
        module = ModuleType(f"_ad_{name}")
        module.__file__ = self.filename
        if path is not None or emitted.recursive:  # what calls itself is found by its module
            sys.modules[module.__name__] = module
        namespace = module.__dict__
        namespace.update(emitted.injected)
        try:
            exec(compile(text, self.filename, "exec"), namespace)
        except SyntaxError as error:  # of loops in one another Python takes 20, and bodies of functions were put in
            raise ADError(f"Python cannot compile the generated {emitted.main}() ({self.filename}): {error}") from error
        for value in list(namespace.values()):
            if isinstance(value, Dispatcher) and value.py_func.__globals__ is namespace:
                if value._compiler.pipeline_class is not Guarded and not value.targetoptions.get("parallel"):
                    # It allocates nothing.  Without reference counts, Numba's exits with an error leak none.
                    value.targetoptions["_nrt"] = False
                value.targetoptions["no_cfunc_wrapper"] = True  # nobody asks for a pointer to it
                if value.py_func.__name__ != emitted.main:  # others are called by generated functions alone
                    value.targetoptions["no_cpython_wrapper"] = True
                if path is not None:
                    value.enable_caching()
        self.function: Dispatcher = namespace[emitted.main]

    def compile(self, args: Iterable[Any]) -> None:
        """Compile for the types of arguments, or load the machine code.  Raises ADError where Numba cannot."""
        signature = tuple(numba.typeof(a) for a in args)
        with _lock:
            try:
                self._compile(signature)
            except ADError:
                raise
            except Exception as error:
                if self._path is None:
                    raise
                # Numba reads its files without a check: write damaged ones anew, else do without.
                _log.info("machine code in %s could not be used: %s", self._path, error)
                discard(self._path)
                self._load(self._stored())
                try:
                    self._compile(signature)
                except ADError:
                    raise
                except Exception:
                    self._load(None)
                    self._compile(signature)

    def _compile(self, signature: tuple[Any, ...]) -> None:
        try:
            self.function.compile(signature)
        except NumbaError as error:
            lines = str(error).splitlines() or [""]
            raise ADError(
                f"Numba cannot compile the generated {self._emitted.main}() ({self.filename}): {lines[0]}"
            ) from error
