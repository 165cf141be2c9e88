"""Arrays in the front end: indices, attributes, methods, and the functions that make arrays."""

import ast
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ad.arraychecks import malformed, mismatch
from ad.arrayrules import METHOD_KEYWORDS, METHODS
from ad.expressions import Expressions, a_kind
from ad.function import kind_of_part
from ad.helpers import astype
from ad.ir import (
    NOTHING,
    Call,
    Const,
    Dtype,
    Expr,
    Index,
    Items,
    Kind,
    Len,
    Marker,
    Select,
    Slice,
    Store,
    Var,
)
from ad.rules import primitive
from ad.source import MISSING, place_of
from ad.values import NONE, FunctionValue, NoneValue, Text, TupleValue, UserFunction, Value

__all__ = ["ArrayExpressions"]

_DTYPES: dict[Any, str] = {float: "float64", int: "int64", bool: "bool", complex: "complex128"}
_DTYPES |= {getattr(np, name): name for name in ("float64", "float32", "complex128", "complex64")}
_DTYPES |= {getattr(np, f"{sign}int{n}"): f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)}
_DTYPES |= {np.bool_: "bool"}

_PAIRS: dict[Any, int] = {np.vstack: 0, np.hstack: 1, np.column_stack: 1}
_WHERE = "np.where takes a condition and two numbers or arrays; for indices write a loop"
_REDUCTIONS = (np.sum, np.prod, np.mean, np.max, np.min, np.any, np.all, np.size)
_LIKE = (np.zeros_like, np.ones_like, np.empty_like, np.full_like)


