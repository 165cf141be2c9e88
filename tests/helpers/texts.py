"""Functions from text."""

import linecache
import math
from itertools import count

import numpy as np

_numbers = count(1)


def define(body, arguments, name="f", scope=None):
    """A function whose text is found through linecache, as in an interactive session."""
    text = f"def {name}({arguments}):\n" + "\n".join("    " + line for line in body.splitlines()) + "\n"
    return module(text, scope)[name]


def module(text, scope=None):
    """The names of a module with this text."""
    filename = f"<cell {next(_numbers)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    names = {"math": math, "np": np, **(scope or {})}
    exec(compile(text, filename, "exec"), names)
    return names
