"""Programs with their loops marked by `ad.checkpointed`, made from the source of those without."""

import ast
import functools
import linecache

import ad
from ad.checkpointed import COMPUTED

_COUNTED = ("range", "enumerate", "zip")
"""What loops are over that are marked; others may be over tuples."""


class _Marker(ast.NodeTransformer):
    """Marks loops `which` are "outer" ones, "inner" ones, or "all"."""

    def __init__(self, which, options):
        self.which = which
        self.options = options
        self.depth = 0

    def below(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    def mark(self, e, options):
        if (self.which == "outer" and self.depth) or (self.which == "inner" and not self.depth):
            return e
        keywords = [ast.keyword(name, ast.Constant(value)) for name, value in options.items()]
        call = ast.Call(ast.Attribute(ast.Name("_ad", ast.Load()), "checkpointed", ast.Load()), [e], keywords)
        return ast.copy_location(call, e)

    def visit_For(self, node):
        self.below(node)
        if isinstance(node.iter, ast.Call) and getattr(node.iter.func, "id", "") in _COUNTED:
            early = any(isinstance(n, ast.Break | ast.Return) for s in node.body for n in ast.walk(s))
            node.iter = self.mark(node.iter, self.without_computed("binomial") if early else self.options)
        return node

    def visit_While(self, node):
        self.below(node)
        options = self.without_computed("online")
        known = options.get("schedule") == "binomial"
        node.test = self.mark(node.test, {**options, "schedule": "online"} if known else options)
        return node

    def without_computed(self, other):
        """The options, with another schedule for one that is for loops which run to their end."""
        if self.options.get("schedule") not in COMPUTED:
            return self.options
        return {"schedule": other, "snapshots": self.options["snapshots"]}

    def visit_FunctionDef(self, node):
        outside, self.depth = self.depth, 0
        self.generic_visit(node)
        self.depth = outside
        registers = [d for d in node.decorator_list if getattr(getattr(d, "func", None), "id", "") == "case"]
        node.decorator_list = [d for d in node.decorator_list if d not in registers]
        return node


@functools.cache
def _text(filename, which, options):
    """The source of a file with marks, under a name by which it is found."""
    tree = ast.parse("".join(linecache.getlines(filename)))
    tree.body = [s for s in tree.body if not isinstance(s, ast.ClassDef)]  # those of the arguments
    text = ast.unparse(ast.fix_missing_locations(_Marker(which, dict(options)).visit(tree))) + "\n"
    name = f"<{filename}, {which} loops marked {dict(options)}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    return compile(text, name, "exec")


_scopes = {}


def marked(function, which="outer", **options):
    """A function of a module of programs, with its loops and those of what it calls there marked.

    None for one that is not found by its name.
    """
    plain = getattr(function, "py_func", function)
    key = plain.__code__.co_filename, which, tuple(sorted(options.items()))
    if key not in _scopes:
        _scopes[key] = {**plain.__globals__, "_ad": ad}
        exec(_text(*key), _scopes[key])
    found = _scopes[key].get(plain.__name__)
    return None if found is function else found
