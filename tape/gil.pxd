"""What code without the GIL needs of CPython: whether it has the GIL after all, giving it up, and signals."""

cdef extern from *:
    """
    /* PyGILState_Check() says yes to everybody once the process has had a second interpreter. */
    static inline int lt_has_gil(void) {
    #if PY_VERSION_HEX >= 0x030D0000
        PyThreadState *now = PyThreadState_GetUnchecked();
    #else
        PyThreadState *now = _PyThreadState_UncheckedGet();
    #endif
        return now != NULL && now == PyGILState_GetThisThreadState();
    }
    """
    bint lt_has_gil() noexcept nogil

cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass
    int PyErr_CheckSignals() noexcept nogil
    PyThreadState *PyEval_SaveThread() noexcept nogil
    void PyEval_RestoreThread(PyThreadState *state) noexcept nogil
    ctypedef int PyGILState_STATE
    PyGILState_STATE PyGILState_Ensure() noexcept nogil
    void PyGILState_Release(PyGILState_STATE state) noexcept nogil
    int PyOS_InterruptOccurred() noexcept nogil

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() noexcept nogil
