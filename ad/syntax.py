"""What a syntax tree says by itself: what belongs to a function or a loop, and which names it binds."""

import ast
from collections.abc import Callable, Iterable

__all__ = ["assigned_names", "bound_names", "endless", "local_names", "own_loop_nodes", "own_nodes"]


def endless(node: ast.For | ast.While) -> bool:
    return isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and bool(node.test.value)


def own_nodes(node: ast.AST) -> list[ast.AST]:
    """The nodes below a statement that belong to the same function."""
    return _nodes(node, ast.iter_child_nodes)


def own_loop_nodes(node: ast.AST) -> list[ast.AST]:
    """Those that belong to the same loop: of a loop in it, what stands in its else."""

    def below(n: ast.AST) -> Iterable[ast.AST]:
        return n.orelse if isinstance(n, ast.For | ast.While) else ast.iter_child_nodes(n)

    return _nodes(node, below)


def _nodes(node: ast.AST, below: Callable[[ast.AST], Iterable[ast.AST]]) -> list[ast.AST]:
    """A node and what is `below` it, functions and classes apart."""
    found: list[ast.AST] = []
    pending = [node]
    while pending:
        node = pending.pop()
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            found.append(node)
            pending += below(node)
    return found


def bound_names(node: ast.AST) -> set[str]:
    found = {n.id for n in own_nodes(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return found | {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef)}


def assigned_names(tree: ast.FunctionDef) -> set[str]:
    return set().union(*(bound_names(s) for s in tree.body))


def local_names(tree: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Python's rule for what is local: the parameters and every name bound anywhere in the body."""
    a = tree.args
    found = {p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)}
    return found | assigned_names(tree) if isinstance(tree, ast.FunctionDef) else found
