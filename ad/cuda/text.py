"""The text of a generated module as one for the device.

What differs: functions are device functions, the tape is the thread's lane, which every function is given, and errors
that Python would raise are noted on the lane.  What generated code calls beside that is in `ad.cuda.runtime`.
"""

import ast

from ad.errors import ADError

__all__ = ["device_text"]

LANE, RUNTIME = "_lane", "_on_device"  # names that no user has

# By module: what generated code imports, and what stands for it on the device.
_VERSIONS = {
    "ad.runtime": {"pop": "pop_float", "pop_int": "pop_int", "div": "div", "floordiv": "floordiv", "mod": "mod"},
    "ad.bits": {"push_bit": "push_bit", "pop_bit": "pop_bit"},
    "tape.numba": {"push": "push", "failed": "failed"},
    "numba": {"njit": ""},
}
_ON_TAPE = ("pop_float", "pop_int", "push_bit", "pop_bit")  # the first argument is the tape
_MODULES = ("math", "numpy")
# NumPy's functions of numbers: those that Numba has on the device, and those that ad.cuda.runtime has.
_NUMPY = """
    sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh log log2 log10 hypot maximum minimum
    fmax fmin divide deg2rad rad2deg degrees radians isnan isinf isfinite float64 int64 bool_
"""
_OWN_NUMPY = """
    exp expm1 exp2 log1p logaddexp sqrt absolute fabs sign square reciprocal negative power add subtract multiply
    copysign
"""
_ALIASES = {"abs": "absolute"}


def device_text(text: str, main: str, results: int, single: tuple[bool, ...], on_tape: bool) -> str:
    """The module for the device, with a kernel ``launch`` that calls the function `main`.

    `single` says of each argument whether it is the same for all threads, `results` is the number of derivatives,
    `on_tape` says whether the function takes a tape and returns a status.
    Raises ADError, naming what it is, for what has no version for the device.
    """
    module = ast.parse(text)
    translated = _Translation(main, {f.name for f in module.body if isinstance(f, ast.FunctionDef)}).visit(module)
    ast.fix_missing_locations(translated)
    return "\n".join(
        [
            f"from numba import cuda\n\nimport ad.cuda.runtime as {RUNTIME}\n",
            ast.unparse(translated),
            "",
            "",
            _kernel(main, results, single, on_tape),
        ]
    )


def _kernel(main: str, results: int, single: tuple[bool, ...], on_tape: bool) -> str:
    arguments = [f"a{k}" for k in range(len(single))]
    items = [f"{a}[0]" if alone else f"{a}[i]" for a, alone in zip(arguments, single, strict=True)]
    found = ["value", *(f"d{k}" for k in range(results))]
    call = f"{main}({', '.join([LANE, *([LANE] if on_tape else []), *items])})"
    names = [*(["_status"] if on_tape else []), *(f"{name}_i" for name in found)]
    lines = [
        "@cuda.jit",
        f"def launch(words, trouble, first, count, {', '.join([*arguments, *found])}):",
        "    thread = cuda.grid(1)",
        "    if thread < count:",
        "        i = first + thread",
        f"        top = cuda.local.array(1, {RUNTIME}.int64)  # becomes a register",
        "        top[0] = 0",
        f"        {LANE} = {RUNTIME}.Lane(words[0], words[1], trouble, thread, top)",
        f"        {', '.join(names)} = {call}",
        *(f"        {name}[i] = {name}_i" for name in found),
    ]
    return "\n".join(lines) + "\n"


class _Translation(ast.NodeTransformer):
    def __init__(self, main: str, functions: set[str]) -> None:
        self.main, self.functions = main, functions
        self.versions: dict[str, str] = {}
        self.numpy = ""

    def refuse(self, what: str) -> ADError:
        return ADError(f'target="cuda": the generated {self.main}() {what}, which has no version for the device')

    # ------------------------------------------------------------------------------------------ modules

    def visit_Module(self, node: ast.Module) -> ast.Module:
        for imported in (n for n in node.body if isinstance(n, ast.Import | ast.ImportFrom)):
            self.note(imported)
        node.body = [self.visit(part) for part in node.body if not isinstance(part, ast.ImportFrom)]
        return node

    def note(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                if alias.name not in _MODULES:
                    raise self.refuse(f"uses the module {alias.name}")
                if alias.name == "numpy":
                    self.numpy = alias.asname or alias.name
                continue
            version = _VERSIONS.get(node.module or "", {}).get(alias.name)
            if version is None:
                raise self.refuse(f"calls {alias.name}() of {node.module}")
            self.versions[alias.asname or alias.name] = version

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        (decorator,) = node.decorator_list
        assert isinstance(decorator, ast.Call)
        fast = [k for k in decorator.keywords if k.arg == "fastmath"]
        node.decorator_list = [ast.Call(_own("device"), [], fast)]
        node.args.args.insert(0, ast.arg(LANE))
        self.generic_visit(node)
        return node

    # --------------------------------------------------------------------------------------- statements

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.AST]:
        if self.version(node.value) != "push":
            return self.generic_visit(node)
        assert isinstance(node.value, ast.Call)
        values = [self.visit(v) for v in node.value.args[1:]]
        return [ast.Expr(_call("push", [v])) for v in values]

    def visit_Assign(self, node: ast.Assign) -> ast.AST | list[ast.AST]:
        version, value = self.version(node.value), node.value
        if version in ("pop_float", "pop_int") and isinstance(value, ast.Call) and len(value.args) == 2:
            (target,) = node.targets
            assert isinstance(target, ast.Tuple)
            return [ast.Assign([t], _call(version, [])) for t in reversed(target.elts)]
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        raise self.refuse(f"has `{ast.unparse(node)}`")

    # -------------------------------------------------------------------------------------- expressions

    def version(self, node: ast.AST) -> str | None:
        """The name of the device's version of what is called."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self.versions.get(node.func.id)
        return None

    def visit_Call(self, node: ast.Call) -> ast.AST:
        version = self.version(node)
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            raise self.refuse("prints")
        if version is not None:
            if version == "failed":
                return ast.Constant(0)
            if version == "push" or (version in _ON_TAPE[:2] and len(node.args) != 1):
                raise self.refuse(f"has `{ast.unparse(node)}`")
            return _call(version, node.args[1:] if version in _ON_TAPE else node.args)
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == self.numpy:
            name = _ALIASES.get(node.func.attr, node.func.attr)
            if name in _OWN_NUMPY.split():
                node.func = _own(name)
            elif name not in _NUMPY.split():
                raise self.refuse(f"calls numpy.{name}()")
        if isinstance(node.func, ast.Name) and node.func.id in self.functions:
            node.args.insert(0, ast.Name(LANE, ast.Load()))
        return node


def _call(function: str, arguments: list[ast.expr]) -> ast.Call:
    return ast.Call(_own(function), [ast.Name(LANE, ast.Load()), *arguments], [])


def _own(name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name(RUNTIME, ast.Load()), name, ast.Load())
