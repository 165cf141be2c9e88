"""`xxh64`, the checksum of spilled and saved slabs, for Python."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from tape.xxh64 cimport lt_xxh64

from tape.errors import TapeTypeError, TapeValueError

cdef enum:
    LARGE = 32768   # bytes that take longer than giving the GIL away and getting it back


def xxh64(buffer):
    """The XXH64 of the bytes of `buffer` (with the seed 0), an int.  Other threads run while a large one is read.

    Parameters
    ----------
    buffer : bytes-like
        C-contiguous; of a NumPy array its memory counts.

    Raises
    ------
    TapeTypeError
        If `buffer` is no memory.  `TapeValueError` if it is not contiguous.
    """
    cdef Py_buffer view
    cdef unsigned long long found
    try:
        PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    except TypeError:
        raise TapeTypeError(f"buffer: bytes or an array, not {type(buffer).__name__}") from None
    except (BufferError, ValueError) as error:
        raise TapeValueError(f"buffer: {error}; contiguous memory is wanted (see numpy.ascontiguousarray)") from None
    try:
        if view.len < LARGE:
            found = lt_xxh64(view.buf, view.len)
        else:
            with nogil:
                found = lt_xxh64(view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return found
