"""The quick way into compiled code: a function that only checks the types of its arguments.

A gradient of a few operations takes a fraction of a microsecond, and so must its call.  A lookup by the tuple of types
costs half a microsecond in CPython; comparisons that are written out for the arguments at hand cost a tenth of that.
The items of tuples are compared and taken out in the same way (walking through them costs 10 to 20 us).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ad.ir import Kind
from ad.library import Constant, Structure, TupleOf

__all__ = ["builder", "checked_call"]


def checked_call(
    examples: Sequence[Any],
    structures: Sequence[Structure],
    call: Callable[..., Any],
    pick: str,
    otherwise: Callable[..., Any],
) -> Callable[..., Any]:
    """``call(*leaves)`` where the arguments are like the examples, else ``otherwise(*args)``.

    The leaves are the numbers and arrays of the arguments.  An array is like another one of its dimension and dtype,
    a tuple like another one of its class with items like its own.  `pick` is what to return of the result of `call`: an
    expression with {} in its place.
    """
    names = [f"a{i}" for i in range(len(examples))]
    scope: dict[str, Any] = {"call": call, "otherwise": otherwise}
    checks: list[str] = []
    leaves: list[str] = []

    def check(name: str, here: str, example: Any, structure: Structure) -> None:
        """Compare what the expression `here` gives, and name it."""
        if isinstance(structure, Constant):
            scope[f"{name}_is"] = example
            checks.append(f"{here} is {name}_is")
            return
        scope[f"{name}_type"] = type(example)
        checks.append(f"type({here}) is {name}_type")
        if isinstance(structure, TupleOf):
            checks.append(f"len({name}) == {len(example)}")
            for i, (item, kind) in enumerate(zip(example, structure.items, strict=True)):
                check(f"{name}_{i}", f"({name}_{i} := {name}[{i}])", item, kind)
            return
        leaves.append(name)
        if isinstance(example, np.ndarray):
            scope[f"{name}_dtype"] = example.dtype
            checks.append(f"{name}.ndim == {example.ndim} and {name}.dtype is {name}_dtype")

    for name, example, structure in zip(names, examples, structures, strict=True):
        check(name, name, example, structure)
    listed, called = ", ".join(names), f"call({', '.join(leaves)})"
    text = (
        f"def quick({listed}):\n"
        f"    if {' and '.join(checks) or 'True'}:\n"
        f"        return {pick.format(called)}\n"
        f"    return otherwise({listed})\n"
    )
    exec(text, scope)
    quick: Callable[..., Any] = scope["quick"]
    return quick


def builder(structures: Sequence[Structure]) -> Callable[[Sequence[Any]], list[Any]]:
    """A function that puts derivatives into these forms; None stands where there are none."""
    scope: dict[str, Any] = {}
    count = 0

    def text(structure: Structure) -> str:
        nonlocal count
        match structure:
            case TupleOf(items, cls):
                parts = "".join(f"{text(item)}, " for item in items)
                if cls is None:
                    return f"({parts})"
                name = f"cls{len(scope)}"
                scope[name] = cls
                return f"{name}({parts})"
            case Kind(is_float=True):
                count += 1
                return f"found[{count - 1}]"
        return "None"

    build: Callable[[Sequence[Any]], list[Any]] = eval(f"lambda found: [{', '.join(map(text, structures))}]", scope)
    return build
