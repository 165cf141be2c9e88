"""Programs in their parallel form: the same with ``prange`` in the place of ``range``."""

import ast
import inspect
import linecache
import textwrap
from itertools import count

import numba

_numbers = count()


def parallel_forms(function):
    """For each loop over a range of a function, the same function with that one over ``prange``."""
    function = getattr(function, "py_func", function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    loops = sum(_is_loop(node) for node in ast.walk(tree))
    return [_form(function, k) for k in range(loops)]


def _is_loop(node):
    return (
        isinstance(node, ast.For)
        and isinstance(node.iter, ast.Call)
        and isinstance(node.iter.func, ast.Name)
        and node.iter.func.id == "range"
    )


def _form(function, k):
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    [definition] = tree.body
    definition.decorator_list = []
    [loop] = [node for i, node in enumerate(n for n in ast.walk(tree) if _is_loop(n)) if i == k]
    loop.iter.func.id = "prange"
    text = ast.unparse(tree) + "\n"
    filename = f"<parallel form {next(_numbers)} of {function.__name__}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {**function.__globals__, **inspect.getclosurevars(function).nonlocals, "prange": numba.prange}
    exec(compile(text, filename, "exec"), scope)
    made = scope[definition.name]
    made.__defaults__, made.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return made
