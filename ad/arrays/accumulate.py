"""Adjoints are added up here: what was broadcast forward is summed backward.

    add_to(xb, value)        xb += value, summed over the axes along which x was broadcast
    add_fitting(xb, value)   the same where nothing was broadcast
    xb += total(value)       the same for a scalar x
    eb = take_and_clear(ub)  the adjoint of ``u[...] = e``, ub being the same view of the adjoint of u
    zero(ub)                 the adjoint of ``u[...] = constant``

The adjoint of a real variable is real: of a complex value it takes the real part.  Long sums are sums of sums, nearly
as exact as NumPy's pairwise ones (Higham, The accuracy of floating point summation, SIAM J. Sci. Comput. 14, 1993).
"""

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import lower_builtin, register_jitable, type_callable

from ad.arrays.compiled import Function, compiled, guarded, is_array, is_complex, specialised
from ad.arrays.evaluate import add_array
from ad.arrays.known import ADDS, FITTING, FRESH, SUMS

__all__ = ["add_fitting", "add_to", "cascade_sum", "narrow", "overlap", "take_and_clear", "total", "zero"]


@specialised
def narrow(value: Any, target: Any) -> Function:
    """`value`, or its real part where it is complex and `target` real."""
    if is_complex(value) and not is_complex(target):
        return lambda value, target: value.real
    return lambda value, target: value


# ----------------------------------------------------------------------------------------- overlap


@register_jitable
def _extent(a: Any) -> tuple[int, int]:
    """The addresses between which the elements of an array lie."""
    low = a.ctypes.data
    if a.size == 0:
        return low, low
    high = low + a.itemsize
    for n, stride in zip(a.shape, a.strides):
        if stride > 0:
            high += (n - 1) * stride
        else:
            low += (n - 1) * stride
    return low, high


@register_jitable
def overlap(a: Any, b: Any) -> bool:
    """Whether two arrays may share memory; one address range is all that is looked at."""
    low, high = _extent(a)
    begin, end = _extent(b)
    return low < end and begin < high


# ------------------------------------------------------------------------------------------ adding


def add_to(target: Any, value: Any) -> None:
    """Add a contribution to the adjoint of an array, in place.

    Parameters
    ----------
    target:
        The adjoint: an array or view of any layout and number of dimensions.
    value:
        A scalar, or an array whose shape broadcasts with that of `target`.  Along axes that `target` lacks, or where it
        has length 1, `value` is summed; along axes that `value` lacks it is repeated.  It may share memory with
        `target`.  It is converted to the dtype of `target`.

    Raises ValueError where the shapes do not broadcast.
    """
    value = np.asarray(narrow(value, target))
    try:
        shape = np.broadcast_shapes(target.shape, value.shape)
    except ValueError:
        raise ValueError("the shapes of an adjoint and of a contribution to it do not broadcast") from None
    ahead = len(shape) - target.ndim
    repeated = tuple(k for k, n in enumerate(target.shape, ahead) if n == 1 and shape[k] != 1)
    summed = np.broadcast_to(value, shape).sum((*range(ahead), *repeated), keepdims=True)
    target += summed.reshape(summed.shape[ahead:]).astype(target.dtype)


def add_fitting(target: Any, value: Any) -> None:
    """The same for an array that surely has the shape of `target`: it may become part of what that is made of."""
    add_to(target, value)


@type_callable(add_to)
@type_callable(add_fitting)
def _type_of_add_to(_: Any) -> Function:
    # Not an overload, which Numba compiles for every pair of types when it finds types.
    def typed(target: Any, value: Any) -> Any:
        number = value.dtype if isinstance(value, types.Array) else types.unliteral(value)
        if isinstance(target, types.Array) and target.mutable and isinstance(number, types.Number | types.Boolean):
            return types.none
        return None

    return typed


@lower_builtin(add_to, types.Array, types.Any)
@lower_builtin(add_fitting, types.Array, types.Array)
def _lower_add_to(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    if signature.args[0].ndim == 0:
        return context.compile_internal(builder, _add_total, signature, args)
    return add_array(context, builder, signature, args)


def _add_total(target: Any, value: Any) -> None:
    target[()] += total(narrow(value, target))


# ----------------------------------------------------------------------------------------- summing


_SHORT, _LONGER, _LONG = 128, 64 * 128, 64 * 64 * 128
"""Parts of these lengths have a sum of their own: no chain of additions is longer than 64 up to 33 million."""


@guarded
def cascade_sum(a: Any, start: int, n: int) -> Any:
    """The sum of `n` elements from `start` on."""
    # One function for all lengths, with loops: each further function costs compilation, and one that is compiled with
    # a recursive function (as NumPy's sum is) crashes when it is loaded from Numba's cache (numba issue 6061).
    stop = start + n
    zero = a.dtype.type(0)
    s = zero
    for i in range(start, stop, _LONG):
        long_stop, long_sum = min(i + _LONG, stop), zero
        for j in range(i, long_stop, _LONGER):
            longer_stop, longer_sum = min(j + _LONGER, long_stop), zero
            for k in range(j, longer_stop, _SHORT):
                end, short_sum = min(k + _SHORT, longer_stop), zero
                if end - k >= 8:  # eight partial sums, which fit in vector registers
                    s0, s1, s2, s3 = a[k], a[k + 1], a[k + 2], a[k + 3]
                    s4, s5, s6, s7 = a[k + 4], a[k + 5], a[k + 6], a[k + 7]
                    for m in range(k + 8, end - 7, 8):
                        s0 += a[m]
                        s1 += a[m + 1]
                        s2 += a[m + 2]
                        s3 += a[m + 3]
                        s4 += a[m + 4]
                        s5 += a[m + 5]
                        s6 += a[m + 6]
                        s7 += a[m + 7]
                    short_sum = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
                    k = end - (end - k) % 8
                for m in range(k, end):
                    short_sum += a[m]
                longer_sum += short_sum
            long_sum += longer_sum
        s += long_sum
    return s


@specialised
def total(value: Any) -> Function:
    """The sum of all elements; of a scalar, itself."""

    def of_array(value: Any) -> Any:
        return cascade_sum(np.ascontiguousarray(value).reshape(value.size), 0, value.size)

    return of_array if is_array(value) else (lambda value: value)


@compiled
def take_and_clear(view: Any) -> Any:
    """A copy of the elements of an array or view, which are then set to zero."""
    taken = view.copy()
    view[...] = 0
    return taken


@compiled
def zero(view: Any) -> None:
    """Set all elements of an array or view to zero."""
    view[...] = 0


ADDS.update({add_to, add_fitting})
FITTING.add(add_fitting)
FRESH.add(take_and_clear)
SUMS.add(total)
