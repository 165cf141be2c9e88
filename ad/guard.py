"""Compiled functions that free their arrays when an exception leaves them.

Numba returns at once where something raises, and never releases what the variables of the function hold: fifty
failures of a function with 16 MB of arrays leave 800 MB behind.  Here every such exit first drops the references of the
variables that may hold any at that point.  The way without an exception is Numba's own, instruction for instruction.

What a function calls of Numba's own (``np.dot``, ``np.where``) is compiled in the same way, apart from what the rest of
the process uses: as the overloads of another target, which is the CPU in all else.

Sources: numba/core/lowering.py (lower_inst, loadvar, delvar), callconv.py (return_user_exc), target_extension.py; and
isRaising in llvmlite's ffi/custom_passes.cpp for what the pruning of reference counts assumes.

Known gap: an index out of bounds in ``a[indices] = b``, where both overlap, leaves Numba's copy of ``b`` behind.
"""

from functools import partial
from typing import Any

import llvmlite.ir as llvm
from numba import jit
from numba.core import cgutils, ir, types
from numba.core.callconv import RETCODE_NONE, RETCODE_OK
from numba.core.compiler import CompilerBase, DefaultPassBuilder, Flags, compile_extra
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.cpu import CPUContext
from numba.core.lowering import Lower
from numba.core.registry import CPUDispatcher
from numba.core.target_extension import CPU, dispatcher_registry, jit_registry, target_override, target_registry
from numba.core.targetconfig import Option
from numba.core.typed_passes import NativeLowering, NopythonRewrites
from numba.extending import overload
from numba.np.arrayobj import raise_with_shape_context

from ad.arrays.evaluate import OPERATIONS
from ad.elements import element_access
from ad.fuse import Fusing
from ad.ownership import Ownership, ownership
from ad.pooled import PooledRuntime

__all__ = ["Guarded"]


class Guarded(CompilerBase):
    """``@njit(pipeline_class=Guarded)``: a function that frees its arrays when an exception leaves it."""

    def __init__(self, typing_context, target_context, library, args, return_type, flags, locals):
        guarded = target_context.subtarget(target=_GuardedCPU, cached_internal_func=_internal_functions)
        guarded.__class__ = _GuardedContext
        guarded.special_ops = guarded.special_ops | OPERATIONS
        super().__init__(typing_context, guarded, library, args, return_type, _GuardedFlags(flags), locals)

    def _compile_core(self):
        with target_override(_TARGET):
            return super()._compile_core()

    def define_pipelines(self) -> list[PassManager]:
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state, "guarded")
        manager.passes = [(_GuardedLowering if p is NativeLowering else p, text) for p, text in manager.passes]
        manager.add_pass_after(Fusing, NopythonRewrites)
        manager.finalize()
        return [manager]


# ------------------------------------------------------------------------------------------------ the lowering


