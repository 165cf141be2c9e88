"""The device that a tape gets which is not given one."""

import importlib.util
import threading
from typing import TYPE_CHECKING

from tape.errors import DeviceError

if TYPE_CHECKING:
    from tape.cuda.device import Device

__all__ = ["available", "current_device", "require_numba_cuda"]

_lock = threading.Lock()
_made: "dict[int, Device]" = {}


def require_numba_cuda() -> None:
    """Raises ImportError if the package ``numba-cuda`` is missing."""
    if importlib.util.find_spec("numba_cuda") is None:
        raise ImportError('the CUDA target needs numba-cuda: pip install "layered-tape[cuda]"')


def current_device() -> "Device":
    """The device that is current in Numba for the calling thread, or Numba's simulator of one.

    Raises ImportError if the package ``numba-cuda`` is missing, DeviceError if there is no GPU or driver.
    """
    require_numba_cuda()
    from numba.cuda.core import config

    with _lock:
        if config.ENABLE_CUDASIM:
            from tape.cuda.simulator import SimulatorDevice

            if -1 not in _made:
                _made[-1] = SimulatorDevice()
            return _made[-1]
        from tape.cuda.numbadevice import NumbaDevice, current_ordinal

        ordinal = current_ordinal()
        if ordinal not in _made:
            _made[ordinal] = NumbaDevice(ordinal)
        return _made[ordinal]


def available() -> bool:
    """Whether there is a device to use: a GPU with its driver, and ``numba-cuda``; or Numba's simulator."""
    try:
        current_device()
    except (ImportError, DeviceError):
        return False
    return True
