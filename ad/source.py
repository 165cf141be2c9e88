"""Find the source of a user's function, so that every later message can point at file and line.

The file is parsed whole, for positions as the user's editor shows them.  What is found is compiled again and compared
with the code object that runs: if the file was edited since it was imported, the derivative would be that of another
function, and a clear error is due instead.
"""

import ast
import builtins
import inspect
import linecache
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from types import CodeType, FunctionType
from typing import Any, Never

from numba.core.dispatcher import Dispatcher

from ad.errors import ADError, ADTypeError, UnsupportedSyntax
from ad.ir import Place

__all__ = ["MISSING", "TOO_DEEP", "Source", "python_function"]

MISSING: Any = object()
TOO_DEEP = "this is nested too deep: compute parts of it before, or in functions of their own"


def python_function(f: Any, what: str = "the function") -> FunctionType:
    """The plain function behind `f`, which is one itself or was compiled by Numba.

    Raises ADTypeError for anything else, with what to do about it.
    """
    if isinstance(f, Dispatcher):
        f = f.py_func
    if isinstance(f, FunctionType):
        return f
    advice = ""
    if inspect.ismethod(f):
        advice = "; write a function that takes what it needs of the object as arguments"
    elif inspect.isclass(f) or inspect.isbuiltin(f) or not callable(f):
        advice = "; write a plain function around it"
    elif hasattr(f, "func"):
        advice = "; write a plain function with the arguments filled in instead of functools.partial"
    raise ADTypeError(f"{what} must be a plain Python function or a Numba-compiled one, not {f!r}{advice}")


@dataclass(frozen=True, eq=False)
class Source:
    """A function with its syntax tree and what its free names stand for."""

    function: FunctionType
    tree: ast.FunctionDef
    filename: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, function: FunctionType) -> "Source":
        """Find and parse the source of `function`.

        Raises UnsupportedSyntax for lambdas and coroutines, ADError where there is no source or it does not belong
        to the code that runs.
        """
        code = function.__code__
        name, filename = code.co_name, code.co_filename
        linecache.checkcache(filename)
        lines = linecache.getlines(filename, function.__globals__)
        if name == "<lambda>":
            text = _line(lines, code.co_firstlineno)
            raise UnsupportedSyntax(
                "a lambda is not supported: write a function with def and a name",
                (filename, code.co_firstlineno, 1, text),
            )
        if not lines:
            raise ADError(
                f"the source of {name}() is not available ({filename}): define the function in a file, a notebook "
                "cell or an interactive session; one made by exec() needs its text in linecache.cache"
            )
        module, compiled = _parse(lines, filename, name)
        tree = _find(module, code)
        if isinstance(tree, ast.AsyncFunctionDef):
            text = _line(lines, tree.lineno)
            raise UnsupportedSyntax("a coroutine has no derivative: use def", (filename, tree.lineno, 1, text))
        source = cls(function, tree, filename, tuple(lines))
        if not _runs(compiled, code) and not _runs(_rewritten("".join(lines), filename, code), code):
            raise ADError(
                f"{filename} has changed since {name}() was defined: its source is no longer that of the function. "
                "Import or run it again"
            )
        return source

    @property
    def name(self) -> str:
        return self.function.__code__.co_name

    @cached_property
    def heights(self) -> dict[ast.AST, int]:
        """How many nodes there are on the way from each node down to the farthest leaf below it."""
        found: dict[ast.AST, int] = {}
        for node in reversed(list(ast.walk(self.tree))):
            found[node] = 1 + max((found[child] for child in ast.iter_child_nodes(node)), default=0)
        return found

    def line(self, number: int) -> str:
        """The text of a line of the file, stripped."""
        return _line(self.lines, number).strip()

    def refuse(self, message: str, at: ast.AST | Place | None) -> Never:
        """Raise UnsupportedSyntax at a place of this source."""
        place = at if isinstance(at, Place) or at is None else place_of(at)
        place = place or Place(self.tree.lineno)
        text = _line(self.lines, place.line)
        column = len(text.encode()[: place.column].decode(errors="ignore")) + 1  # ast counts bytes
        detail: tuple[Any, ...] = (self.filename, place.line, column, text)
        if place.end_line is None:  # the whole line
            start, end = len(text) - len(text.lstrip()) + 1, len(text) + 1
            detail = (self.filename, place.line, start, text, place.line, end)
        elif place.end_line == place.line and place.end_column is not None:
            end = len(text.encode()[: place.end_column].decode(errors="ignore")) + 1
            detail = (*detail, place.line, end)
        raise UnsupportedSyntax(message, detail)

    def lookup(self, name: str) -> Any:
        """What a free name of the function stands for now: closure, module or builtin; MISSING where nothing."""
        code, function = self.function.__code__, self.function
        name = _mangled(name, code.co_qualname)
        if name in code.co_freevars:
            cell = (function.__closure__ or ())[code.co_freevars.index(name)]
            try:
                return cell.cell_contents
            except ValueError:
                return MISSING
        if name in function.__globals__:
            return function.__globals__[name]
        return getattr(builtins, name, MISSING)


