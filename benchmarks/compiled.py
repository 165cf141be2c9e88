"""Compiles the native halves of the benchmarks on the spot, once per content and interpreter."""

import ctypes
import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import tape

NATIVE = Path(__file__).parent / "native"
FLAGS = ["-O3", "-march=native"]


def _cached(source, tag, build):
    """The path of a library made from `source`; `build` makes it if this content was not built before."""
    key = hashlib.sha256(source.read_bytes() + tag.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"layered-tape-bench-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{source.stem}-{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work) / "made.so"
            build(made, Path(work))
            os.replace(made, library)
    return library


def reference():
    """The C++ of native/reference.cpp, as a ctypes library."""
    source = NATIVE / "reference.cpp"

    def build(made, work):
        subprocess.run([os.environ.get("CXX", "c++"), *FLAGS, "-shared", "-fPIC", source, "-o", made], check=True)

    library = ctypes.CDLL(str(_cached(source, " ".join(FLAGS), build)))
    library.now_ns.restype = ctypes.c_double
    library.now_ns.argtypes = ()
    for new in (library.ideal_new, library.mutex_new, library.naive_new):
        new.restype = ctypes.c_void_p
    library.vector_life.restype = ctypes.c_double
    return library


def loops(flags=FLAGS):
    """The Cython of native/loops.pyx, as a module built against the installed tape."""
    source = NATIVE / "loops.pyx"
    stack = Path(tape.__file__).parent / "stack.pxd"
    tag = f"{sys.version} {stack} {stack.read_text()} {flags}"

    def build(made, work):
        shutil.copy(source, work / "loops.pyx")
        subprocess.run([sys.executable, "-m", "cython", "-3", "loops.pyx"], cwd=work, check=True)
        include = sysconfig.get_paths()["include"]
        compiler = [os.environ.get("CC", "cc"), *flags, "-shared", "-fPIC", "-I", include]
        subprocess.run([*compiler, work / "loops.c", "-o", made], check=True)

    library = _cached(source, tag, build)
    loader = importlib.machinery.ExtensionFileLoader("loops", str(library))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("loops", loader))
    loader.exec_module(module)
    return module
