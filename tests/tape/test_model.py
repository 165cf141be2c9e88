"""A tape against a Python list, over random sequences of all operations."""

from typing import ClassVar

from hypothesis import settings
from tape_machine import Records, TapeMachine


class RecordMachine(Records, TapeMachine):
    pass


class SharedMachine(TapeMachine):
    """A thread-safe tape used by one thread is a tape."""

    options: ClassVar = {"thread_safe": True}


for machine in (TapeMachine, RecordMachine, SharedMachine):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)

TestTape = TapeMachine.TestCase
TestRecords = RecordMachine.TestCase
TestShared = SharedMachine.TestCase
