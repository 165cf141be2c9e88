"""`Budget`: memory for the slabs of one tape, or of several that compete for it."""

import atexit
import weakref

from tape.layers cimport budget_free, budget_init, budget_stop
from tape.sync cimport lt_mutex_lock, lt_mutex_unlock

from tape.errors import TapeTypeError
from tape.sizes import format_bytes, parse_bytes


budgets = weakref.WeakSet()
cdef bint at_exit = False


cdef class Budget:
    """A hard limit on the memory of the tapes that are given it: ``Tape(memory=budget)``.

    When they need more, the slab that is needed last anywhere goes to the disk of its tape.  Counted are all slabs, those
    on their way to or from a disk included.  After a fork the budget is all the child's.

    Parameters
    ----------
    memory : int or str
        Bytes, or a string such as ``"256 MiB"``.
    """

    def __cinit__(self, memory):
        budget_init(&self.b, parse_bytes(memory, "memory"))
        self.ready = True
        if at_exit:
            budget_stop(&self.b)
        budgets.add(self)

    def __dealloc__(self):
        if self.ready:
            budget_free(&self.b)

    @property
    def memory(self):
        """The limit in bytes.  May be set at any time; a lower one is reached as slabs are next asked for."""
        return self.b.limit

    @memory.setter
    def memory(self, value):
        cdef size_t limit = parse_bytes(value, "memory")
        lt_mutex_lock(&self.b.lock)
        self.b.limit = limit
        lt_mutex_unlock(&self.b.lock)

    @property
    def used_bytes(self):
        """Bytes that the tapes hold in memory now."""
        return self.b.used

    @property
    def high_bytes(self):
        """Most bytes that they ever held at once."""
        return self.b.high

    def __repr__(self):
        return f"<Budget: {format_bytes(self.b.used)} of {format_bytes(self.b.limit)} in use>"

    def __reduce__(self):
        raise TapeTypeError("a Budget is memory of this process and cannot be pickled")


@atexit.register
def _stop_threads():
    # A thread that carries a slab to a store written in Python needs an interpreter.
    global at_exit
    at_exit = True
    for budget in list(budgets):
        budget_stop(&(<Budget>budget).b)
