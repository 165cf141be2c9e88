"""Random programs of the supported subset: straight-line code, loops, branches, arrays and calls."""

import linecache
import math
import random

import numpy as np
from numba import njit

HELPERS = """
def damp(x, y):
    return x * math.exp(-y * y) + 0.25 * y


def walk(x, k):
    total = 0.0
    while k > 0:
        x = math.sin(x + 0.1 * k)
        total += x * x
        k -= 1
    return total


def weigh(a, x):
    s = x
    for i in range(len(a)):
        if a[i] > 0.3:
            s = 0.5 * s * a[i] + math.tanh(x)
        else:
            s += a[i] * damp(x, s)
    return math.sin(s)


def constant(k):
    return 0.5 * k + 0.1


def twice(x, y):
    x = x * y
    y = math.cos(x) * y
    x = x + y * y
    return math.sin(x)
"""


class Writer:
    """Writes one program.  All values stay of moderate size: what grows goes through a sine."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.lines = []
        self.ints = ["n", "c0"]
        self.floats = ["x", "y", "s", "u"]
        self.counter = 0
        self.loops = 0

    def program(self):
        self.put(1, f"s = {self.rng.choice(['0', '0.0', 'x', '1'])}")
        self.put(1, "u = y * 0.5")
        self.put(1, "c0 = n")
        self.put(1, "flag = x > 0.0")
        self.block(1, self.rng.randint(2, 6), 0)
        if self.rng.random() < 0.3:
            self.put(1, f"if {self.condition()}:")
            self.put(2, f"return {self.small(2)}")
            self.block(1, 1, 0)
        self.put(1, f"return {self.rng.choice(['s', 's + u', 's * x + u * y', 'x', 'math.sin(s) * u'])}")
        head = "def program(x, y, n, a, b):\n"
        return HELPERS + "\n\n" + head + "\n".join(self.lines) + "\n"

    def put(self, depth, text):
        self.lines.append("    " * depth + text)

    def block(self, depth, n, loops):
        for _ in range(n):
            self.statement(depth, loops)

    def variable(self):
        return self.rng.choice(self.floats)

    def statement(self, depth, loops):
        rng = self.rng
        kind = rng.random()
        if kind < 0.5 or depth > 4:
            self.simple(depth, loops)
        elif kind < 0.68:
            self.put(depth, f"if {self.condition()}:")
            self.scope(depth + 1, rng.randint(1, 3), loops)
            if rng.random() < 0.3:
                self.put(depth, f"elif {self.condition()}:")
                self.scope(depth + 1, rng.randint(1, 2), loops)
            if rng.random() < 0.6:
                self.put(depth, "else:")
                self.scope(depth + 1, rng.randint(1, 2), loops)
        elif kind < 0.72 and loops < 3:
            self.constant_loop(depth, loops)
        elif kind < 0.9 and loops < 3:
            self.for_loop(depth, loops)
        elif loops < 2:
            self.while_loop(depth, loops)
        else:
            self.simple(depth, loops)

    def scope(self, depth, n, loops):
        """Names that are first assigned within may not be read after."""
        floats, ints = list(self.floats), list(self.ints)
        if self.rng.random() < 0.4:
            name = self.rng.choice(["t", "w", "p"])
            self.put(depth, f"{name} = {self.expr(2)}")
            if name not in self.floats:
                self.floats.append(name)
        self.block(depth, n, loops)
        self.floats, self.ints = floats, ints

    def for_loop(self, depth, loops):
        rng = self.rng
        var = rng.choice(["i", "j", "k"])
        bound = rng.choice(["3", "n", "n + 1", "0", "len(a)", "n - 2", "int(2.0 * abs(math.sin(x))) + 1", *self.ints])
        form = rng.choice(["{b}", "1, {b}", "{b}, 0, -1", "0, {b}, 2", "3, -2, -2", "{b}, -1, -1", "0, 4, m"])
        if "m" in form:
            self.put(depth, "m = 1 + n % 2")
        was = list(self.ints)
        self.put(depth, f"for {var} in range({form.format(b=bound)}):")
        if var not in self.ints:
            self.ints.append(var)
        if rng.random() < 0.15:
            self.put(depth + 1, f"{var} = {var} + 1")
        if rng.random() < 0.1:
            self.put(depth + 1, "n = n - 1")
        self.scope(depth + 1, rng.randint(1, 4), loops + 1)
        self.ints = was

    def constant_loop(self, depth, loops):
        """A loop that surely runs: what it assigns may be read after it."""
        self.put(depth, "for q in range(2):")
        if "q" not in self.ints:
            self.ints.append("q")
        self.put(depth + 1, f"r = {self.small(2)}")
        if "r" not in self.floats:
            self.floats.append("r")
        self.scope(depth + 1, self.rng.randint(1, 3), loops + 1)

    def while_loop(self, depth, loops):
        self.counter += 1
        c = f"c{self.counter}"
        self.put(depth, f"{c} = 0")
        condition = self.rng.choice(
            [f"{c} < 3", f"{c} < n and ({self.condition()})", f"{c} < 2 or ({c} < 4 and u > 0.0)"]
        )
        self.put(depth, f"while {condition}:")
        self.scope(depth + 1, self.rng.randint(1, 3), loops + 1)
        self.put(depth + 1, f"{c} += 1")
        self.ints.append(c)

    def simple(self, depth, loops):
        rng = self.rng
        target = self.variable()
        kind = rng.random()
        if kind < 0.15:
            a, b = rng.sample(self.floats, 2)
            self.put(depth, f"{a}, {b} = {rng.choice([b, self.small(1)])}, {rng.choice([a, self.small(1)])}")
        elif kind < 0.4:
            self.put(depth, f"{target} += {self.small(2)}")
            self.put(depth, f"{target} = math.sin({target})" if loops else f"{target} *= 0.5")
        elif kind < 0.5:
            self.put(depth, f"{target} = {target} * math.sin({self.expr(1)})")
        elif kind < 0.56:
            self.put(depth, f"{target} = {rng.choice(['0.0', '1', 'n', '0.5', *self.floats])}")
        elif kind < 0.66:
            call = rng.choice(
                ["damp({}, {})", "twice({}, {})", "weigh(a, {})", "weigh(b, {})", "walk({}, n)", "walk({}, 2)"]
            )
            args = [self.rng.choice([self.variable(), self.small(1)]) for _ in range(2)]
            self.put(depth, f"{target} = {rng.choice(['', '0.5 * ', '-'])}{call.format(*args)}")
        elif kind < 0.69:
            i = rng.choice(self.ints)
            self.put(
                depth, f"c0 = (c0 * {rng.choice(['2', i])} + {rng.choice(['1', i, 'int(3.0 * math.sin(y))'])}) % 5"
            )
        elif kind < 0.71:
            self.put(depth, f"flag = {self.condition()}")
        elif kind < 0.74:
            self.put(depth, f"{target} = {self.small(1)} if {self.condition()} else {self.small(1)}")
        else:
            self.put(depth, f"{target} = {self.small(2)}")

    def small(self, size):
        e = self.expr(size)
        return self.rng.choice([f"math.sin({e})", f"math.tanh({e})", f"0.3 * ({e})", f"math.cos({e})"])

    def expr(self, size):
        rng = self.rng
        if size == 0 or rng.random() < 0.15:
            return self.leaf()
        a, b = self.expr(size - 1), self.expr(size - 1)
        return rng.choice(
            [
                f"{a} + {b}",
                f"({a}) * ({b})",
                f"({a}) * ({b})",
                f"{a} - ({b})",
                f"({a}) / (1.5 + ({b}) * ({b}))",
                f"math.exp(-abs({a}))",
                f"math.sin({a})",
                f"math.sqrt(1.0 + ({a}) * ({a}))",
                f"({a}) ** 2",
                f"-({a})",
                f"max({a}, {b})",
                f"min({a}, 0.7)",
                f"np.tanh({a}) * ({b})",
                f"(({a}) if {self.condition()} else ({b}))",
                f"damp({a}, math.sin({b}))",
                f"constant({rng.choice(self.ints)}) * ({a})",
                f"math.atan2({a}, 2.0 + abs({b}))",
                f"(1.2 + abs({a})) ** math.sin({b})",
                f"(1.2 + math.sin({a})) ** 1.5",
                f"({a}) % (0.7 + abs({b}))",
                f"({a}) // 0.6 * ({b})",
                f"np.hypot({a}, 1.0 + abs({b}))",
            ]
        )

    def leaf(self):
        rng = self.rng
        i = rng.choice(self.ints)
        return rng.choice(
            [
                *self.floats,
                *self.floats,
                f"a[{i} % len(a)]",
                f"b[({i} + 1) % 3]",
                "a[0]",
                "b[-1]",
                "0.7",
                "2",
                i,
                f"({i} % 3)",
                "RATE",
                "math.pi",
            ]
        )

    def condition(self):
        rng = self.rng
        i = rng.choice(self.ints)
        return rng.choice(
            [
                f"{self.variable()} > {rng.choice(['0.1', self.variable()])}",
                f"{i} % 2 == 0",
                f"{i} > 1 and {self.variable()} < 0.5",
                f"not {self.variable()} < 0.2",
                f"0.0 < {self.variable()} < 0.9",
                f"{self.variable()} * {self.variable()} > 0.05",
                "flag",
                f"flag or c0 > {rng.choice(['1', '2'])}",
            ]
        )


def random_program(seed):
    """A function ``program(x, y, n, a, b)`` with source that can be found, and the text."""
    text = Writer(seed).program()
    filename = f"<random program {seed}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"math": math, "np": np, "RATE": 0.375, "njit": njit}
    exec(compile(text, filename, "exec"), scope)
    return scope["program"], text
