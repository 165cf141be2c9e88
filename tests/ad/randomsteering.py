"""Random programs that ints and bools steer: those in arrays, in variables that change, and what calls leave behind.

Indices, bounds of slices and ranges, branches and masks read what the program writes, and calls write to arrays in the
midst of expressions.  Names mostly keep their arrays, and what augments an array is new, as in randomarrays.py.  Every
index is taken modulo the length, so that all programs are valid, and floats that grow go through a sine.
"""

import linecache
import math
import random

import numpy as np

HELPERS = """
def bump(u, x):
    u[0] = math.sin(u[0] + 0.5 * x)
    return u[0] * u[-1]


def advance(idx, k):
    idx[k % 4] = (idx[k % 4] + 1) % 6
    return idx[(k + 1) % 4]


def relax(u, n, x):
    for i in range(n):
        u[i] = math.sin(0.8 * u[i - 1] + x)
        if u[i] > 0.7:
            return i
    return n + 1


def pair(u, x):
    u[1] *= 0.5 * x
    return u[1] + x, u[0] * u[1]


def find(u, z):
    k = 0
    for i in range(len(u)):
        if u[i] < z:
            continue
        if u[i] > u[k]:
            k = i
    return k


def weigh(u, idx, mask, x):
    s, k = x, 0
    for i in range(idx[0], len(u)):
        k = (k + idx[i % 4]) % len(u)
        if mask[k]:
            s = math.sin(s * u[k]) + 0.3 * i
        for z in u[k:]:
            s += 0.1 * z * k
            if s > 2.0:
                return s * u[k - 1]
    return s * 0.5
"""

FLOATS = ("a", "b", "u")
"""Arrays of 6 floats; m is 4 by 4, idx has 4 ints from 0 to 5, mask 6 bools."""