class _GuardedLower(Lower):
    """Numba's lowering, but exits with an error lead through a block that drops what the variables hold."""

    _unfinished: tuple[types.Type, llvm.Value] | None
    """The type and the place of an array that the instruction under way fills and could leave half-way."""

    def lower_function_body(self) -> llvm.Block:
        # The variables of a generator outlive its calls.
        self._counts = self.context.enable_nrt and self.generator_info is None
        self._ownership = ownership(self.blocks, self.typeof) if self._counts else Ownership()
        self._sole = False  # whether what is dropped was the only reference
        self._held_at = self._find_held()
        # Numba keeps no place for a variable of one block alone; what is held beyond its block needs one.
        self._singly_assigned_vars.difference_update(*self._held_at.values())
        return super().lower_function_body()

    def lower_block(self, block: ir.Block) -> None:
        self._held = set(self._held_at[id(block)])
        self._releases: dict[Any, tuple[llvm.Block, llvm.PhiInstr]] = {}
        super().lower_block(block)

    def lower_inst(self, inst: ir.Stmt) -> None:
        start, known = self.builder.basic_block, len(self.function.blocks)
        self._unfinished = None
        super().lower_inst(inst)
        for block in (start, *self.function.blocks[known:]):
            self._redirect(block)
        self._follow(inst, self._held)

    def lower_assign(self, ty: types.Type, inst: ir.Assign) -> llvm.Value:
        value = super().lower_assign(ty, inst)
        if inst.target.name not in self._ownership.borrowed:
            return value
        self.decref(ty, value)  # right behind the increment, which LLVM takes out with it
        model = self.context.data_model_manager[ty]
        return model.set(self.builder, value, cgutils.voidptr_t(None), "meminfo")

    def delvar(self, name: str) -> None:
        if name in self._ownership.borrowed:
            return
        self._sole = name in self._ownership.sole
        super().delvar(name)
        self._sole = False

    def decref(self, typ: types.Type, val: llvm.Value) -> None:
        if not self._sole:
            super().decref(typ, val)
            return
        memory = self.context.data_model_manager[typ].get(self.builder, val, "meminfo")
        end = llvm.FunctionType(llvm.VoidType(), [memory.type])
        with self.builder.if_then(cgutils.is_not_null(self.builder, memory)):
            function = cgutils.get_or_insert_function(self.module, end, "NRT_MemInfo_call_dtor")
            self.builder.call(function, [memory])

    def lower_getitem(self, resty, expr, value, index, signature):
        result = super().lower_getitem(resty, expr, value, index, signature)
        if isinstance(result, llvm.LoadInstr) and isinstance(result.operands[0], llvm.AllocaInstr):
            indices = signature.args[1]
            parts = indices if isinstance(indices, types.BaseTuple) else (indices,)
            if any(isinstance(part, types.Array) and part.ndim > 0 for part in parts):
                # Filled item by item, and an index may be out of bounds.
                [place] = result.operands
                self.builder.store(cgutils.get_null_value(result.type), place)
                self._unfinished = signature.return_type, place
        return result

    def _redirect(self, block: llvm.Block) -> None:
        """If the block is left with an error, go through the release of what is held."""
        leave = block.terminator
        if not self._counts or not isinstance(leave, llvm.Ret) or leave.return_value in (RETCODE_OK, RETCODE_NONE):
            return
        for instruction in block.instructions:
            # By this mark the pruning of reference counts knows exits that release nothing.
            instruction.metadata.pop("numba_exception_output", None)
        if not self._held:
            return
        block.instructions.remove(leave)
        block.terminator = None
        release, code = self._release()
        code.add_incoming(leave.return_value, block)
        with self.builder.goto_block(block):
            self.builder.branch(release)

    def _release(self) -> tuple[llvm.Block, llvm.PhiInstr]:
        """The block that drops what is held and returns a status, and the status."""
        key = frozenset(self._held), self._unfinished
        if key not in self._releases:
            block = self.function.append_basic_block("release")
            with self.builder.goto_block(block):
                code = self.builder.phi(RETCODE_OK.type)
                for name in sorted(self._held):
                    self.decref(self.typeof(name), self.loadvar(name))
                if self._unfinished is not None:
                    array, place = self._unfinished
                    self.decref(array, self.builder.load(place))
                self.builder.ret(code)
            self._releases[key] = block, code
        return self._releases[key]

    # ------------------------------------------------------------------------- which variables hold references

    def _find_held(self) -> dict[int, set[str]]:
        """For each block, by its id, the variables that may hold references when it is entered."""
        held_at: dict[int, set[str]] = {id(block): set() for block in self.blocks.values()}
        todo = list(self.blocks.values())
        while todo:
            block = todo.pop()
            held = set(held_at[id(block)])
            for inst in block.body:
                self._follow(inst, held)
            for offset in block.terminator.get_targets():
                target = self.blocks[offset]
                if not held <= held_at[id(target)]:
                    held_at[id(target)] |= held
                    todo.append(target)
        return held_at

    def _follow(self, inst: ir.Stmt, held: set[str]) -> None:
        """What is held after an instruction."""
        if isinstance(inst, ir.Assign) and self._counts and inst.target.name not in self._ownership.borrowed:
            if self.context.data_model_manager[self.typeof(inst.target.name)].contains_nrt_meminfo():
                held.add(inst.target.name)
        elif isinstance(inst, ir.Del):
            held.discard(inst.value)


@register_pass(mutates_CFG=True, analysis_only=False)
class _GuardedLowering(NativeLowering):
    _name = "guarded_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return _GuardedLower


# ------------------------------------------------------------------------------------ what guarded functions call

_TARGET = "layered-tape"


class _GuardedCPU(CPU):
    """A target of its own, so that Numba asks it how to compile the functions of its own that are called."""


target_registry[_TARGET] = _GuardedCPU
dispatcher_registry[_GuardedCPU] = CPUDispatcher
jit_registry[_GuardedCPU] = partial(jit, pipeline_class=Guarded)


@overload(raise_with_shape_context, target=_TARGET)
def _shapes_differ(src_shapes, index_shape):
    # Numba makes one text of these, which takes it 2 s of compilation wherever a slice is assigned.
    def implementation(src_shapes, index_shape):
        raise ValueError("cannot assign slice of shape", index_shape, "from input of shape", src_shapes)

    return implementation


class _GuardedFlags(Flags):
    """Numba keeps such functions by the flags of their caller: with flags of their own they are not shared."""

    guarded = Option(type=bool, default=True, doc="Exits with an error release what the function holds.")

    def values(self) -> dict[str, Any]:
        # What Numba's own says, without a property for each option: overloads are looked up by these, a thousand times.
        return {**_DEFAULTS, **self._values}


_DEFAULTS = {name: option.default for name, option in _GuardedFlags.options.items()}


_internal_functions: dict[Any, Any] = {}


class _GuardedContext(CPUContext):
    """Compiles the pieces that Numba's functions are made of in the same way, and keeps them apart."""

    @property
    def nrt(self):
        return PooledRuntime(self, self.enable_nrt)

    def get_function(self, fn, sig, _firstcall=True):
        access = element_access(fn, sig)
        if access is None:
            return super().get_function(fn, sig, _firstcall)
        return lambda builder, args, loc=None: access(self, builder, sig, args)

    def _compile_subroutine_no_cache(self, builder, impl, sig, locals=None, flags=None):
        if flags is None:
            flags = Flags()
            flags.inherit_if_not_set("nrt")
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        library = self.codegen().create_library(impl.__name__)
        return compile_extra(
            self.typing_context, self, impl, sig.args, sig.return_type, flags, locals or {}, library, Guarded
        )
