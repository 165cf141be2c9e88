"""Tapes with a GPU: device memory as a layer above or below those of the host.

* `DeviceTape` holds arrays of a program that runs on a GPU; what has no room there moves to the host and to disk.
* `DeviceStore` lends device memory to host tapes, as the place they spill to.
* `Tape.to_device` and `Tape.from_device` copy host tapes.
* `tape.cuda.lanes` has the stacks that the threads of a kernel keep.

Needs the extra ``cuda`` (the package ``numba-cuda``), and a GPU when something is made, not when this is imported.
"""

from tape.cuda.devicetape import DeviceTape
from tape.cuda.marks import DeviceMark
from tape.cuda.pinned import release_pinned
from tape.cuda.select import available
from tape.cuda.stats import DeviceStats
from tape.cuda.store import DeviceStore

__all__ = ["DeviceMark", "DeviceStats", "DeviceStore", "DeviceTape", "available", "release_pinned"]
