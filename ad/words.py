"""temporary"""

import numpy as np
from numba import njit
from numba.extending import overload

from ad.runtime import pop, pop_int
from tape.numba import push


@njit
def push_array(t, a):
    for x in a.flat:
        push(t, float(x))
    for n in a.shape:
        push(t, n)


@njit
def push_shape(t, a):
    for n in a.shape:
        push(t, n)


def _shape(t, ndim):
    pass


@overload(_shape, prefer_literal=True)
def _shape_o(t, ndim):
    n = ndim.literal_value
    if n == 1:

        def f(t, ndim):
            return (pop_int(t),)
    elif n == 2:

        def f(t, ndim):
            b = pop_int(t)
            a = pop_int(t)
            return (a, b)
    else:

        def f(t, ndim):
            c = pop_int(t)
            b = pop_int(t)
            a = pop_int(t)
            return (a, b, c)

    return f


def pop_array(t, dtype, ndim):
    pass


@overload(pop_array, prefer_literal=True)
def pop_array_o(t, dtype, ndim):
    def f(t, dtype, ndim):
        a = np.empty(_shape(t, ndim), dtype)
        b = a.reshape(a.size)
        for i in range(a.size - 1, -1, -1):
            b[i] = pop(t)
        return a

    return f


def pop_empty(t, dtype, ndim):
    pass


@overload(pop_empty, prefer_literal=True)
def pop_empty_o(t, dtype, ndim):
    def f(t, dtype, ndim):
        return np.empty(_shape(t, ndim), dtype)

    return f


@njit
def pop_into(t, a):
    for n in a.shape:
        pop_int(t)
    b = np.empty(a.size, a.dtype)
    for i in range(a.size - 1, -1, -1):
        b[i] = pop(t)
    a[...] = b.reshape(a.shape)