def _mangled(name: str, qualname: str) -> str:
    """What Python makes of a name in a function: in a class, ``__x`` stands for ``_Class__x``."""
    if not name.startswith("__") or name.endswith("__"):
        return name
    parts = qualname.split(".")
    classes = [a for a, b in pairwise(parts) if "<locals>" not in (a, b) and a.strip("_")]
    return f"_{classes[-1].lstrip('_')}{name}" if classes else name


def place_of(node: ast.AST) -> Place | None:
    line = getattr(node, "lineno", None)
    if line is None:
        return None
    return Place(line, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]


def _line(lines: Any, number: int) -> str:
    return lines[number - 1].rstrip("\n") if 0 < number <= len(lines) else ""


def _parse(lines: list[str], filename: str, name: str) -> tuple[ast.Module, CodeType]:
    """The tree of a file, and what it compiles to."""
    try:
        return _parsed("".join(lines), filename)
    except RecursionError:
        raise ADError(f"the source of {name}() in {filename} cannot be parsed: it is nested too deep") from None
    except SyntaxError as error:
        raise ADError(
            f"the source of {name}() in {filename} cannot be parsed (line {error.lineno}): it has changed since it "
            "was imported, or is not plain Python"
        ) from error


@lru_cache(maxsize=16)  # functions of one file call each other
def _parsed(text: str, filename: str) -> tuple[ast.Module, CodeType]:
    with warnings.catch_warnings(action="ignore"):  # Python gave them when it compiled the file itself
        tree = ast.parse(text, filename)
        # From the text: trees as deep as Python's own parser makes them are too deep for compile().
        return tree, compile(text, filename, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def _rewritten(text: str, filename: str, code: CodeType) -> CodeType | None:
    """What a module of tests compiles to after pytest has put its own code in the place of assert; None of others."""
    pytest = sys.modules.get("_pytest.assertion.rewrite")
    if pytest is None or "@pytest_ar" not in code.co_names:
        return None
    tree = ast.parse(text, filename)
    pytest.rewrite_asserts(tree, text.encode(), filename)
    return compile(tree, filename, "exec", dont_inherit=True)


def _find(module: ast.Module, code: CodeType) -> Any:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    raise ADError(
        f"{code.co_name}() is not at line {code.co_firstlineno} of {code.co_filename}: the file has changed since it "
        "was imported. Import it again"
    )


def _runs(compiled: CodeType | None, code: CodeType) -> bool:
    """Whether the code of a module contains that of a function."""
    pending = [compiled] if compiled is not None else []
    while pending:
        candidate = pending.pop()
        if candidate.co_name == code.co_name and candidate.co_firstlineno == code.co_firstlineno:
            return _meaning(candidate) == _meaning(code)
        pending += [c for c in candidate.co_consts if isinstance(c, CodeType)]
    return False


def _meaning(code: CodeType) -> tuple[Any, ...]:
    constants = [repr(c) for c in code.co_consts if not isinstance(c, CodeType)]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars
