"""Run a generated adjoint in plain Python, without Numba: quick, and every misuse of a name or of the tape shows."""

import functools
import importlib

import numpy as np
from reference.leaves import copied

from ad.arguments import flattened, leaves, structure_of
from ad.debug import instrument
from ad.emit import emit
from ad.findings import Findings
from ad.ir import Kind
from ad.library import Library, TupleOf
from ad.program import Program
from ad.runtime import NotAsAssumed
from ad.values import UserFunction


class ListTape:
    """The tape's functions on a handle, on a list of blocks that must come off as they went on."""

    def __init__(self):
        self.blocks = []

    def push(self, handle, *values):
        assert values, "an empty push"
        self.blocks.append(values)

    def pop(self, handle, n=None):
        # Python's min(x, 2) may be an int where Numba's is a float.
        return self._take(n, (float, int, np.floating))

    def pop_complex(self, handle, n=None):
        return self._take(n, (complex, np.complexfloating))

    def push_bit(self, handle, bits, decision):
        assert isinstance(decision, bool | np.bool_)
        bits = bits << 1 | int(decision)
        if bits >> 63:
            self.push(handle, bits)
            return 1
        return bits

    def pop_bit(self, handle, bits):
        if bits == 1:
            bits = self.pop_int(handle)
        return bool(bits & 1), bits >> 1

    def pop_int(self, handle, n=None):
        return self._take(n, (int, bool, np.bool_, np.integer))

    def _take(self, n, kinds):
        block = self.blocks.pop()
        assert isinstance(block, tuple), f"{block} is popped as numbers"
        assert len(block) == (n or 1), f"a block of {len(block)} is popped as one of {n or 1}"
        exact = all(isinstance(v, kinds) and (bool in kinds or not isinstance(v, bool)) for v in block)
        assert exact, f"{block} is popped as {kinds}"
        return block[0] if n is None else block

    def push_array(self, handle, a):
        assert isinstance(a, np.ndarray)
        self.blocks.append(a.copy())

    def pop_array(self, handle, dtype, ndim):
        block = self.blocks.pop()
        assert isinstance(block, np.ndarray), f"{block} is popped as an array"
        assert block.dtype == dtype and block.ndim == ndim, f"{block} is popped as {ndim}-D {dtype}"
        return block

    def pop_into(self, handle, a):
        block = self.blocks.pop()
        assert isinstance(block, np.ndarray) and block.shape == a.shape, f"{block} is popped into {a}"
        a[...] = block

    def exchange(self, handle, a):
        self.blocks.append(a)
        return np.full_like(a, 99 if np.issubdtype(a.dtype, np.integer) else np.nan)

    def restored(self, handle, a):
        block = self.blocks.pop()
        assert isinstance(block, np.ndarray) and block.shape == a.shape and block.dtype == a.dtype
        return block

    def push_shape(self, handle, a):
        self.blocks.append((a.shape, a.dtype))

    def pop_empty(self, handle, dtype, ndim):
        shape, _ = self.blocks.pop()
        assert len(shape) == ndim
        return np.full(shape, 99 if np.issubdtype(dtype, np.integer) else np.nan, dtype)

    def failed(self, handle):
        return 0


def interpreted_gradient(f, args, wrt, debug=False, assuming=True):
    """Value, derivatives with respect to the arguments at the positions `wrt`, and the text of the adjoint."""
    f = getattr(f, "py_func", f)
    structures = tuple(structure_of(str(i), a, False) for i, a in enumerate(args))
    library = Library()
    function = library.specialise(UserFunction(f), structures)
    library.require_float(function)
    names = iter(function.params)
    params = [[next(names) for _ in leaves(s)] for s in structures]
    active = [p for i in wrt for p, k in zip(params[i], leaves(structures[i]), strict=True) if k.is_float]
    unit = Program(assuming=assuming).gradient(function, tuple(active))
    findings = Findings(instrument(unit)) if debug else None
    emitted = emit(unit)
    tape = ListTape()
    namespace, lines = dict(emitted.injected), []
    for line in emitted.text.splitlines():
        if not line.startswith("from "):
            lines.append(line)
            continue
        module, _, items = line.removeprefix("from ").partition(" import ")
        for item in items.split(", "):
            name, _, alias = item.partition(" as ")
            known = getattr(tape, name, None)
            if known is None:
                known = getattr(importlib.import_module(module), name)
            if name == "njit":
                known = lambda **_: lambda f: f  # noqa: E731
            namespace[alias or name] = getattr(known, "py_func", known)
    exec(compile("\n".join(lines), "<adjoint>", "exec"), namespace)
    flat = [leaf for a, s in zip(args, structures, strict=True) for leaf in flattened(a, s)]
    flat += function.constants
    copies = [copied(a) for a in flat]
    run = functools.partial(namespace[emitted.main], 0) if unit.tape else namespace[emitted.main]
    if findings is not None:
        run = findings.reported(run)
    try:
        with np.errstate(all="ignore"):  # compiled code gives no warnings
            result = run(*copies)
    except NotAsAssumed:
        assert assuming and not tape.blocks
        return interpreted_gradient(f, args, wrt, debug, assuming=False)
    result = result if isinstance(result, tuple) else (result,)
    if unit.tape:
        assert result[0] == 0
        result = result[1:]
    assert not tape.blocks, f"{len(tape.blocks)} blocks are left on the tape"
    for a, b in zip(flat, copies, strict=True):
        assert not isinstance(a, np.ndarray) or np.array_equal(a, b, equal_nan=True), "an argument was written to"
    found = iter(result[1:])

    def built(structure):
        if isinstance(structure, TupleOf):
            parts = [built(item) for item in structure.items]
            return structure.cls(*parts) if structure.cls else tuple(parts)
        return next(found) if isinstance(structure, Kind) and structure.is_float else None

    return result[0], [built(structures[i]) for i in wrt], emitted.text
