"""The quick way into compiled code: a function that only checks the types of its arguments.

A gradient of a few operations takes a fraction of a microsecond, and so must its call.  A lookup by the tuple of types
costs half a microsecond in CPython; comparisons that are written out for the arguments at hand cost a tenth of that.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["checked_call"]


def checked_call(
    examples: Sequence[Any], call: Callable[..., Any], pick: str, otherwise: Callable[..., Any]
) -> Callable[..., Any]:
    """``call(*args)`` where the arguments are like the examples, else ``otherwise(*args)``.

    An array is like another one of its dimension and dtype.  `pick` is what to return of the result of `call`: an
    expression with {} in its place.
    """
    names = [f"a{i}" for i in range(len(examples))]
    scope: dict[str, Any] = {"call": call, "otherwise": otherwise}
    checks: list[str] = []
    for name, example in zip(names, examples, strict=True):
        scope[f"{name}_type"] = type(example)
        checks.append(f"type({name}) is {name}_type")
        if isinstance(example, np.ndarray):
            scope[f"{name}_dtype"] = example.dtype
            checks.append(f"{name}.ndim == {example.ndim} and {name}.dtype is {name}_dtype")
    listed = ", ".join(names)
    text = (
        f"def quick({listed}):\n"
        f"    if {' and '.join(checks) or 'True'}:\n"
        f"        return {pick.format(f'call({listed})')}\n"
        f"    return otherwise({listed})\n"
    )
    exec(text, scope)
    quick: Callable[..., Any] = scope["quick"]
    return quick
