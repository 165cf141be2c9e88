"""Products of vectors and matrices, diagonals, and their rules.

Forward.  Numba compiles ``@`` and np.dot for floats of one dtype, with a warning where an array is not contiguous:

    a @ b, np.matmul, np.dot(a, b)   array_matmul(a, b): one or two dimensions, any layouts and dtypes; a scalar, too
    np.inner(a, b)                   array_matmul(a, b), of matrices array_matmul(a, b.T)
    np.outer(a, b)                   array_outer(a, b): the same as Numba's, but compiled ten times as fast

Rules:

    a @ b, np.dot, np.matmul   matmul_vjp_left(g, a, b), matmul_vjp_right(g, a, b)
    np.outer(a, b)             outer_vjp_left(g, a, b), outer_vjp_right(g, a, b)
    np.cross(a, b)             np.cross(b, g), np.cross(g, a); vectors of three
    np.trace(x, offset)        trace_vjp(g, x, offset)
    np.diag(x, k)              diag_vjp(g, x, k), of a vector or a matrix
    np.tril, np.triu(x, k)     np.tril, np.triu(g, k)

As they are registered:

    for f in (operator.matmul, np.matmul, np.dot):
        defvjp(
            f,
            lambda g, ans, a, b: call(matmul_vjp_left, g, a, b),
            lambda g, ans, a, b: call(matmul_vjp_right, g, a, b),
        )
    defvjp(
        np.outer,
        lambda g, ans, a, b: call(outer_vjp_left, g, a, b),
        lambda g, ans, a, b: call(outer_vjp_right, g, a, b),
    )
    defvjp(np.cross, lambda g, ans, a, b: call(np.cross, b, g), lambda g, ans, a, b: call(np.cross, g, a))
    defvjp(np.trace, lambda g, ans, x, offset=0: call(trace_vjp, g, x, offset))
    defvjp(np.diag, lambda g, ans, x, k=0: call(diag_vjp, g, x, k))
    defvjp(np.tril, lambda g, ans, x, k=0: call(np.tril, g, k))
    defvjp(np.triu, lambda g, ans, x, k=0: call(np.triu, g, k))

Floats go through BLAS, which Numba takes from SciPy; without SciPy, and for ints, loops do the work.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np
from numba.extending import register_jitable

from ad.arrays.compiled import Function, compiled, dtype_of, guarded, specialised
from ad.arrays.known import WRITES_NOTHING
from ad.arrays.moves import array_diagonal

__all__ = [
    "array_matmul",
    "array_outer",
    "diag_vjp",
    "matmul_vjp_left",
    "matmul_vjp_right",
    "outer_vjp_left",
    "outer_vjp_right",
    "trace_vjp",
]

_HAS_BLAS = find_spec("scipy") is not None


# ------------------------------------------------------------------------------------------------ products


@guarded
def _loops(a: Any, b: Any, out: Any) -> Any:
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out


def _ndim(argument: Any) -> int:
    return getattr(argument, "ndim", 0)


def _operand(x: Any, dtype: Any) -> Function:
    """The function that makes `x` contiguous and of this dtype, where it is not."""
    contiguous, converted, scalar_type = getattr(x, "layout", "A") in "CF", dtype_of(x) == dtype, dtype.type

    @register_jitable
    def unchanged(x: Any) -> Any:
        return x

    @register_jitable
    def copied(x: Any) -> Any:
        return np.ascontiguousarray(x)

    @register_jitable
    def cast(x: Any) -> Any:
        return x.astype(scalar_type)

    if not converted:
        return cast
    return unchanged if contiguous else copied


@specialised
def array_matmul(a: Any, b: Any) -> Function:
    """``a @ b`` of vectors and matrices, or np.dot, which also multiplies by a scalar.

    Raises ValueError where the shapes do not fit, TypeError for arrays of more than two dimensions.
    """
    dims = _ndim(a), _ndim(b)
    if 0 in dims:
        return lambda a, b: a * b
    if max(dims) > 2:
        raise TypeError("a product of arrays of more than two dimensions is not supported: loop over the first axes")
    dtype = np.result_type(dtype_of(a), dtype_of(b))
    if _HAS_BLAS and dtype.char in "fdFD":
        left, right = _operand(a, dtype), _operand(b, dtype)
        return lambda a, b: np.dot(left(a), right(b))

    scalar_type = dtype.type

    @register_jitable
    def product(a: Any, b: Any) -> Any:
        if a.shape[1] != b.shape[0]:
            raise ValueError("the shapes of the factors of a matrix product do not fit")
        return _loops(a, b, np.zeros((a.shape[0], b.shape[1]), scalar_type))

    match dims:
        case 1, 1:
            return lambda a, b: product(np.expand_dims(a, 0), np.expand_dims(b, 1))[0, 0]
        case 1, 2:
            return lambda a, b: product(np.expand_dims(a, 0), b)[0]
        case 2, 1:
            return lambda a, b: product(a, np.expand_dims(b, 1))[:, 0]
    return lambda a, b: product(a, b)


@specialised
def matmul_vjp_left(g: Any, a: Any, b: Any) -> Function:
    """The rule of ``a @ b`` and np.dot for `a`."""
    match _ndim(a), _ndim(b):
        case 1 | 2, 2:
            return lambda g, a, b: array_matmul(g, b.T)
        case 2, 1:
            return lambda g, a, b: np.expand_dims(g, 1) * b
    return lambda g, a, b: g * b


@specialised
def matmul_vjp_right(g: Any, a: Any, b: Any) -> Function:
    """The rule of ``a @ b`` and np.dot for `b`."""
    match _ndim(a), _ndim(b):
        case 2, 1 | 2:
            return lambda g, a, b: array_matmul(a.T, g)
        case 1, 2:
            return lambda g, a, b: np.expand_dims(a, 1) * g
    return lambda g, a, b: g * a


@register_jitable
def _flat(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(x.size)


@compiled
def array_outer(a: Any, b: Any) -> Any:
    """np.outer."""
    return np.expand_dims(_flat(a), 1) * _flat(b)


@compiled
def outer_vjp_left(g: Any, a: Any, b: Any) -> Any:
    """The rule of np.outer for `a`."""
    return array_matmul(g, _flat(b)).reshape(a.shape)


@compiled
def outer_vjp_right(g: Any, a: Any, b: Any) -> Any:
    """The rule of np.outer for `b`."""
    return array_matmul(_flat(a), g).reshape(b.shape)


# ----------------------------------------------------------------------------------------------- diagonals


@compiled
def trace_vjp(g: Any, x: Any, offset: int = 0) -> Any:
    """The rule of np.trace."""
    out = np.zeros(x.shape, x.dtype)
    array_diagonal(out, offset)[:] = g
    return out


@specialised
def diag_vjp(g: Any, x: Any, k: Any) -> Function:
    """The rule of np.diag: a diagonal of `g` for a vector, a matrix with the diagonal `g` for a matrix."""
    if x.ndim == 1:
        return lambda g, x, k: array_diagonal(g, k)
    return lambda g, x, k: trace_vjp(g, x, k)


WRITES_NOTHING.update(globals()[_name] for _name in __all__)
