"""NumPy's functions on duals, in groups by how they are differentiated."""

import math
import operator

import numpy as np

from reference.clones import mapped
from reference.dual import (
    Dual,
    DualArray,
    bilinear,
    dual,
    elementwise,
    is_dual,
    raw,
    record_type,
    records_of,
    unpacked,
)
from reference.leaves import empty_like

FUNCTIONS = {}
"""By name: what to call when a dual is among the arguments.  What is not here is elementwise."""


def _function(f):
    FUNCTIONS[f.__name__] = f
    return f


def lifted(x, width):
    """Arrays of floats as arrays of duals with zero slopes and the same layout in memory; the rest as it is."""

    def one(x):
        if not isinstance(x, np.ndarray) or x.dtype.kind not in "fc":
            return x
        records = empty_like(x, record_type(x.dtype, width))
        records["value"] = x
        records["slope"] = 0.0
        return DualArray(records)

    return [one(a) for a in x] if isinstance(x, list) else mapped(one, x)


# ---------------------------------------------------------------------------------- what only moves data


def moved(function):
    """NumPy's own function on the records; views stay views."""

    def call(x, *args, **kwargs):
        return unpacked(function(_records(x), *args, **kwargs))

    return call


def _records(x):
    if isinstance(x, DualArray):
        return x.records
    if isinstance(x, list | tuple):
        return common_records(x)
    return records_of(x, _common_type([x]))


def _common_type(items):
    width = next(a.slope.shape[-1] for a in items if is_dual(a))
    return record_type(np.result_type(*(raw(a) for a in items)), width)


def common_records(items):
    """All as records of one type."""
    dtype = _common_type(items)
    return [records_of(a, dtype) for a in items]


for _f in (
    *(np.reshape, np.ravel, np.transpose, np.swapaxes, np.moveaxis, np.squeeze, np.expand_dims, np.copy, np.flip),
    *(np.fliplr, np.flipud, np.rot90, np.roll, np.repeat, np.tile, np.take, np.broadcast_to, np.diagonal, np.diag),
    *(np.triu, np.tril, np.concatenate, np.stack, np.hstack, np.vstack, np.column_stack, np.dstack),
    *(np.asarray, np.ascontiguousarray, np.asfortranarray, np.atleast_1d, np.atleast_2d),
):
    FUNCTIONS[_f.__name__] = moved(_f)
ravel, moveaxis, copy = FUNCTIONS["ravel"], FUNCTIONS["moveaxis"], FUNCTIONS["copy"]


@_function
def split(x, *args, **kwargs):
    return [DualArray(part) for part in np.split(x.records, *args, **kwargs)]


@_function
def where(condition, x, y):
    return DualArray(np.where(condition, *common_records((x, y))))


@_function
def array(x, dtype=None):
    """A new array of an array, a number or nested sequences."""
    if isinstance(x, list | tuple):
        found = np.stack(common_records([array(a) if isinstance(a, list | tuple) else a for a in x]))
    else:
        found = np.array(_records(x))
    return DualArray(found) if dtype is None else astype(DualArray(found), dtype)


@_function
def append(x, values):
    return FUNCTIONS["concatenate"]([ravel(a) if is_dual(a) else np.ravel(a) for a in (x, values)])


@_function
def sort(x):
    return DualArray(np.take_along_axis(x.records, np.argsort(x.value, axis=-1, kind="stable"), -1))


@_function
def astype(x, dtype):
    dtype = np.dtype(dtype)
    if dtype.kind not in "fc":
        return x.value.astype(dtype)
    return DualArray(x.records.astype(record_type(dtype, x.width)))


# ------------------------------------------------------------------------------------------- allocation


def _like(function):
    def call(x, *args, **kwargs):
        return lifted(function(x.value, *args, **kwargs), x.width)

    return call


FUNCTIONS["zeros_like"] = _like(np.zeros_like)
FUNCTIONS["ones_like"] = _like(np.ones_like)
FUNCTIONS["empty_like"] = _like(lambda x, *args, **kwargs: nowhere_read(np.empty_like(x, *args, **kwargs)))


def nowhere_read(x):
    """Uninitialised memory: what depends on it is found out."""
    if x.dtype.kind in "fc":
        x[...] = np.nan
    return x


@_function
def full(shape, fill_value, dtype=None):
    return _filled(np.empty(shape, np.result_type(raw(fill_value)) if dtype is None else dtype), fill_value)


@_function
def full_like(x, fill_value, dtype=None):
    return _filled(np.empty_like(raw(x), dtype), fill_value, x)


def _filled(empty, value, *more):
    if not is_dual(value):
        empty[...] = value
    found = lifted(empty, next(a.slope.shape[-1] for a in (value, *more) if is_dual(a)))
    found[...] = value
    return found


@_function
def linspace(start, stop, num=50):
    parts = np.arange(num) / (num - 1)
    return start * (1.0 - parts) + stop * parts


@_function
def arange(start, stop=None, step=1.0):
    start, stop = (0.0, start) if stop is None else (start, stop)
    return start + np.arange(len(np.arange(raw(start), raw(stop), raw(step)))) * step


# ------------------------------------------------------------------------------------ linear, bilinear


def linear(function):
    def call(x, *args, **kwargs):
        slopes = [function(x.slope[..., k], *args, **kwargs) for k in range(x.slope.shape[-1])]
        return dual(function(x.value, *args, **kwargs), np.stack(slopes, axis=-1))

    return call


