"""Dual numbers and arrays of them: values with their derivatives with respect to all inputs.

An array of duals is a NumPy array of records ``(value, slope)``.  Whatever moves data (indexing, views, assignment,
`reshape`, `roll`, `where`) is NumPy's own, so that views and aliases are what they are in NumPy, memory and all.
"""

import operator

import numpy as np

from reference.partials import COMPLEX, NAMES, PARTIALS


def record_type(dtype, width):
    """Records of a value of `dtype` and `width` slopes, which are in double precision always."""
    dtype = np.dtype(dtype)
    return np.dtype([("value", dtype), ("slope", np.complex128 if dtype.kind == "c" else np.float64, (width,))])


def is_dual(x):
    return isinstance(x, Dual | DualArray)


def raw(x):
    """The value without slopes."""
    return x.value if is_dual(x) else x


def wide(x):
    """A value in double precision."""
    x = np.asarray(raw(x))
    return x.astype(np.result_type(x.dtype, np.float64)) if x.dtype.kind in "fc" else x


def dual(value, slope):
    """The dual of a number or an array; the slope may still have to be broadcast."""
    if not isinstance(value, np.ndarray):
        return Dual(value, slope)
    records = np.empty(value.shape, record_type(value.dtype, slope.shape[-1]))
    records["value"] = value
    records["slope"] = slope
    return DualArray(records)


def elementwise(function, *args):
    """A function of math, operator or NumPy, differentiated by its partial derivatives."""
    name = NAMES.get(function.__name__, function.__name__)
    value = function(*(raw(a) for a in args))
    if np.asarray(value).dtype.kind not in "fc":
        return value
    if name in COMPLEX and (name not in PARTIALS or np.iscomplexobj(raw(args[0]))):
        return dual(value, COMPLEX[name](wide(args[0]), args[0].slope))
    values = [wide(a) for a in args]
    slope = np.zeros(next(a.slope.shape[-1] for a in args if is_dual(a)))
    with np.errstate(all="ignore"):
        for a, partial in zip(args, PARTIALS[name], strict=True):
            if partial is not None and is_dual(a) and np.any(a.slope):
                slope = slope + np.asarray(partial(*values, wide(value)))[..., None] * a.slope
    return dual(value, slope)


def _binary(function):
    return (
        lambda self, other: elementwise(function, self, other),
        lambda self, other: elementwise(function, other, self),
    )


def _comparison(function):
    return lambda self, other: function(self.value, raw(other))


class _Operators:
    """What numbers and arrays have in common."""

    __array_ufunc__ = None  # NumPy's own arrays and numbers leave arithmetic to the methods here
    __hash__ = None

    __add__, __radd__ = _binary(operator.add)
    __sub__, __rsub__ = _binary(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul)
    __truediv__, __rtruediv__ = _binary(operator.truediv)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv)
    __mod__, __rmod__ = _binary(operator.mod)
    __pow__, __rpow__ = _binary(operator.pow)
    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)
    __eq__ = _comparison(operator.eq)
    __ne__ = _comparison(operator.ne)

    def __neg__(self):
        return elementwise(operator.neg, self)

    def __pos__(self):
        return elementwise(operator.pos, self)

    def __abs__(self):
        return elementwise(operator.abs, self)

    def __bool__(self):
        return bool(self.value)

    def __repr__(self):
        return f"{type(self).__name__}({self.value!r}, {self.slope!r})"

    def __format__(self, how):
        return format(self.value, how)

    @property
    def real(self):
        return elementwise(np.real, self)

    @property
    def imag(self):
        return elementwise(np.imag, self)

    def conjugate(self):
        return elementwise(np.conjugate, self)

    conj = conjugate


class Dual(_Operators):
    """A number and its slopes.  The value keeps its type, Python's or NumPy's: they promote differently."""

    __slots__ = ("slope", "value")

    def __init__(self, value, slope):
        self.value = value
        self.slope = slope

    def __int__(self):
        return int(self.value)

    def __round__(self, digits=None):
        return round(self.value) if digits is None else Dual(round(self.value, digits), 0.0 * self.slope)

    def item(self):
        return Dual(getattr(self.value, "item", lambda: self.value)(), self.slope)


class DualArray(_Operators):
    """An array of records ``(value, slope)``."""

    __slots__ = ("records",)

    def __init__(self, records):
        self.records = records

    value = property(lambda self: self.records["value"])
    slope = property(lambda self: self.records["slope"])
    width = property(lambda self: self.records.dtype["slope"].shape[0])
    dtype = property(lambda self: self.records.dtype["value"])
    shape = property(lambda self: self.records.shape)
    size = property(lambda self: self.records.size)
    ndim = property(lambda self: self.records.ndim)
    T = property(lambda self: DualArray(self.records.T))

    def __array__(self, *_, **__):
        raise TypeError("an array of duals has come to a function of NumPy that does not know duals")

    def __len__(self):
        return len(self.records)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        return unpacked(self.records[index])

    def __setitem__(self, index, value):
        self.records[index] = records_of(value, self.records.dtype)

    def __matmul__(self, other):
        return bilinear(np.matmul)(self, other)

    def __rmatmul__(self, other):
        return bilinear(np.matmul)(other, self)


def _inplace(function):
    """Augmented assignment writes into an array; the result is as if operands did not overlap, as in NumPy."""

    def augmented(self, other):
        found = elementwise(function, self, other)
        if not np.can_cast(found.value.dtype, self.dtype, "same_kind"):
            raise TypeError(f"cannot write {found.value.dtype} into an array of {self.dtype}")
        if np.shape(found.value) != self.shape:
            raise ValueError(f"cannot write shape {np.shape(found.value)} into an array of shape {self.shape}")
        self[...] = found
        return self

    return augmented


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(DualArray, f"__i{_name}__", _inplace(getattr(operator, _name)))


def unpacked(found):
    """A dual for what NumPy gives for records: an array, or one record, which is copied."""
    if isinstance(found, np.ndarray):
        return DualArray(found)
    return Dual(found["value"], found["slope"].copy())


def records_of(x, dtype):
    """An array of records of this type with the values of `x`; its own memory where the type is right already."""
    if isinstance(x, DualArray):
        return x.records.astype(dtype, copy=False)
    records = np.zeros(np.shape(raw(x)), dtype)
    records["value"] = raw(x)
    if isinstance(x, Dual):
        records["slope"] = x.slope
    return records


def bilinear(function):
    """A product of two arguments: linear in each."""

    def call(a, b, **kwargs):
        value = function(raw(a), raw(b), **kwargs)
        parts = []
        if is_dual(a):
            parts.append([function(a.slope[..., k], wide(b), **kwargs) for k in range(a.slope.shape[-1])])
        if is_dual(b):
            parts.append([function(wide(a), b.slope[..., k], **kwargs) for k in range(b.slope.shape[-1])])
        return dual(value, np.stack([sum(slopes) for slopes in zip(*parts, strict=True)], axis=-1))

    return call
