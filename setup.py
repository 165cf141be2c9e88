"""The Cython extensions and how they are compiled; everything else is in pyproject.toml."""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# LAYERED_TAPE_CHECKED=1: bounds checks and internal assertions.  LAYERED_TAPE_SANITIZE=address|thread: sanitizers.
CHECKED = os.environ.get("LAYERED_TAPE_CHECKED", "0") == "1"
SANITIZE = os.environ.get("LAYERED_TAPE_SANITIZE", "")

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": CHECKED,
    "initializedcheck": CHECKED,
    "nonecheck": CHECKED,
    "cdivision": True,
    "embedsignature": True,
}

compile_args, link_args, macros = [], [], []
if sys.platform != "win32":
    compile_args += ["-O3", "-fno-semantic-interposition"]
if CHECKED:
    macros += [("LT_CHECKED", "1")]
if SANITIZE:
    flags = [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g"]
    compile_args += flags
    link_args += flags

MODULES = ["tape.slab", "tape.stack", "tape.core", "tape.capi"]

setup(
    ext_modules=cythonize(
        [
            Extension(
                name,
                [name.replace(".", "/") + ".pyx"],
                extra_compile_args=compile_args,
                extra_link_args=link_args,
                define_macros=macros,
            )
            for name in MODULES
        ],
        compiler_directives=DIRECTIVES,
        annotate=os.environ.get("LAYERED_TAPE_ANNOTATE", "0") == "1",
        build_dir="build/cython",
    )
)
