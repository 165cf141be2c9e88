"""Rules of np.linalg; forward, Numba compiles all but norms along an axis.

    np.linalg.norm(x, ord, axis, keepdims)   array_norm(x, ord, axis, keepdims); norm_vjp(g, ans, x, ord, axis)
    np.linalg.inv(a)                         inv_vjp(g, ans)
    np.linalg.solve(a, b)                    solve_vjp_matrix(g, ans, a), solve_vjp_right(g, a)
    np.linalg.det(a)                         det_vjp(g, a): exact for singular matrices, too
    np.linalg.slogdet(a)                     slogdet_vjp(g, a), where g is the adjoint of the logarithm
    np.linalg.cholesky(a)                    cholesky_vjp(g, ans): of the lower triangle, all that is read

As they are registered:

    defvjp(
        np.linalg.norm, lambda g, ans, x, ord=None, axis=None, keepdims=False: call(norm_vjp, g, ans, x, ord, axis)
    )
    defvjp(np.linalg.inv, lambda g, ans, a: call(inv_vjp, g, ans))
    defvjp(
        np.linalg.solve,
        lambda g, ans, a, b: call(solve_vjp_matrix, g, ans, a),
        lambda g, ans, a, b: call(solve_vjp_right, g, a),
    )
    defvjp(np.linalg.det, lambda g, ans, a: call(det_vjp, g, a))
    defvjp(np.linalg.cholesky, lambda g, ans, a: call(cholesky_vjp, g, ans))

Norms are those of vectors: of order 2 (also None), 1, inf, -inf or any other number, of all elements or along one
axis; None of a whole matrix is the Frobenius norm.  Where a norm is 0 its derivative is taken to be 0, as for abs at 0;
inf and -inf give all to the first of the largest or smallest elements.

The formulas: M. B. Giles, Collected matrix derivative results for forward and reverse mode algorithmic differentiation,
2008; cholesky: I. Murray, Differentiation of the Cholesky decomposition, arXiv:1602.07527.
"""

from typing import Any

import numpy as np
from numba import types

from ad.arrays.axes import fold, fold_result, reduced_count, unfold, unfold_result
from ad.arrays.compiled import Function, as_float, compiled, guarded, is_none, literal, specialised
from ad.arrays.known import WRITES_NOTHING
from ad.arrays.linear import array_matmul
from ad.arrays.reductions import prod_vjp, to_largest, to_smallest

__all__ = [
    "array_norm",
    "cholesky_vjp",
    "det_vjp",
    "inv_vjp",
    "norm_vjp",
    "slogdet_vjp",
    "solve_vjp_matrix",
    "solve_vjp_right",
]


# --------------------------------------------------------------------------------------------------- norms


@guarded
def _euclidean(x: Any) -> Any:
    out = np.zeros((x.shape[0], x.shape[2]), x.real.dtype)
    for o in range(x.shape[0]):
        for k in range(x.shape[1]):
            for i in range(x.shape[2]):
                out[o, i] += x[o, k, i].real ** 2 + x[o, k, i].imag ** 2
    for o in range(x.shape[0]):
        for i in range(x.shape[2]):
            out[o, i] = np.sqrt(out[o, i])
    return out


@guarded
def _euclidean_rule(g: Any, ans: Any, x: Any) -> Any:
    out = np.zeros_like(x)
    for o in range(x.shape[0]):
        for k in range(x.shape[1]):
            for i in range(x.shape[2]):
                if ans[o, i] != 0.0:
                    out[o, k, i] = g[o, i] * x[o, k, i].conjugate() / ans[o, i]
    return out


@guarded
def _norm(x: Any, p: float) -> Any:
    outer, n, inner = x.shape
    out = np.zeros((outer, inner), x.real.dtype)
    for o in range(outer):
        for k in range(n):
            for i in range(inner):
                m = np.abs(x[o, k, i])
                if np.isinf(p):
                    if k == 0 or m != m or (m > out[o, i] if p > 0.0 else m < out[o, i]):
                        out[o, i] = m
                else:
                    out[o, i] += m != 0.0 if p == 0.0 else m**p
        for i in range(inner):
            if p != 0.0 and not np.isinf(p):
                out[o, i] **= 1.0 / p
    return out


