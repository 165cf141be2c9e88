"""Programs with all their loops marked by `ad.checkpointed`."""

import ast
import functools
import linecache
from pathlib import Path

import cases

_COUNTED = ("range", "enumerate", "zip")


class _Marker(ast.NodeTransformer):
    def __init__(self, options):
        self.nested = options.pop("nested", False)
        self.options = options
        self.marked = 0

    def mark(self, e, options):
        self.marked += 1
        keywords = [ast.keyword(name, ast.Constant(value)) for name, value in options.items()]
        call = ast.Call(ast.Attribute(ast.Name("_ad", ast.Load()), "checkpointed", ast.Load()), [e], keywords)
        return ast.copy_location(call, e)

    def visit_For(self, node):
        if self.nested or not isinstance(node.iter, ast.Call):
            self.generic_visit(node)
        if isinstance(node.iter, ast.Call) and getattr(node.iter.func, "id", "") in _COUNTED:
            node.iter = self.mark(node.iter, self.options)
        return node

    def visit_While(self, node):
        if self.nested:
            self.generic_visit(node)
        options = dict(self.options)
        if options.get("schedule") == "binomial":
            del options["schedule"]
        node.test = self.mark(node.test, options)
        return node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.decorator_list = [
            d for d in node.decorator_list if not (isinstance(d, ast.Call) and getattr(d.func, "id", "") == "case")
        ]
        return node


@functools.cache
def _namespace(theme, options):
    path = cases.MATRIX / f"{theme}.py"
    return marked_text(path.read_text(), f"<{theme} marked {dict(options)}>", dict(options))


def marked_text(text, filename, options):
    """The names of a module with marks of these options, and how many loops were marked."""
    tree = ast.parse(text)
    marker = _Marker(options)
    tree = ast.fix_missing_locations(marker.visit(tree))
    text = "import ad as _ad\n" + ast.unparse(tree) + "\n"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"__name__": Path(filename).stem, "__file__": filename}
    exec(compile(text, filename, "exec"), scope)
    return scope, marker.marked


def marked_program(case, **options):
    """The program of a case with its loops marked; None where it has none."""
    theme, _, name = case.program.partition(".")
    scope, _ = _namespace(theme, tuple(sorted(options.items())))
    function = scope.get(name)
    return function
