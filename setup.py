"""The Cython extensions and how they are compiled; everything else is in pyproject.toml."""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

# LAYERED_TAPE_CHECKED=1: bounds checks and internal assertions.  LAYERED_TAPE_SANITIZE=address|thread: sanitizers.
# LAYERED_TAPE_ANNOTATE=1: Cython's annotated HTML beside the C.
CHECKED = os.environ.get("LAYERED_TAPE_CHECKED", "0") == "1"
SANITIZE = os.environ.get("LAYERED_TAPE_SANITIZE", "")
ANNOTATE = os.environ.get("LAYERED_TAPE_ANNOTATE", "0") == "1"

# Each variant is built in a folder of its own: setuptools takes an extension that is newer than its C for up to date,
# and would install the last variant that was built, whatever the flags say.
VARIANT = "-".join(filter(None, ["checked" if CHECKED else "", SANITIZE]))
BASE = f"build/{VARIANT}" if VARIANT else "build"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": False,
    "nonecheck": CHECKED,
    "initializedcheck": CHECKED,
    "cdivision": True,
}

EXTENSIONS = [
    "slab",
    "store",
    "slots",
    "spillfile",
    "disk",
    "residency",
    "mover",
    "lock",
    "layers",
    "budget",
    "stack",
    "backing",
    "core",
    "reader",
    "words",
    "capi",
    "checksum",
]

compile_args, link_args = [], []
if sys.platform != "win32":
    compile_args.append("-O3")
if SANITIZE:
    link_args = [f"-fsanitize={SANITIZE}"]
    compile_args += [*link_args, "-fno-omit-frame-pointer", "-g"]

setup(
    options={"build": {"build_base": BASE}},
    ext_modules=cythonize(
        [
            Extension(
                f"tape.{name}",
                [f"tape/{name}.pyx"],
                define_macros=[("LT_CHECKED", "1")] if CHECKED else [],
                undef_macros=["NDEBUG"] if CHECKED else [],
                extra_compile_args=compile_args,
                extra_link_args=link_args,
            )
            for name in EXTENSIONS
        ],
        build_dir=f"{BASE}/cython",
        compiler_directives=DIRECTIVES,
        annotate=ANNOTATE,
    ),
)
