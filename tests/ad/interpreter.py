"""Run a generated adjoint in plain Python, without Numba: quick, and every misuse of a name or of the tape shows."""

import numpy as np

import ad.runtime
import ad.special
from ad.emit import emit
from ad.expressions import UserFunction
from ad.function import Options
from ad.ir import Kind
from ad.library import Library
from ad.program import Program


class ListTape:
    """The tape's functions on a handle, on a list of blocks that must come off as they went on."""

    def __init__(self):
        self.blocks = []

    def push(self, handle, *values):
        assert values, "an empty push"
        self.blocks.append(values)

    def pop(self, handle, n=None):
        # Python's min(x, 2) may be an int where Numba's is a float.
        return self._take(n, (float, int))

    def pop_int(self, handle, n=None):
        return self._take(n, (int, bool, np.bool_, np.integer))

    def _take(self, n, kinds):
        block = self.blocks.pop()
        assert len(block) == (n or 1), f"a block of {len(block)} is popped as one of {n or 1}"
        exact = all(isinstance(v, kinds) and (bool in kinds or not isinstance(v, bool)) for v in block)
        assert exact, f"{block} is popped as {kinds}"
        return block[0] if n is None else block

    def failed(self, handle):
        return 0


def kind_of(value):
    if isinstance(value, np.ndarray):
        return Kind.FLOATS if value.dtype.kind == "f" else Kind.INTS
    return {bool: Kind.BOOL, int: Kind.INT, float: Kind.FLOAT}[type(value)]


def interpreted_gradient(f, args, wrt):
    """Value, derivatives with respect to the arguments at the positions `wrt`, and the text of the adjoint."""
    f = getattr(f, "py_func", f)
    function = Library().specialise(UserFunction(f), tuple(kind_of(a) for a in args))
    unit = Program().gradient(function, tuple(function.params[i] for i in sorted(wrt)))
    emitted = emit(unit)
    tape = ListTape()
    known = {name: getattr(tape, name) for name in ("push", "pop", "pop_int", "failed")}
    known |= {name: getattr(ad.runtime, name).py_func for name in ("div", "floordiv", "mod")}
    known |= {"digamma": ad.special.digamma.py_func, "njit": lambda **_: lambda f: f}
    namespace, lines = dict(emitted.injected), []
    for line in emitted.text.splitlines():
        if not line.startswith("from "):
            lines.append(line)
            continue
        for item in line.partition(" import ")[2].split(", "):
            name, _, alias = item.partition(" as ")
            namespace[alias or name] = known[name]
    exec(compile("\n".join(lines), "<adjoint>", "exec"), namespace)
    arrays = {i: np.zeros(args[i].shape) for i in sorted(wrt) if isinstance(args[i], np.ndarray)}
    call = namespace[emitted.main]
    handle = (0,) if unit.tape else ()
    result = call(*handle, *args, *arrays.values())
    result = result if isinstance(result, tuple) else (result,)
    if unit.tape:
        assert result[0] == 0
        result = result[1:]
    assert not tape.blocks, f"{len(tape.blocks)} blocks are left on the tape"
    scalars = iter(result[1:])
    found = {i: arrays[i] if i in arrays else next(scalars) for i in sorted(wrt)}
    return result[0], [found[i] for i in wrt], emitted.text


__all__ = ["ListTape", "Options", "interpreted_gradient"]
