"""Small arrays that need not be arrays: each of their elements becomes a number of its own.

An array costs an allocation, a record and a loop of few trips for every expression; numbers stay in registers, and the
compiler sees through them.  A model whose state is an array of two elements is so as quick as one that is written by
element (with arrays its gradient took 15 times as long).

An array becomes numbers where

* it is made in the function, of a shape of few elements that is known when the function is read;
* nothing is written to it while another name that is still read may stand for the same memory;
* all that uses it can be written by element: operators, functions of numbers, indices and slices that are known,
  sums and products, copies, swaps.  Loops of few trips that count its indices are written out.

What needs an array keeps it, and with it what that is made of as a whole.  Where one is kept, others still read and
write its elements.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ad.alias import Aliases
from ad.byelement import Writing
from ad.dominance import Dominance
from ad.flow import Liveness
from ad.function import Function, Small
from ad.ir import Block, Kind, Store, walk_stmts
from ad.names import Namer
from ad.single import without_copies
from ad.sizes import Shape, Sizes, checked_lengths
from ad.spread import DTYPES, MOST
from ad.unroll import unrolled

__all__ = ["scalarised"]


def scalarised(
    body: Block,
    kinds: dict[str, Kind],
    given: Mapping[str, Shape],
    result: str,
    namer: Namer,
    called: dict[str, str],
) -> tuple[Block, tuple[Small, ...]]:
    """The body with numbers in the place of small arrays, and which these are; `given` are the shapes of parameters.

    `kinds` and `called` get what the numbers are, and what the user calls them.
    """
    found = _tried(body, kinds, checked_lengths(body, given), set(), result, namer, called)
    return (body, ()) if found is None else (found.body, found.small)


def with_numbers(f: Function, shapes: Mapping[str, Shape]) -> Function | None:
    """A function that takes numbers in the place of arrays of known shapes; None where it needs the arrays."""
    key = tuple(shapes.items())
    if key not in f.variants:
        f.variants[key] = None  # for a function that calls itself
        f.variants[key] = _with_numbers(f, shapes) if f.complete else None
    return f.variants[key]


def _with_numbers(f: Function, shapes: Mapping[str, Shape]) -> Function | None:
    given: dict[str, Shape] = {p: (None,) * k.ndim for p, k in zip(f.params, f.param_kinds, strict=True)}
    kinds, namer, called = dict(f.kinds), f.namer.copy(), dict(f.called)
    found = _tried(f.body, kinds, {**given, **shapes}, set(shapes), f.result, namer, called)
    if found is None:
        return None
    params = tuple(n for p in f.params for n in (found.elements[p].flat if p in shapes else (p,)))
    return replace(
        f,
        params=params,
        param_kinds=tuple(kinds[p] for p in params),
        kinds=kinds,
        body=found.body,
        namer=namer,
        called=called,
        small=(*f.small, *found.small),
        variants={},
    )


@dataclass(frozen=True)
class _Found:
    """A body with numbers in the place of arrays, the names of these by array, and what the report says of them."""

    body: Block
    elements: Mapping[str, Any]
    small: tuple[Small, ...]


def _tried(
    body: Block,
    kinds: dict[str, Kind],
    given: Mapping[str, Shape],
    entering: set[str],
    result: str,
    namer: Namer,
    called: dict[str, str],
) -> _Found | None:
    """The body without its small arrays, among which the parameters `entering` must be."""
    sizes = Sizes(body, kinds, given)
    small = {name for name, shape in sizes.shapes.items() if _is_small(shape, kinds[name])}
    chosen = small - (given.keys() - entering) - {result}
    if not chosen:
        return None
    live = Liveness(body, {result})
    while chosen and entering <= chosen:
        written = unrolled(body, chosen, sizes, live)
        known = Sizes(written, kinds, given), Dominance(written)
        writing = Writing(chosen, *known, dict(kinds), namer.copy(), called, with_numbers)
        needed = _observed(written, writing, given.keys() - entering, result)
        if not needed:
            new = writing.block(written)
            if not writing.whole:
                new = without_copies(new, writing.made, result)
                namer.take(writing.kinds)
                return _Found(new, writing.elements, _renamed(writing, kinds, called))
        chosen -= needed | writing.whole
    return None


def _is_small(shape: Shape, kind: Kind) -> bool:
    sizes = [n for n in shape if n is not None]
    return kind.dtype in DTYPES and len(sizes) == len(shape) and 0 < int(np.prod(sizes)) <= MOST


def _observed(body: Block, writing: Writing, params: set[str], result: str) -> set[str]:
    """Arrays that are written to while what is no part of them, and is still read, may be the same memory."""
    arrays = [name for name, kind in writing.kinds.items() if kind.is_array]
    aliases, live = Aliases(body, writing.kinds, arrays), Liveness(body, {result})
    found: set[str] = set()
    for s in walk_stmts(body):
        if isinstance(s, Store):
            sharing = aliases.before[s].sharing(s.array)
            others = {n for n in sharing if writing.root(n) != writing.root(s.array)}
            if others & (live.after[s] | params):
                found |= sharing
    return found & writing.elements.keys()


def _renamed(writing: Writing, kinds: dict[str, Kind], called: dict[str, str]) -> tuple[Small, ...]:
    """Arrays that are gone give their names to their elements."""
    found: dict[str, Small] = {}
    for name, first in writing.first.items():
        if name in called:
            size = writing.elements[name].size
            found.setdefault(called[name], Small(called[name], size, first.source, first.line))
    new: dict[str, str] = {}
    for name in sorted(writing.elements, key=lambda name: name in writing.bases):  # views last
        del kinds[name]
        text, of, function = called.pop(name, "").partition(" of ")
        for at in np.ndindex(writing.elements[name].shape) if text else ():
            new.setdefault(writing.elements[name][at], f"{text}[{', '.join(map(str, at))}]{of}{function}")
    called |= new
    kinds |= {name: kind for name, kind in writing.kinds.items() if name not in writing.elements}
    return tuple(found.values())