@guarded
def _norm_rule(g: Any, ans: Any, x: Any, p: float) -> Any:
    """`g` times the derivative by the modulus, times the derivative of the modulus, which is 0 at 0."""
    out, m = np.zeros_like(x), np.abs(x)
    chosen = to_largest(m, g) if p > 0.0 else to_smallest(m, g)
    for o in range(x.shape[0]):
        for k in range(x.shape[1]):
            for i in range(x.shape[2]):
                if m[o, k, i] == 0.0:
                    continue
                d = x[o, k, i].conjugate() / m[o, k, i]
                if np.isinf(p):
                    out[o, k, i] = chosen[o, k, i] * d
                elif p != 0.0 and ans[o, i] != 0.0:
                    out[o, k, i] = g[o, i] * (m[o, k, i] / ans[o, i]) ** (p - 1.0) * d
    return out


def _is_euclidean(x: Any, order: Any, axis: Any) -> bool:
    """Whether a norm has order 2.  Raises TypeError for norms of matrices."""
    if is_none(order):
        return True
    axis = literal(axis, "axis")
    if isinstance(axis, tuple) or (x.ndim > 1 and axis is None):
        raise TypeError("np.linalg.norm of a matrix is supported for ord=None only: name an axis for norms of vectors")
    return bool((order.literal_value if isinstance(order, types.Literal) else order) == 2)


@specialised
def _norms(x: Any, order: Any, axis: Any) -> Function:
    if _is_euclidean(x, order, axis):
        return lambda x, order, axis: _euclidean(fold(as_float(x), axis))

    def implementation(x: Any, order: Any, axis: Any) -> Any:
        if np.isinf(order) and reduced_count(x, axis) == 0:
            raise ValueError("the largest or smallest of no elements: a norm of a zero-size array")
        return _norm(fold(as_float(x), axis), float(order))

    return implementation


@specialised
def _norm_rules(g: Any, ans: Any, x: Any, order: Any, axis: Any) -> Function:
    if _is_euclidean(x, order, axis):
        return lambda g, ans, x, order, axis: _euclidean_rule(
            fold_result(g, x, axis), fold_result(ans, x, axis), fold(x, axis)
        )
    return lambda g, ans, x, order, axis: _norm_rule(
        fold_result(g, x, axis), fold_result(ans, x, axis), fold(x, axis), float(order)
    )


@compiled
def array_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """np.linalg.norm of vectors.  Raises ValueError for the largest of no elements, TypeError for norms of matrices."""
    return unfold_result(_norms(x, ord, axis), x, axis, keepdims)


@compiled
def norm_vjp(g: Any, ans: Any, x: Any, ord: Any = None, axis: Any = None) -> Any:
    """The rule of np.linalg.norm."""
    return unfold(_norm_rules(g, ans, x, ord, axis), x, axis)


# ------------------------------------------------------------------------------------- systems of equations


@compiled
def inv_vjp(g: Any, ans: Any) -> Any:
    """The rule of np.linalg.inv."""
    return -array_matmul(ans.T, array_matmul(g, ans.T))


@compiled
def solve_vjp_right(g: Any, a: Any) -> Any:
    """The rule of np.linalg.solve for the right-hand side."""
    return np.linalg.solve(a.T, g)


@specialised
def solve_vjp_matrix(g: Any, ans: Any, a: Any) -> Function:
    """The rule of np.linalg.solve for the matrix."""
    if ans.ndim == 1:
        return lambda g, ans, a: -np.expand_dims(np.linalg.solve(a.T, g), 1) * ans
    return lambda g, ans, a: -array_matmul(np.linalg.solve(a.T, g), ans.T)


@compiled
def det_vjp(g: Any, a: Any) -> Any:
    """The rule of np.linalg.det: the cofactors, by a singular value decomposition, without a division."""
    if a.size == 0:
        return np.zeros_like(a)
    u, s, vh = np.linalg.svd(a)
    cofactors = array_matmul(np.conj(u) * prod_vjp(1.0, s), np.conj(vh))
    return g * np.linalg.det(u) * np.linalg.det(vh) * cofactors


@compiled
def slogdet_vjp(g: Any, a: Any) -> Any:
    """The rule of np.linalg.slogdet for the logarithm."""
    return g * np.linalg.inv(a).T


@compiled
def cholesky_vjp(g: Any, ans: Any) -> Any:
    """The rule of np.linalg.cholesky for real matrices: what it does not read gets 0."""
    half = np.tril(array_matmul(ans.T, g))
    for i in range(len(half)):
        half[i, i] *= 0.5
    s = np.linalg.solve(ans.T, np.linalg.solve(ans.T, half.T).T)
    out = np.tril(s + s.T)
    for i in range(len(out)):
        out[i, i] *= 0.5
    return out


WRITES_NOTHING.update(globals()[_name] for _name in __all__)
