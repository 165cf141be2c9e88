"""What the tests of device tapes have in common: a fake device with small slabs, and items that tell their number."""

import numpy as np

from tape.cuda import DeviceTape
from tape.cuda.testing import FakeDevice

SLAB = 4096
WIDTH = 64
PER_SLAB = SLAB // (8 * WIDTH)  # items


def small(device, slabs=4, pages=3, **options):
    """A tape of arrays of 64 float64, eight to a slab."""
    options.setdefault("shape", (WIDTH,))
    return DeviceTape("f8", device=device, device_memory=slabs * SLAB, pinned=pages * SLAB, slab_bytes=SLAB, **options)


def item(number):
    """The values of an item, all different."""
    return number * 1000.0 + np.arange(WIDTH)


def push_all(tape, device, numbers, stream=None):
    for number in numbers:
        tape.push(device.array(item(number)), stream)


def popped(tape, device, stream=None):
    """The number of the newest item, which is checked as a whole."""
    values = device.read(tape.pop(stream=stream), stream)
    number = values[0] / 1000.0
    np.testing.assert_array_equal(values, item(number))
    return int(number)


def pop_all(tape, device, numbers, stream=None):
    """Check that the newest items are these, oldest first."""
    for number in reversed(list(numbers)):
        assert popped(tape, device, stream) == number


__all__ = ["PER_SLAB", "SLAB", "WIDTH", "FakeDevice", "item", "pop_all", "popped", "push_all", "small"]
