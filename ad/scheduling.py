"""Schedules that are computed in Python, for compiled loops: asked for when a loop is reached, and its trips are known.

Generated code calls `orders` with the number of a schedule in its gradient, and gets a table of what to store when
(`ad.checkpoint.orders`); it reads the memory that Python has it in.  The function behind it is called by *name*, as
those of the tape are, so that code which Numba cached in one process runs in another.
"""

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import llvmlite.binding
import llvmlite.ir as llvm
import numpy as np
import numpy.typing as npt
from numba.core import cgutils, types
from numba.extending import intrinsic, overload
from numba.np.arrayobj import populate_array

from ad.arrays.compiled import OPTIONS
from ad.checkpoint.orders import stack_orders
from ad.checkpoint.settings import NO_DISK
from ad.ir import Computed

__all__ = ["NoOrders", "Scheduling", "orders", "scheduled"]

_SYMBOL = "ad1_orders"
_TABLES = 16
"""How many tables are kept from call to call."""

Table = npt.NDArray[np.int64]


class NoOrders(Exception):
    """What generated code is left by where a schedule could not be had; `Scheduling` knows why."""


class Scheduling:
    """A call of a gradient with loops by these schedules.

    A table is kept as long as the call: it is the same whenever it is asked for, and compiled code reads its memory.
    What a schedule raises is kept, for there is no way through compiled code for it.
    """

    def __init__(self, schedules: Sequence[Computed]) -> None:
        self.schedules = schedules
        self.tables: dict[tuple[int, int, int, int], Table] = {}
        self.failed: BaseException | None = None

    def __enter__(self) -> "Scheduling":
        self.before, _here.scheduling = _here.scheduling, self
        return self

    def __exit__(self, *_: Any) -> None:
        _here.scheduling = self.before

    def table(self, number: int, n: int, ram: int, disk: int) -> Table:
        key = number, n, ram, disk
        if key not in self.tables:
            schedule = self.schedules[number]
            none = 0 if schedule.function in NO_DISK else None
            try:
                self.tables[key] = _table(schedule.function, n, ram, disk if disk >= 0 else none)
            except Exception as error:
                error.add_note(f"ad.checkpointed: this came from the schedule of the loop at {schedule.at}")
                raise
        return self.tables[key]

    def reason(self) -> BaseException:
        """What was raised, which is not kept any more: its frames would be held by what they hold."""
        failed, self.failed = self.failed, None
        # Ctrl-C before the first statement of `_answer` is all that leaves no reason.
        return failed if failed is not None else KeyboardInterrupt()


def _table(function: Callable[..., Any], n: int, ram: int, disk: int | None) -> Table:
    try:
        hash(function)
    except TypeError:
        return _kept.__wrapped__(function, n, ram, disk)
    return _kept(function, n, ram, disk)


@lru_cache(_TABLES)
def _kept(function: Callable[..., Any], n: int, ram: int, disk: int | None) -> Table:
    return stack_orders(function(n, ram, disk), n, ram, disk)


class _Here(threading.local):
    scheduling: Scheduling | None = None


_here = _Here()


def scheduled(kernel: Callable[..., Any], schedules: Sequence[Computed]) -> Callable[..., Any]:
    """A kernel that has these schedules to ask for."""

    def run(*args: Any) -> Any:
        with Scheduling(schedules) as scheduling:
            try:
                return kernel(*args)
            except NoOrders:
                pass
        raise scheduling.reason()

    return run


def _answer(number: int, n: int, ram: int, disk: int, length: Any) -> int:
    """The address of a table, whose length goes to where `length` points; 0 where there is none."""
    scheduling = _here.scheduling
    assert scheduling is not None
    try:
        found = scheduling.table(number, n, ram, disk)
    except BaseException as error:
        scheduling.failed = error
        return 0
    length[0] = len(found)
    return found.ctypes.data


_function = ctypes.CFUNCTYPE(*[ctypes.c_int64] * 5, ctypes.POINTER(ctypes.c_int64))(_answer)
llvmlite.binding.add_symbol(_SYMBOL, ctypes.cast(_function, ctypes.c_void_p).value)


@intrinsic
def _ask(_context, number, n, ram, disk):
    """The table, of length 0 where there is none."""
    result = types.Array(types.int64, 1, "C")

    def codegen(context, builder, signature, args):
        word = llvm.IntType(64)
        length = cgutils.alloca_once_value(builder, llvm.Constant(word, 0))
        numbers = [context.cast(builder, a, t, types.int64) for a, t in zip(args, signature.args, strict=True)]
        type_ = llvm.FunctionType(word, [*[word] * len(numbers), word.as_pointer()])
        function = cgutils.get_or_insert_function(builder.module, type_, _SYMBOL)
        address = builder.call(function, [*numbers, length])
        array = context.make_array(result)(context, builder)
        size = llvm.Constant(word, 8)
        data = builder.inttoptr(address, array.data.type)
        populate_array(array, data, [builder.load(length)], [size], size, meminfo=None)
        return array._getvalue()

    return result(number, n, ram, disk), codegen


def orders(number: int, n: int, ram: int, disk: int) -> Table:
    """What a loop of n trips stores by the schedule of this number; for a negative `disk` nothing was said of it."""
    scheduling = _here.scheduling
    assert scheduling is not None
    return scheduling.table(number, n, ram, disk)


@overload(orders, jit_options=OPTIONS)
def _orders(number: Any, n: Any, ram: Any, disk: Any) -> Any:
    def implement(number: Any, n: Any, ram: Any, disk: Any) -> Any:
        found = _ask(number, n, ram, disk)
        if len(found) == 0:
            raise NoOrders
        return found

    return implement
