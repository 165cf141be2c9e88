"""A tape against a Python list, over random sequences of all operations."""

from hypothesis import settings
from tape_machine import Records, TapeMachine


class RecordMachine(Records, TapeMachine):
    pass


for machine in (TapeMachine, RecordMachine):
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)

TestTape = TapeMachine.TestCase
TestRecords = RecordMachine.TestCase