class SteeredWriter:
    """Writes one program ``program(a, b, m, idx, mask, x, n)``."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.lines = []
        self.counter = 0
        self.calls = self.rng.random() < 0.6  # that write, within expressions

    def program(self):
        self.put(1, "i = j = k = n")
        self.put(1, "s = y = 0.4 * x")
        self.put(1, "p = (x, k)")
        self.put(1, f"u = {self.choice('np.zeros(6)', 'a * x', 'b.copy()', 'np.full(6, x)')}")
        self.block(1, self.rng.randint(4, 7), 0)
        self.put(1, f"return s + {self.number(1)} + np.sum(a * b) + np.sum(m * m) * y + np.sum(u) * {self.number(0)}")
        return HELPERS + "\n\ndef program(a, b, m, idx, mask, x, n):\n" + "\n".join(self.lines) + "\n"

    def put(self, depth, text):
        for line in text.split("\n"):
            self.lines.append("    " * depth + line)

    def choice(self, *options):
        return self.rng.choice(options)

    # ---------------------------------------------------------------------------------------- expressions

    def int(self, size):
        """Any int, which may be negative or large."""
        if size == 0:
            return self.choice("n", "i", "j", "k", "p[1]", f"idx[{self.choice('0', '-1', 'i % 4', 'k % 4')}]", "2")
        a, b = self.int(size - 1), self.int(size - 1)
        options = [
            *(f"({a} + {b})", f"({a} - {b})", f"2 * {a}", f"{a} // 2", f"-{a}", f"min({a}, {b})", f"abs({a})"),
            *(f"idx[{a} % 4]", f"idx[{a} % 4]", f"idx[idx[{a} % 4] % 4]", f"int(3.0 * {self.number(size - 1)})"),
            *(f"len(a[{a} % 4 :])", f"find({self.name()}, {self.number(0)})", f"np.argmax({self.name()})"),
            *(f"({a} if {self.condition(0)} else {b})", "np.count_nonzero(mask)", f"int({self.condition(0)})"),
        ]
        if self.calls:
            options += [f"advance(idx, {a})", f"relax({self.name()}, {a} % 6, x)"]
        return self.rng.choice(options)

    def at(self, length, size=1):
        return f"{self.int(size)} % {length}"

    def name(self):
        return self.rng.choice(FLOATS)

    def number(self, size):
        """A float."""
        name = self.name()
        if size == 0:
            return self.choice(
                "x", "y", "s", "p[0]", f"{name}[{self.at(6, 0)}]", f"m[{self.at(4, 0)}, {self.at(4, 0)}]"
            )
        a, b = self.number(size - 1), self.number(size - 1)
        options = [
            *(f"({a} + {b})", f"({a} * {b})", f"({a} - {b})", f"math.sin({a})", f"{a} / (1.5 + {b} * {b})"),
            *(f"{name}[{self.at(6)}]", f"{name}[{self.at(6)}]", f"m[{self.at(4)}, {self.at(4)}]", f"max({a}, {b})"),
            *(f"0.2 * {self.int(size - 1)} * {a}", f"({a} if {self.condition(size - 1)} else {b})", f"{a} % 0.9"),
            *(f"np.sum({name}[idx])", f"np.sum({name}[mask] * {a})", f"np.sum({name}[{self.at(5)} :])"),
            *(f"0.3 * weigh({name}, idx, mask, {a})", f"np.sum(np.where(mask, {name}, {a}))"),
        ]
        if self.calls:
            options += [f"bump({name}, {a})", f"bump({name}[1:], x)", f"pair({name}, x)[{self.choice(0, 1)}]"]
        return self.rng.choice(options)

    def small(self, size=2):
        return f"0.7 * math.sin({self.number(size)})"

    def condition(self, size):
        return self.choice(
            *(f"mask[{self.at(6, size)}]", f"{self.int(size)} % 2 == 0", f"{self.number(size)} > 0.1"),
            *(f"{self.int(size)} < {self.int(size)}", f"not mask[{self.at(6, 0)}]", "np.any(mask[:3])"),
            *(
                f"{self.name()}[{self.at(6, size)}] < s and {self.int(size)} > 1",
                f"x > 0.3 or mask[{self.at(6, size)}]",
            ),
        )

    # ----------------------------------------------------------------------------------------- statements

    def block(self, depth, n, loops):
        for _ in range(n):
            kind = self.rng.random()
            if kind < 0.62 or depth > 4:
                self.put(depth, self.simple())
            elif kind < 0.76 or loops == 2:
                self.put(depth, f"if {self.condition(1)}:")
                self.block(depth + 1, self.rng.randint(1, 2), loops)
                if self.rng.random() < 0.5:
                    self.put(depth, f"elif {self.condition(1)}:" if self.rng.random() < 0.3 else "else:")
                    self.block(depth + 1, self.rng.randint(1, 2), loops)
            else:
                self.loop(depth, loops)

    def loop(self, depth, loops):
        self.counter += 1
        i, z, c = self.choice("i", "j", "k"), f"z{self.counter}", f"c{self.counter}"
        head = self.choice(
            *(f"for {i} in range({self.at(3)}, {self.at(6)})", f"for {i} in range(idx[{self.at(4)}], -1, -2)"),
            *(f"for {i} in range({self.at(6)})", f"for {i} in range(len({self.name()}) - k % 5, 0, -1 - n % 2)"),
            *(
                f"for {i} in idx",
                f"for {z} in {self.name()}[{self.at(4)} :]",
            ),
            *(
                f"for {i}, {z} in enumerate({self.name()}, k)",
                f"for {z}, {i} in zip({self.name()}, range(k, 99, 1 + n % 3))",
            ),
            *(
                f"for {i}, {z} in zip(idx, {self.name()})",
                f"for {z} in m[{self.at(4)}]",
                f"for {z} in m[:, {self.at(4)}]",
            ),
            *(
                f"while {c} < 4 and idx[{self.at(4)}] > 1",
                f"while mask[{self.at(6)}] and {c} < 5",
                f"while {c} < idx[0]",
            ),
        )
        if head.startswith("while"):
            self.put(depth, f"{c} = 0")
        self.put(depth, f"{head}:")
        if head.startswith("while"):
            self.put(depth + 1, f"{c} += 1")
        if f" {z}" in head:
            self.put(depth + 1, f"s = math.sin(s + {z} * {self.number(0)})")
        self.block(depth + 1, self.rng.randint(1, 3), loops + 1)
        if self.rng.random() < 0.5:
            self.put(depth + 1, f"if {self.condition(1)}:")
            if self.rng.random() < 0.5:
                self.put(depth + 2, self.simple())
            self.put(depth + 2, self.choice("break", "continue", "break", f"return s * {self.number(1)}"))
            self.put(depth + 1, self.simple())
        if self.rng.random() < 0.2:
            self.put(depth, "else:")
            self.put(depth + 1, self.simple())
            if loops:
                self.put(depth + 1, self.choice("pass", "continue", "break"))

    def simple(self):
        self.counter += 1
        name, other, row = self.name(), self.name(), f"row{self.counter}"
        at, small = f"{name}[{self.at(6)}]", self.small()
        op = self.choice("+", "-", "*")
        return self.choice(
            *(f"s = math.sin({self.number(2)})", f"x = {small}", f"y = 0.5 * {small}", f"s {op}= {small}"),
            *(
                f"{at} = {small}",
                f"{at} = {small}",
                f"{at} {op}= {small}",
                f"{at} {op}= {small}",
                f"{at} *= 0.3 * {at}",
            ),
            *(f"idx[{self.at(4)}] = {self.at(6, 2)}", f"idx[{self.at(4)}] = (idx[{self.at(4)}] + {self.int(1)}) % 6"),
            *(
                f"k = {self.at(7, 2)}",
                f"k = (k + {self.int(1)}) % 5",
                f"{self.choice('i', 'j', 'n')} = {self.at(5, 2)}",
            ),
            *(f"mask[{self.at(6)}] = {self.condition(1)}", f"mask[:] = {name} > {self.number(1)}", "mask = ~mask"),
            *(f"{name}[idx] = {small}", f"{name}[idx] *= 0.5 * {other}[idx]", f"{name}[mask] {op}= {small}"),
            *(f"{name}[{self.at(5)} :] *= {small}", f"{name}[{self.at(3)} : {self.at(6)}] = {small}"),
            *(
                f"idx[idx % 4] = {self.at(6)}",
                "idx[1:] = idx[:-1]",
                "mask[mask] = False\nmask[k % 6] = True",
                "idx[:] = idx[::-1]",
            ),
            *(f"{name}[k % 5 : k % 5 + 2] = {other}[n % 4 : n % 4 + 2]", f"{name}[1:] += 0.2 * {other}[:-1]"),
            *(
                f"{row} = m[{self.at(4)}]\n{row}[{self.at(4)}] {op}= {small}",
                f"{row} = m[:, {self.at(4)}]\n{row} *= {small}",
            ),
            *(f"m[{self.at(4)}] = 0.5 * m[:, {self.at(4)}]", f"m[{self.at(4)}, {self.at(4)}] {op}= {small}"),
            *(f"m[{self.at(4)}, 1:] *= 1.1 * m[1:, {self.at(4)}]", f"m[idx % 4] *= {small}", "m[:] = 0.8 * m.T"),
            *(f"{row} = {name}[{self.at(4)} :]\n{row}[0] {op}= {small}", f"{name}[:] = np.sin({name} + {other})"),
            *(
                f"{at}, {other}[{self.at(6)}] = {other}[{self.at(6)}], {at}",
                f"k, {name}[k % 6] = {self.at(6)}, {small}",
            ),
            *(f"s, x = x, {small}", f"j, k = k, {self.at(5)}", f"{at} = y = {small}", f"i = k = {self.at(6)}"),
            *(f"s, y = t = ({small}, s)\ny *= t[1]", "a, b = b, a", f"{name} = {other}.copy()"),
            *(f"p = ({small} * p[0], {self.at(7)})", f"p = (p[0] + 0.1 * p[1], (p[1] + {self.int(0)}) % 5)"),
            *(f"{name}[p[1] % 6] {op}= p[0]", f"s, p = math.sin(p[0]), (s, {self.at(5)})"),
            *(
                f"k = relax({name}, {self.at(6)}, {small})",
                f"s, y = pair({name}, {small})",
                f"{at} = bump({other}, {small})",
            ),
        )


def random_steered_program(seed):
    """A function ``program(a, b, m, idx, mask, x, n)`` with source that can be found, and the text."""
    text = SteeredWriter(seed).program()
    filename = f"<random steered program {seed}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"math": math, "np": np}
    exec(compile(text, filename, "exec"), scope)
    return scope["program"], text


def steered_arguments(seed):
    """Arguments for the program of a seed."""
    rng = np.random.default_rng(seed)
    a, b, m = (0.7 * rng.normal(size=shape) for shape in (6, 6, (4, 4)))
    idx, mask = rng.integers(0, 6, size=4), rng.random(6) > 0.5
    return a, b, m, idx, mask, float(0.8 * rng.normal()), int(rng.integers(0, 4))