for _f in (np.sum, np.mean, np.cumsum, np.diff, np.trace):
    FUNCTIONS[_f.__name__] = linear(_f)
for _f in (np.dot, np.matmul, np.outer, np.inner, np.vdot, np.kron, np.convolve, np.correlate, np.cross, np.tensordot):
    FUNCTIONS[_f.__name__] = bilinear(_f)


# ---------------------------------------------------------------------------------------- the other ones


@_function
def prod(x, axis=None):
    parts = ravel(x) if axis is None else moveaxis(x, axis, 0)
    result = parts[0] * 1.0 if len(parts) else 1.0
    for part in parts[1:]:
        result = result * part
    return result


@_function
def cumprod(x):
    found = copy(ravel(x))
    for i in range(1, len(found)):
        found[i] = found[i - 1] * found[i]
    return found


def _extreme(position):
    def call(x, axis=None):
        if axis is None:
            x, axis = ravel(x), 0
        at = np.expand_dims(position(x.value, axis=axis), axis)
        return unpacked(np.take_along_axis(x.records, at, axis).squeeze(axis)[()])

    return call


FUNCTIONS["max"] = FUNCTIONS["amax"] = _extreme(np.argmax)
FUNCTIONS["min"] = FUNCTIONS["amin"] = _extreme(np.argmin)


@_function
def var(x, axis=None, ddof=0):
    if axis is None:
        x, axis = ravel(x), 0
    deviation = x - FUNCTIONS["mean"](x, axis, keepdims=True)
    return FUNCTIONS["sum"](deviation * deviation, axis) / (x.shape[axis] - ddof)


@_function
def std(x, axis=None, ddof=0):
    return elementwise(np.sqrt, var(x, axis, ddof))


@_function
def clip(x, a_min=None, a_max=None):
    x = x if a_min is None else elementwise(np.maximum, x, a_min)
    return x if a_max is None else elementwise(np.minimum, x, a_max)


@_function
def norm(x):
    return elementwise(np.sqrt, FUNCTIONS["sum"](x * x))


@_function
def round(x, decimals=0):
    return dual(np.round(x.value, decimals), 0.0 * x.slope)


@_function
def frexp(x):
    _, exponent = math.frexp(x.value)
    return x * math.ldexp(1.0, -exponent), exponent


def _plain(function):
    def call(*args, **kwargs):
        return function(*(raw(a) for a in args), **kwargs)

    return call


for _f in (
    *(np.shape, np.size, np.ndim, np.argmax, np.argmin, np.argsort, np.searchsorted, np.any, np.all, np.nonzero),
    *(np.count_nonzero, np.allclose, np.array_equal, np.isclose, np.iscomplexobj, np.result_type),
):
    FUNCTIONS[_f.__name__] = _plain(_f)


# ------------------------------------------------------------------------------------ methods of arrays


def _shaped(name):
    """A method that takes a shape or axes, as one argument or several."""

    def call(self, *args):
        return FUNCTIONS[name](self, args[0] if len(args) == 1 else args or None)

    return call


def _fill(self, value):
    self[...] = value


for _name in (
    *("sum", "prod", "mean", "max", "min", "var", "std", "cumsum", "cumprod", "trace", "dot", "clip", "astype"),
    *("ravel", "squeeze", "repeat", "take", "swapaxes", "diagonal", "argmax", "argmin", "argsort", "any", "all"),
    *("nonzero",),
):
    setattr(DualArray, _name, FUNCTIONS[_name])
DualArray.reshape = _shaped("reshape")
DualArray.transpose = _shaped("transpose")
DualArray.flatten = lambda self: DualArray(self.records.flatten())
DualArray.copy = lambda self: DualArray(self.records.copy())
DualArray.item = lambda self, *index: (self[index] if len(index) > 1 else self.ravel()[index or 0]).item()
DualArray.fill = _fill


# ------------------------------------------------------------------------------------------------ calls


def for_duals(function, width):
    """A function of math or NumPy that takes duals as well, and gives arrays that duals can be written into."""
    name = function.__name__

    def call(*args, **kwargs):
        if not _contains_dual((*args, *kwargs.values())):
            found = function(*args, **kwargs)
            return lifted(nowhere_read(found) if name == "empty" else found, width)
        if name in FUNCTIONS:
            return FUNCTIONS[name](*args, **kwargs)
        if isinstance(function, np.ufunc) and (kwargs or len(args) > function.nin):
            out = kwargs["out"] if kwargs else args[function.nin]
            out[...] = elementwise(function, *args[: function.nin])
            return out
        if name == "log" and len(args) == 2:
            return call(args[0]) / call(args[1])
        return elementwise(function, *args, **kwargs)

    return call


def _contains_dual(x):
    return any(map(_contains_dual, x)) if isinstance(x, list | tuple) else is_dual(x)


class ScalarType:
    """np.float64 and its like: they convert numbers and arrays, and stand for a dtype."""

    def __init__(self, scalar_type):
        self.type = scalar_type
        self.dtype = np.dtype(scalar_type)  # where NumPy looks for it

    def __call__(self, x):
        if isinstance(x, DualArray):
            return astype(x, self.type)
        if not isinstance(x, Dual):
            return self.type(x)
        value = self.type(x.value)
        return Dual(value, x.slope) if isinstance(value, float | complex | np.inexact) else value


def _complex(real, imag=0.0):
    return real + 1j * imag if is_dual(real) or is_dual(imag) else complex(real, imag)


BUILTINS = {"float": ScalarType(float), "complex": _complex, "abs": operator.abs}
