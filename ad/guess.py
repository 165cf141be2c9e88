"""Likely kinds of the arguments of a function that was not called yet."""

import ast
import inspect

from ad.ir import Kind
from ad.library import Constant, Structure
from ad.source import Source

__all__ = ["likely_kinds"]


def likely_kinds(source: Source, signature: inspect.Signature) -> tuple[Structure, ...]:
    """Arrays where the function indexes them or asks for their length, ints in bounds and indices, floats elsewhere."""
    dimensions: dict[str, int] = {}
    ints: set[str] = set()

    def takes_ints(node: ast.AST) -> None:
        if not any(isinstance(n, ast.Call) for n in ast.walk(node)):
            ints.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name))

    for node in ast.walk(source.tree):
        match node:
            case ast.Subscript(value=ast.Name(name), slice=index):
                parts = index.elts if isinstance(index, ast.Tuple) else [index]
                dimensions[name] = max(dimensions.get(name, 1), len(parts))
                takes_ints(index)
            case (
                ast.Call(func=ast.Name("len"), args=[ast.Name(name)])
                | ast.Attribute(value=ast.Name(name), attr="shape" | "size" | "T")
            ):
                dimensions.setdefault(name, 1)
            case ast.Call(func=ast.Name("range" | "prange") | ast.Attribute(attr="prange"), args=args):
                for arg in args:
                    takes_ints(arg)
    found: list[Structure] = []
    for name, parameter in signature.parameters.items():
        if name in dimensions:
            found.append(Kind("float64", dimensions[name]))
        elif parameter.default is None:
            found.append(Constant(None))
        else:
            found.append(Kind.INT if name in ints else Kind.FLOAT)
    return tuple(found)
