"""Lists of the functions that have a rule, as Markdown, made from the register of rules."""

import inspect

import numpy as np

import ad  # noqa: F401  its import fills the register
from ad.arrayrules import METHODS
from ad.primitive import _registry
from ad.rules import on_arrays

_KEYWORDS = {"axis", "axes", "keepdims", "ddof", "offset", "k", "n", "ord", "endpoint", "side", "dtype"}


def text(name):
    """The list of a name that a document asks for."""
    return _LISTS[name]()


def known():
    """All functions of Python's, math's and NumPy's that have a rule, by the name that a user writes."""
    return {_name(rule): rule for rule in _registry.values() if _name(rule)}


def _name(rule):
    """``np.sum``; None for operators, and for helpers and functions of a user's."""
    if rule.home in ("math", "np"):
        return f"{rule.home}.{rule.name}"
    if rule.home == "builtins":
        return rule.name
    if getattr(np.linalg, rule.function.__name__, None) is rule.function:
        return f"np.linalg.{rule.name}"
    return None


def _listed(names):
    return ", ".join(f"`{name}`" for name in sorted(names, key=lambda n: (n.startswith(("math.", "np.")), n))) + "."


def _numbers():
    rules = {n: r for n, r in known().items() if r.elementwise and r.home != "np"}
    smooth = [n for n, r in rules.items() if any(r.vjps)]
    return f"{_listed(smooth)}\n\nPiecewise constant: {_listed(rules.keys() - set(smooth))}"


def _elementwise():
    rules = {n: r for n, r in known().items() if r.elementwise and r.home == "np"}
    smooth = [n for n, r in rules.items() if any(r.vjps)]
    return f"{_listed(smooth)}\n\nPiecewise constant: {_listed(rules.keys() - set(smooth))}"


def _arrays():
    rules = {n: r for n, r in known().items() if not r.elementwise}
    methods = {on_arrays(rule) for rule in (_registry[f] for f in METHODS.values())}
    lines = ["| function | keywords | derivative | method |", "|---|---|---|---|"]
    for name, rule in sorted(rules.items()):
        keywords = ", ".join(f"`{k}`" for k in _keywords(rule))
        lines.append(
            f"| `{name}` | {keywords} | {'yes' if any(rule.vjps) else ''} | {'yes' if rule in methods else ''} |"
        )
    return "\n".join(lines)


def _keywords(rule):
    """The parameters with a default: of the rule, or where that takes any, of what tells the kind of the result."""
    for function in (*filter(None, rule.vjps), rule.result):
        parameters = inspect.signature(function).parameters.values()
        if function is rule.result or all(p.kind is not p.VAR_KEYWORD for p in parameters):
            return [p.name for p in parameters if p.name in _KEYWORDS and p.default is not p.empty]
    raise AssertionError(rule)


_LISTS = {"numbers": _numbers, "elementwise": _elementwise, "arrays": _arrays}
