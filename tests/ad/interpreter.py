"""Run a generated adjoint in plain Python, without Numba: quick, and every misuse of a name or of the tape shows."""

import ast
import functools
import importlib
from collections import defaultdict

import numpy as np
from numba.core.dispatcher import Dispatcher
from reference.leaves import copied

from ad.arguments import flattened, leaves, structure_of
from ad.debug import instrument
from ad.emit import emit
from ad.findings import Findings
from ad.ir import Kind
from ad.library import Library, TupleOf
from ad.planning import Event
from ad.program import Program
from ad.runtime import NotAsAssumed
from ad.scheduling import scheduled
from ad.values import UserFunction


class ListTape:
    """The tape's functions on a handle, each with a list of blocks that must come off as they went on."""

    def __init__(self, planner=None):
        self.lists = defaultdict(list)
        self.consult = planner

    @property
    def blocks(self):
        """What is left."""
        return [block for blocks in self.lists.values() for block in blocks]

    def _put(self, handle, block):
        self.lists[int(handle)].append(block)

    def push(self, handle, *values):
        assert values, "an empty push"
        self._put(handle, values)

    def pop(self, handle, n=None):
        # Python's min(x, 2) may be an int where Numba's is a float.
        return self._take(handle, n, (float, int, np.floating))

    def pop_complex(self, handle, n=None):
        return self._take(handle, n, (complex, np.complexfloating))

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
        return self._take(handle, n, (int, bool, np.bool_, np.integer))

    def _take(self, handle, n, kinds):
        block = self.lists[int(handle)].pop()
        assert isinstance(block, tuple), f"{block} is popped as numbers"
        assert len(block) == (n or 1), f"a block of {len(block)} is popped as one of {n or 1}"
        exact = all(isinstance(v, kinds) and (bool in kinds or not isinstance(v, bool)) for v in block)
        assert exact, f"{block} is popped as {kinds}"
        return block[0] if n is None else block

    def push_array(self, handle, a):
        assert isinstance(a, np.ndarray)
        self._put(handle, a.copy())

    def pop_array(self, handle, dtype, ndim):
        block = self.lists[int(handle)].pop()
        assert isinstance(block, np.ndarray), f"{block} is popped as an array"
        assert block.dtype == dtype and block.ndim == ndim, f"{block} is popped as {ndim}-D {dtype}"
        return block

    def pop_into(self, handle, a):
        block = self.lists[int(handle)].pop()
        assert isinstance(block, np.ndarray) and block.shape == a.shape, f"{block} is popped into {a}"
        a[...] = block

    def refilled(self, handle, a):
        if self.blocks[-1].shape != a.shape:
            return self.pop_array(handle, a.dtype, a.ndim)
        self.pop_into(handle, a)
        return a

    def exchange(self, handle, a):
        self._put(handle, a)
        return np.full_like(a, 99 if np.issubdtype(a.dtype, np.integer) else np.nan)

    def restored(self, handle, a):
        block = self.lists[int(handle)].pop()
        assert isinstance(block, np.ndarray) and block.shape == a.shape and block.dtype == a.dtype
        return block

    def push_shape(self, handle, a):
        self._put(handle, (a.shape, a.dtype))

    def pop_empty(self, handle, dtype, ndim):
        shape, _ = self.lists[int(handle)].pop()
        assert len(shape) == ndim
        return np.full(shape, 99 if np.issubdtype(dtype, np.integer) else np.nan, dtype)

    def failed(self, handle):
        return 0


def regions(text):
    """The functions of a module that have all lanes do their parts, each with the one for a lane."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and any(k.arg == "parallel" for k in node.decorator_list[0].keywords):
            yield node.name, next(n.func.id for n in ast.walk(node.body[-1]) if isinstance(n, ast.Call) and n.args[1:])


def at_once(lane):
    """All lanes at the same time: none sees what another one writes, and no two write to the same element."""

    def run(parts, lanes, *args):
        arrays = [a for a in args if isinstance(a, np.ndarray)]
        before = [a.copy() for a in arrays]
        after = [a.copy() for a in arrays]
        written = [np.zeros(a.shape, bool) for a in arrays]
        for k in range(len(lanes)):
            lane(k, parts, lanes, *args)
            for array, old, new, taken in zip(arrays, before, after, written, strict=True):
                mine = (array != old) & ((array == array) | (old == old))
                assert not np.any(taken & mine), f"{np.argwhere(taken & mine)[0]} is written to by two lanes"
                new[mine] = array[mine]
                taken |= mine
                array[...] = old
        for array, new in zip(arrays, after, strict=True):
            array[...] = new

    return run


def by_plan(block, snapshots, tried=(1, 2)):
    """A planner (`ad.planning.consult`): trials of so many trips, then as many blocks of `block` trips as there are."""
    trips, left = {}, {}

    def consult(_address, loop, event, value):
        event = Event(event)
        if event is Event.REACHED:
            trips[loop], left[loop] = value, [k for k in tried if k <= value]
        if event in (Event.SAVED, Event.REVERSED):
            return left[loop].pop(0) if left[loop] else 0
        if event is Event.AGAIN:
            return max(trips.get(loop, 1) - 1, 0) // block * block
        return {Event.BLOCK: block, Event.SNAPSHOTS: snapshots}.get(event, 0)

    return consult


def interpreted_gradient(f, args, wrt, debug=False, assuming=True, lanes=0, planner=None):
    """Value, derivatives with respect to the arguments at the positions `wrt`, and the text of the adjoint.

    With `lanes`, loops over ``prange`` run in as many, one lane after the other.  A `planner` is what planned loops
    consult.
    """
    user = UserFunction(f.py_func, f) if isinstance(f, Dispatcher) else UserFunction(f)
    structures = tuple(structure_of(str(i), a, False) for i, a in enumerate(args))
    library = Library()
    function = library.specialise(user, structures)
    library.require_float(function)
    names = iter(function.params)
    params = [[next(names) for _ in leaves(s)] for s in structures]
    active = [p for i in wrt for p, k in zip(params[i], leaves(structures[i]), strict=True) if k.is_float]
    unit = Program(assuming=assuming, parallel=lanes > 0).gradient(function, tuple(active), planner is not None)
    findings = Findings(instrument(unit)) if debug else None
    emitted = emit(unit)
    tape = ListTape(planner)
    namespace, lines = dict(emitted.injected), []
    for line in emitted.text.replace("except Exception:", "except ():").splitlines():  # a failure is to be seen
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
    text = "\n".join(lines)
    exec(compile(text, "<adjoint>", "exec"), namespace)
    for region, lane in regions(text):
        namespace[region] = at_once(namespace[lane])
    flat = [leaf for a, s in zip(args, structures, strict=True) for leaf in flattened(a, s)]
    flat += function.constants
    copies = [copied(a) for a in flat]
    handles = [0] if unit.tape else []
    handles += [np.arange(1, lanes + 1)] if unit.lanes else []
    handles += [0] if planner is not None else []
    run = functools.partial(scheduled(namespace[emitted.main], unit.schedules), *handles)
    if findings is not None:
        run = findings.reported(run)
    try:
        with np.errstate(all="ignore"):  # compiled code gives no warnings
            result = run(*copies)
    except NotAsAssumed:
        assert assuming and not tape.blocks
        return interpreted_gradient(f, args, wrt, debug, False, lanes, planner)
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