class ArrayExpressions(Expressions):
    # ------------------------------------------------------------------------------------------- subscripts

    def array_variable(self, node: ast.expr) -> Var:
        """An array by a name; what has none yet gets one."""
        e = self.expr(node)
        if not self.kind(e).is_array:
            self.refuse(f"{ast.unparse(node)} is {a_kind(self.kind(e))}, not an array: it cannot be indexed", node)
        return e if isinstance(e, Var) else self.temporary("part", e, node)

    def subscript(self, node: ast.Subscript) -> Value:
        value = self.value(node.value)
        if isinstance(value, TupleValue):
            return self.item_of(value, node)
        if isinstance(value, Index) and self.kind(value).is_array and _ints_only(value.index, self.kind):
            # a[i][j] is a[i, j]
            place = self.place(value.array, [*_parts(value.index), *self.indices(node.slice)], node)
        else:
            e = self.expr_of(value, node.value)
            if not self.kind(e).is_array:
                self.refuse(f"{ast.unparse(node.value)} is {a_kind(self.kind(e))}: it cannot be indexed", node.value)
            base = e if isinstance(e, Var) else self.temporary("part", e, node)
            place = self.place(base.name, self.indices(node.slice), node)
        return place

    def place(self, array: str, parts: list[Expr], node: ast.expr) -> Index:
        """``array[parts]``, checked."""
        kind = self.build.kinds[array]
        used = 0
        advanced = 0
        for part in parts:
            if isinstance(part, Marker):
                continue
            part_kind = self.kind(part) if not isinstance(part, Slice) else Kind.INT
            used += part_kind.ndim if part_kind.dtype == "bool" else 1
            advanced += part_kind.is_array
        if used > kind.ndim:
            self.refuse(f"{used} indices for an array of {kind.ndim} dimension{'s' * (kind.ndim > 1)}", node)
        if advanced > 1:
            self.refuse("more than one index array at once is not supported by Numba: write a loop", node)
        if advanced and any(isinstance(p, Marker) for p in parts):
            self.refuse("a new axis or ... beside an index array is not supported: index in two steps", node)
        index = parts[0] if len(parts) == 1 else Items(tuple(parts), at=place_of(node))
        return Index(array, index, at=place_of(node))

    def indices(self, node: ast.expr) -> list[Expr]:
        if isinstance(node, ast.Constant) and node.value is ...:
            return [Slice(NOTHING, NOTHING, NOTHING, at=place_of(node))]  # Numba does not read a[...]
        if isinstance(node, ast.Tuple):
            return self.ordered(node.elts, self.index)
        if isinstance(node, ast.Name | ast.Call | ast.Attribute):
            value = self.value(node)
            if isinstance(value, TupleValue):
                return [self.checked_index(self.expr_of(item, node), node) for item in value.items]
            if value == NONE:
                return [Marker("None")]
            return [self.checked_index(self.expr_of(value, node), node)]
        return [self.index(node)]

    def index(self, node: ast.expr) -> Expr:
        match node:
            case ast.Slice(lower=lower, upper=upper, step=step):
                parts = self.ordered((lower, upper, step), self.bound)
                if isinstance(parts[2], Const) and parts[2].value == 0:
                    self.refuse("the step of a slice cannot be 0", node)
                return Slice(parts[0], parts[1], parts[2], at=place_of(node))
            case ast.Constant(value=value) if value is None or value is ...:
                return Marker("None" if value is None else "...")
        if self.resolve(node) is None:  # np.newaxis
            return Marker("None")
        return self.checked_index(self.expr(node), node)

    def bound(self, node: ast.expr | None) -> Expr:
        if node is None or (isinstance(node, ast.Constant) and node.value is None):
            return NOTHING
        return self.integer(node, "a bound of a slice")

    def checked_index(self, e: Expr, node: ast.AST) -> Expr:
        kind = self.kind(e)
        if kind is Kind.INT:
            return e
        if kind.is_array and (kind.dtype == "bool" or not kind.is_float):
            if isinstance(e, Var):
                return e
            return self.temporary("mask" if kind.dtype == "bool" else "index", e, node)
        self.refuse(f"an index must be an int, not {a_kind(kind)}; write int(...)", node)

    def item_of(self, value: TupleValue, node: ast.Subscript) -> Value:
        if isinstance(node.slice, ast.Slice):
            bounds = [
                None if e is None else self.expr(e) for e in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            if all(e is None or isinstance(e, Const) for e in bounds):
                return TupleValue(value.items[slice(*(e.value if isinstance(e, Const) else None for e in bounds))])
        else:
            e = self.expr(node.slice)
            if isinstance(e, Const) and isinstance(e.value, int):
                if not -len(value.items) <= e.value < len(value.items):
                    self.refuse(f"a tuple of {len(value.items)} items has no item {e.value}", node)
                return value.items[e.value]
        self.refuse("a tuple takes constant indices only: use an array, or unpack the tuple", node)

    # ------------------------------------------------------------------------------------------- attributes

    def attribute(self, node: ast.Attribute) -> Value:
        if self.resolve(node) is not MISSING:
            return self.constant(node, node.attr)
        if isinstance(self.resolve(node.value), ModuleType):
            self.refuse(f"{ast.unparse(node)} is not defined", node)
        value = self.value(node.value)
        if isinstance(value, TupleValue):
            fields = getattr(value.cls, "_fields", ())
            if node.attr in fields:
                return value.items[fields.index(node.attr)]
            self.refuse(f"this tuple has no field {node.attr}", node)
        e = self.expr_of(value, node.value)
        kind = self.kind(e)
        if node.attr in ("real", "imag"):
            return self.numpy_call(np.real if node.attr == "real" else np.imag, (e,), {}, node)
        if not kind.is_array:
            self.refuse(f".{node.attr} of a number is not supported", node)
        if node.attr == "ndim":
            return Const(kind.ndim, at=place_of(node))
        if node.attr == "T":
            return self.numpy_call(np.transpose, (e,), {}, node)
        if node.attr == "shape":
            return self.shape(e, node)
        if node.attr == "size":
            base = e if isinstance(e, Var) else self.temporary("part", e, node)
            return Len(base.name, None if kind.ndim > 1 else 0, at=place_of(node))
        self.refuse(f".{node.attr} is not supported: of an array, write .shape, .size, .ndim or .T", node)

    def shape(self, e: Expr, node: ast.AST) -> TupleValue:
        kind = self.kind(e)
        if not kind.is_array:
            return TupleValue(())
        base = e if isinstance(e, Var) else self.temporary("part", e, node)
        return TupleValue(tuple(Len(base.name, axis, at=place_of(node)) for axis in range(kind.ndim)))

    def method(self, node: ast.Call, owner: Expr) -> Value:
        """``array.name(...)``: the function of that name, of the array."""
        assert isinstance(node.func, ast.Attribute)
        name = node.func.attr
        if name == "astype" and len(node.args) == 1 and not node.keywords:
            return self.converted(owner, self.dtype(node.args[0]), node)
        if name in ("conjugate", "conj"):
            return self.numpy_call(np.conj, (owner,), {}, node)
        if name in ("ravel", "flatten") and (node.args or node.keywords):
            self.refuse(f"arguments of {ast.unparse(node.func)}() are not supported", node)
        if not self.kind(owner).is_array or (name not in METHODS and name not in ("ravel", "flatten")):
            self.refuse(
                f"the method call {ast.unparse(node.func)}() is not supported: write a function or a loop", node
            )
        args: list[ast.expr | Value] = [owner, *node.args]
        if name in ("reshape", "transpose") and len(node.args) > 1:
            args = [owner, TupleValue(tuple(self.ordered(node.args, self.value)))]
        if name in ("ravel", "flatten"):
            return self.flat(owner, name, node)
        return self.array_call(METHODS[name], args, node)

    # ----------------------------------------------------------------------------- functions of whole arrays

    def flat(self, e: Expr, name: str, node: ast.AST) -> Expr:
        """``array.ravel()``, a view where there can be one, or ``array.flatten()``, a copy."""
        if not self.kind(e).is_array:
            self.refuse(f"np.ravel(): it takes an array, not {a_kind(self.kind(e))}", node)
        made = self.numpy_call(np.reshape, (e, Const(-1)), {}, node)
        return made if name == "ravel" else self.numpy_call(np.copy, (made,), {}, node)

    def converted(self, e: Expr, dtype: Dtype | None, node: ast.AST) -> Expr:
        """``array.astype(dtype)``"""
        dtype = dtype or Dtype("float64")  # NumPy's default, which None stands for
        return Call(primitive(astype), (e,), (("dtype", dtype),), at=place_of(node))

    def array_call(self, function: Callable[..., Any], args: list[Any], node: ast.Call) -> Value:
        """A call of a function of NumPy's that makes or takes arrays.  `args` are syntax, or values."""
        keywords: dict[str, Any] = {str(k.arg): k.value for k in node.keywords}
        text = ast.unparse(node.func)
        wrong = malformed(primitive(function), len(args), keywords)
        if wrong is not None:
            self.refuse(f"{text}(): {wrong}", node)
        values = self.ordered(args, lambda a: self.listed(a) if isinstance(a, ast.expr) else a)
        if function is np.where:
            if len(values) != 3:
                self.refuse(_WHERE, node)
            return self.np_where(values, node)
        if function is np.shape:
            return self.shape(self.argument(values[0], node), node)
        if function is np.ndim:
            return Const(self.kind(self.argument(values[0], node)).ndim, at=place_of(node))
        if function is np.ravel:
            return self.flat(self.argument(values[0], node), "ravel", node)
        if function is np.array or function is np.asarray:
            return self.np_array(function, values[0], node.args[1] if len(args) > 1 else keywords.get("dtype"), node)
        if function in (np.zeros, np.ones, np.empty, *_LIKE[:3]) and len(values) == 2:
            keywords["dtype"] = node.args[1]
            values.pop()
        if function in (np.full, np.full_like) and len(values) == 3:
            keywords["dtype"] = node.args[2]
            values.pop()
        if function is np.astype and len(values) == 2:
            keywords["dtype"] = node.args[-1]
            values.pop()
        count, names = METHOD_KEYWORDS.get(function, (len(values), ()))
        keywords |= zip(names, values[count:])
        values = values[:count]
        if function in (*_PAIRS, np.concatenate, np.stack) and not (
            isinstance(values[0], TupleValue) and values[0].items
        ):
            self.refuse("the arrays to join must be given as a tuple", node)
        if function in _PAIRS:
            function, keywords["axis"] = self.joined(function, values, node)
        if function in (np.flip, np.repeat):
            keywords.setdefault("axis", NONE)
        if function is np.arange and len(values) == 1:
            values.insert(0, Const(0))
        if function is np.clip:
            return self.clipped(values, keywords, node)
        fixed: list[tuple[str, Any]] = []
        for name, given in keywords.items():
            fixed.append((name, self.keyword(name, given, node)))
        exprs = tuple(self.argument(v, node) for v in values)
        if (
            function in _REDUCTIONS
            and not fixed
            and not isinstance(exprs[0], Items)
            and not self.kind(exprs[0]).is_array
        ):
            return self.reduced_number(function, exprs[0])
        kinds = [tuple(self.kind(p) for p in (e.parts if isinstance(e, Items) else (e,))) for e in exprs]
        wrong = mismatch(function, kinds, dict(fixed))
        if wrong is not None:
            self.refuse(f"{text}(): {wrong}", node)
        return self.numpy_call(function, exprs, dict(fixed), node)

    def reduced_number(self, function: Callable[..., Any], e: Expr) -> Expr:
        """The sum, the mean, the largest of one number."""
        kind = self.kind(e)
        if function is np.size:
            return Const(1, at=e.at)
        if function in (np.any, np.all):
            return self.cast(e, Kind.BOOL)
        if function is np.mean:
            return e if kind.is_float else self.cast(e, Kind.FLOAT)
        return self.cast(e, Kind.INT) if kind is Kind.BOOL and function in (np.sum, np.prod) else e

    def listed(self, node: ast.expr) -> Value:
        """The value of an argument; a list counts as a tuple."""
        if isinstance(node, ast.List | ast.Tuple):
            return TupleValue(tuple(self.ordered(node.elts, self.listed)))
        return self.value(node)

    def joined(self, function: Any, values: list[Any], node: ast.Call) -> tuple[Any, Value]:
        """np.hstack and its like, as np.concatenate or np.stack and an axis."""
        flat, axis = self.kind(self.argument(values[0].items[0], node)).ndim == 1, _PAIRS[function]
        if flat and function is not np.hstack:
            return np.stack, Const(axis)
        return np.concatenate, Const(0 if flat else axis)

    def clipped(self, values: list[Any], keywords: dict[str, Any], node: ast.Call) -> Expr:
        given = dict(zip(("x", "a_min", "a_max"), values))
        given |= {{"min": "a_min", "max": "a_max"}.get(k, k): self.value(v) for k, v in keywords.items()}
        x, low, high = (self.argument(given.get(name, NONE), node) for name in ("x", "a_min", "a_max"))
        if not any(self.kind(e).is_array for e in (x, low, high)):
            # For numbers Numba has none.
            for bound, function in ((low, max), (high, min)):
                if bound != Const(None):
                    x = Call(primitive(function), (x, bound), at=place_of(node))
            return x
        return self.numpy_call(np.clip, (x, low, high), {}, node)

    def argument(self, value: Value, node: ast.AST) -> Expr:
        match value:
            case Expr():
                return value
            case TupleValue(items):
                return Items(tuple(self.argument(item, node) for item in items), at=place_of(node))
            case NoneValue():
                return Const(None)
        self.refuse("only numbers, arrays and tuples of ints can be given to functions of arrays", node)

    def keyword(self, name: str, given: Any, node: ast.AST) -> Any:
        """The value of a keyword, which must be fixed: a dtype, an int, a flag, None."""
        if name == "dtype" and isinstance(given, ast.expr):
            return self.dtype(given)
        value = self.value(given) if isinstance(given, ast.expr) else given
        if value == NONE:
            return None
        if isinstance(value, Const) and isinstance(value.value, bool | int | float):
            return value.value
        if isinstance(value, Text):
            return value.value
        if isinstance(value, TupleValue) and all(isinstance(i, Const) for i in value.items):
            return tuple(i.value for i in value.items if isinstance(i, Const))
        self.refuse(f"{name} must be a constant here", given if isinstance(given, ast.expr) else node)

    def dtype(self, node: ast.expr) -> Dtype | None:
        if isinstance(node, ast.Attribute) and node.attr == "dtype":
            e = self.expr(node.value)
            return Dtype(self.kind(e).dtype)
        found = self.resolve(node)
        if not isinstance(found, np.dtype):
            match self.value(node):
                case NoneValue():
                    return None
                case Text(text):
                    try:
                        found = np.dtype(text)
                    except TypeError:
                        self.refuse(f"{text!r} is no dtype", node)
                case FunctionValue(UserFunction(function)):
                    found = function
        if isinstance(found, np.dtype) and found.name in _DTYPES.values():
            return Dtype(found.name)
        if isinstance(found, type) and found in _DTYPES:
            return Dtype(_DTYPES[found])
        self.refuse(f"{ast.unparse(node)} is not supported as a dtype: write np.float64, np.int64 or a.dtype", node)

    def np_where(self, values: list[Value], node: ast.Call) -> Expr:
        cond, a, b = (v if isinstance(v, Expr) else self.refuse(_WHERE, node) for v in values)
        kind = self.kind(cond)
        if kind.dtype != "bool":
            self.refuse("the condition of np.where must be a comparison", node)
        if not any(self.kind(e).is_array for e in (cond, a, b)):
            common = self.common(a, b, node)
            a, b = self.cast(a, common), self.cast(b, common)
        e = Select(cond, a, b, at=place_of(node))
        self.kind(e)
        if not kind.is_array and self.kind(e).is_array:
            self.refuse("np.where with one condition for whole arrays: write if and else", node)
        return e

    def np_array(self, function: Any, value: Value, dtype: ast.expr | None, node: ast.Call) -> Expr:
        """``np.array([[a, b], [c, d]])``: an array that is filled element by element; of an array, a copy."""
        wanted = self.dtype(dtype) if dtype is not None else None
        if isinstance(value, TupleValue):
            return self.literal_array(value, wanted, node)
        e = self.argument(value, node)
        if not self.kind(e).is_array:
            self.refuse(f"{ast.unparse(node.func)}(): it takes an array or a list, not {a_kind(self.kind(e))}", node)
        if wanted is not None and wanted.name != self.kind(e).dtype:
            return self.converted(e, wanted, node)
        return e if function is np.asarray else self.numpy_call(np.copy, (e,), {}, node)

    def literal_array(self, listed: TupleValue, dtype: Dtype | None, node: ast.Call) -> Expr:
        shape, items = self.rows(listed, node)
        exprs: list[Expr] = []
        for item in items:
            if not isinstance(item, Expr) or self.kind(item).is_array:
                self.refuse("an element of an array must be a number; join arrays with np.stack", node)
            exprs.append(item)
        if dtype is None:
            common = Kind.FLOAT if not exprs else self.kind(exprs[0])
            for e in exprs[1:]:
                common = self.common_of(common, self.kind(e), node)
            dtype = Dtype(common.dtype)
        dims: Expr = Const(shape[0]) if len(shape) == 1 else Items(tuple(Const(n) for n in shape))
        room = Call(primitive(np.empty), (dims,), (("dtype", dtype),), at=place_of(node))
        made = self.temporary("array", room, node)
        for k, e in enumerate(exprs):
            at_k = [Const(int(i)) for i in np.unravel_index(k, shape)]
            index = at_k[0] if len(at_k) == 1 else Items(tuple(at_k))
            self.emit(Store(made.name, index, e, **self.where(node)))
        return made

    def common_of(self, a: Kind, b: Kind, node: ast.AST) -> Kind:
        if a is b:
            return a
        if Kind.BOOL in (a, b):
            self.refuse("an array cannot hold bools and numbers: write int(...)", node)
        return max(a, b, key=lambda k: ("int64", "float32", "float64", "complex64", "complex128").index(k.dtype))

    def rows(self, value: Value, node: ast.AST) -> tuple[tuple[int, ...], list[Value]]:
        """The shape and the elements of nested tuples."""
        if not isinstance(value, TupleValue):
            return (), [value]
        parts = [self.rows(item, node) for item in value.items]
        if any(shape != parts[0][0] for shape, _ in parts):
            self.refuse("the rows of this array have different lengths", node)
        inner = parts[0][0] if parts else ()
        return (len(parts), *inner), [e for _, items in parts for e in items]

    def assign_part(self, target: Index, value: Expr, op: str, node: ast.stmt) -> None:
        """``array[index] = value``"""
        kind = kind_of_part(self.build.kinds[target.array], target.index, self.build.kinds)
        found = self.kind(value)
        if found.ndim > kind.ndim:
            self.refuse(f"{a_kind(found)} does not fit into {a_kind(kind)}", node)
        if found.is_complex and not kind.is_complex:
            self.refuse("a complex value does not fit into a real array: write .real", node)
        if found.is_float and not kind.is_float and not kind.is_array:
            self.refuse(f"a float does not fit into an array of {kind.dtype}: write int(...)", node)
        self.emit(Store(target.array, target.index, value, op, **self.where(node)))


def _parts(index: Expr) -> tuple[Expr, ...]:
    return index.parts if isinstance(index, Items) else (index,)


def _ints_only(index: Expr, kind: Callable[[Expr], Kind]) -> bool:
    return all(not isinstance(p, Slice | Marker) and kind(p) is Kind.INT for p in _parts(index))
