"""Device arrays of others, by the protocols that they share.

Sources: the CUDA array interface, version 3 (Numba's documentation), with its rule for streams; DLPack's C structs
(``dlpack.h``), with the rule for streams of the Python array API.
"""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tape.cuda.device import Source
from tape.errors import DeviceError, TapeTypeError, TapeValueError

__all__ = ["foreign_array"]

_CUDA, _CUDA_MANAGED = 2, 13  # kDLCUDA, kDLCUDAManaged
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}


class _Tensor(ctypes.Structure):
    """``DLTensor``, the first member of ``DLManagedTensor``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]


def foreign_array(array: Any, stream: int, follow: Callable[[int], None], ordinal: int, name: str) -> Source:
    """The memory of an array that speaks one of the protocols.

    `follow` makes our stream wait for another one, given by its handle; `stream` is the handle of ours, for a producer
    that does this itself; `ordinal` is the number of the device that the array must be on, where the protocol tells.
    """
    described = getattr(array, "__cuda_array_interface__", None)
    if described is not None:
        return _by_interface(array, described, follow, name)
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        kind, number = array.__dlpack_device__()
        if kind in (_CUDA, _CUDA_MANAGED):
            if number != ordinal:
                raise DeviceError(f"{name}: it is on device {number}, and the tape on device {ordinal}")
            return _by_dlpack(array, stream, name)
    where = "lies in host memory" if hasattr(array, "__array_interface__") else "has none"
    raise TapeTypeError(
        f"{name}: an array in device memory is wanted (with __cuda_array_interface__ or __dlpack__), and "
        f"{type(array).__name__} {where}"
    )


def _by_interface(array: Any, described: dict[str, Any], follow: Callable[[int], None], name: str) -> Source:
    if described.get("mask") is not None:
        raise TapeTypeError(f"{name}: a masked array")
    dtype = np.dtype(described["typestr"])
    told = getattr(array, "dtype", None)
    if dtype.kind == "V" and isinstance(told, np.dtype) and told.itemsize == dtype.itemsize:
        dtype = told  # the interface tells the size of a record alone
    shape = tuple(described["shape"])
    strides = described.get("strides")
    if strides is not None:
        _check_contiguous(shape, tuple(strides), dtype.itemsize, name)
    producer = described.get("stream")
    if producer is not None:
        follow(producer)
    address, readonly = described["data"]
    return Source(address, shape, dtype, array, readonly)


def _by_dlpack(array: Any, stream: int, name: str) -> Source:
    # To DLPack the default stream is 1; 0 is refused as ambiguous.
    capsule = array.__dlpack__(stream=stream or 1)
    tensor = ctypes.cast(_pointer_of(capsule, b"dltensor"), ctypes.POINTER(_Tensor))[0]
    kind = _KINDS.get(tensor.code)
    if kind is None or tensor.lanes != 1 or tensor.bits % 8:
        raise TapeTypeError(f"{name}: NumPy has no dtype for DLPack's type {tensor.code} of {tensor.bits} bits")
    dtype = np.dtype(f"{kind}{tensor.bits // 8}")
    shape = tuple(tensor.shape[: tensor.ndim])
    if tensor.strides:
        strides = tuple(s * dtype.itemsize for s in tensor.strides[: tensor.ndim])
        _check_contiguous(shape, strides, dtype.itemsize, name)
    # Nobody took the capsule over, so it frees what it holds when it goes.
    return Source((tensor.data or 0) + tensor.byte_offset, shape, dtype, (array, capsule))


def _check_contiguous(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int, name: str) -> None:
    if math.prod(shape) == 0:
        return
    expected = itemsize
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1 and stride != expected:
            raise TapeValueError(f"{name}: a strided array; make it contiguous (C order) first")
        expected *= length
