"""A terminal for lines of progress, and what they say."""

import contextlib
import io
import re
import threading

from tape.watch import new_bar


class Terminal(io.StringIO):
    """Standard error that is one."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def isatty(self):
        return True

    def new_bar(self, **options):
        """A bar that takes this for standard error, which pytest gives its own value before a test begins."""
        with self.lock, contextlib.redirect_stderr(self):
            return new_bar(**options)

    @property
    def lines(self):
        return [line.strip() for line in re.split("[\r\n]", self.getvalue()) if line.strip()]


def drawing():
    """The threads that draw a line."""
    return [thread for thread in threading.enumerate() if thread.name == "ad-progress"]


def counts_of(text):
    """Of each loop in a last line the trips forward, run again and reversed: as many as were expected."""
    found = []
    for loop in re.findall(r"line \d+: [^;]*", text):
        numbers = {"again": 0}
        for what, done, total in re.findall(r"(forward|again|reverse) (\d+)(?: of (\d+))?", loop):
            assert done == total, loop
            numbers[what] = int(done)
        found.append((numbers["forward"], numbers["again"], numbers["reverse"]))
    return found


def shown(g, terminal, *args, **options):
    """The counts at the end of a call, which gives what it gives without a line: loops in the order of their lines."""
    assert g(*args, progress=True, **options) == g(*args, **options)
    return counts_of(terminal.lines[-1])
