"""The garbage collector ends a tape with a budget, in whatever order and thread it comes by."""

import subprocess
import sys
import textwrap

import pytest

COMMON = """
import faulthandler, gc, time
faulthandler.dump_traceback_later(30, exit=True)
import numpy as np
from tape import Budget, Tape, TapeBusyError
from tape.testing import MemoryStore

class Holder:
    pass

def drop(tape):
    holder = Holder()
    holder.me, holder.tape = holder, tape

gc.disable()
"""

CASES = {
    "a tape in a cycle": """
        for _ in range(10):
            budget = Budget("1 MiB")
            tape = Tape("f8", memory=budget)
            tape.extend(np.arange(300_000.0))
            drop(tape)
            del tape
            gc.collect()
            assert budget.used_bytes == 0, budget
    """,
    "in a thread that writes a slab of it": """
        class Collects(MemoryStore):
            found = 0

            def write(self, data):
                time.sleep(0.02)
                slot = super().write(data)
                Collects.found += gc.collect() > 0
                return slot

        for _ in range(5):
            budget = Budget("1 MiB")
            tape = Tape("f8", memory=budget, spill_dir=Collects())
            tape.extend(np.arange(300_000.0))
            drop(tape)
            del tape
            end = time.monotonic() + 1
            while budget.used_bytes and time.monotonic() < end:
                time.sleep(0.01)
            gc.collect()    # where nothing was under way any more
            assert budget.used_bytes == 0, budget
        assert Collects.found, "no collection was in a thread of the store"
    """,
    "close in such a thread is refused": """
        class Closes(MemoryStore):
            tape, said = None, set()

            def write(self, data):
                time.sleep(0.02)
                try:
                    self.tape.close()
                except TapeBusyError as error:
                    self.said.add(str(error))
                return super().write(data)

        store = Closes()
        items = np.arange(300_000.0)
        for _ in range(100):
            store.tape = tape = Tape("f8", memory="1 MiB", spill_dir=store)
            tape.extend(items)
            time.sleep(0.05)    # the last write ends after the push that it was for
            assert (tape.popn(300_000) == items).all()
            tape.close()
            if any("cannot close a tape" in said for said in store.said):
                break
        else:
            raise AssertionError(store.said)
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_end_of_a_tape(case):
    program = COMMON + textwrap.dedent(CASES[case]) + "print('ok')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
