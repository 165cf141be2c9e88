"""Every kind of loop with every way out of it and every way to write an array, inside a time loop."""

import itertools
import linecache
import math
import textwrap

import numpy as np
from cases import case, values

LOOPS = {
    "range": "for i in range(len(a)):\n    x = a[i]",
    "down": "for i in range(len(a) - 1, -1, -1):\n    x = a[i]",
    "step": "for i in range(1, len(a), 2):\n    x = a[i]",
    "while": "i = -1\nwhile i < len(a) - 1:\n    i += 1\n    x = a[i]",
    "array": "i = -1\nfor x in a:\n    i += 1",
    "enumerate": "for i, x in enumerate(a):\n    y = x",
    "zip": "for i, x in zip(range(1, 5), a):\n    y = x",
}
WAYS_OUT = {
    "through": "s *= 0.9",
    "break": "if abs(s) > limit:\n    s = s * 0.5\n    break",
    "continue": "if x < 0.0:\n    s += x\n    continue",
    "return": "if abs(s) > limit and t == 1:\n    return s * x + np.sum(u * v)",
}
WRITES = {
    "element": "u[i] = u[i] * s + x\nv[i] += u[i - 1] * u[i]",
    "view": "w = u[i // 2 : 5]\nw[0] += s * x\nu[i] *= w[-1]\nw *= 0.8",
    "swap": "v[i] = u[i] * s + x\nu, v = v, u",
    "fresh": "w = u.copy()\nw[i] = x * s + w[i - 1]\nu = w",
    "call": "s += update(u, v, i, x)",
    "call on views": "s += update(u[1:], v[:4], i // 2, x)\nw = tail(v)\nw[0] *= x",
}
PROGRAM = """
def {name}(a, u, v, limit):
    s = 0.5
    for t in range(2):
{loop}
{writes}
            s = s + 0.3 * math.sin(s * x + u[2])
{way_out}
            s += 0.1 * v[i] * u[i - 1]
        s = s * 0.7 + a[t]
        u[t] = s
    return s + np.sum(u * v)
"""


def update(u, v, i, x):
    """Writes both arrays; returns early."""
    v[i] = u[i] * x
    u[i - 1] += 0.5 * v[i]
    if x > 0.9:
        return u[i] * v[i - 1]
    u[i] = math.cos(u[i])
    return 0.1 * x


def tail(a):
    return a[1:]


def program(loop, way_out, writes):
    name = f"{loop}_{way_out}_{writes}".replace(" ", "_")
    text = PROGRAM.format(
        name=name,
        loop=textwrap.indent(LOOPS[loop], " " * 8),
        writes=textwrap.indent(WRITES[writes], " " * 12),
        way_out=textwrap.indent(WAYS_OUT[way_out], " " * 12),
    )
    filename = f"<combination {name}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"__name__": __name__, "math": math, "np": np, "update": update, "tail": tail}
    exec(compile(text, filename, "exec"), scope)
    return scope[name]


# The programs that are compiled in the default run have every pair of a loop, a way out and a way to write.
for _i, _j, _k in itertools.product(range(len(LOOPS)), range(len(WAYS_OUT)), range(len(WRITES))):
    _program = program(list(LOOPS)[_i], list(WAYS_OUT)[_j], list(WRITES)[_k])
    _thorough = _j != (_i + _k) % len(WAYS_OUT)
    for _limit, _name in ((0.4, ""), (99.0, "never")):
        case(values(5), values(5, start=5), values(5, start=10), _limit, name=_name, thorough=_thorough)(_program)
