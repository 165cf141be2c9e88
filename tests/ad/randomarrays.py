"""Random programs over arrays: in-place writes, views and aliases, swaps, whole arrays, loops and ways out, calls.

A name says how long its array is (`LENGTHS`), whatever it is bound to, so that every program is valid.  Values stay of
moderate size: what grows goes through a sine.  Where an array is augmented, the right side is a new array or a number,
since Numba and NumPy differ where operands overlap.
"""

import linecache
import math
import random

import numpy as np

HELPERS = """
def shift(u, x):
    for i in range(1, len(u)):
        u[i] = 0.5 * u[i - 1] * x + math.sin(u[i])


def mix(u, v, x):
    v[0] += 0.3 * math.sin(u[-1]) * x
    if x > 0.4:
        return u[0] * v[-1]
    u[1] = math.cos(v[0])
    return 0.5 * x


def tail(u):
    return u[1:]


def pick(u, v, x):
    if x > 0.1:
        return u
    return v


def smooth(u, x):
    w = u.copy()
    for i in range(1, len(u) - 1):
        w[i] = 0.5 * u[i] + 0.25 * x * (u[i - 1] + u[i + 1])
    return w


def halves(u, x):
    return 0.5 * u * x, u[0] * x


def total(u):
    s = 0.0
    for z in u:
        if z < -0.8:
            continue
        s += 0.3 * z * z
        if s > 1.5:
            break
    return s
"""

NAMES = {5: ("a", "b", "u", "v", "w"), 4: ("p", "q"), 3: ("r", "t")}
LENGTHS = {name: length for length, names in NAMES.items() for name in names}
MATRICES = ("m", "g")  # 3 by 4
SCALARS = ("x", "y", "s")


class ArrayWriter:
    """Writes one program ``program(a, b, m, x, n)``."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.lines = []
        self.ints = ["n"]  # small and not negative
        self.scalars = list(SCALARS)
        self.counter = 0

    def program(self):
        self.put(1, "s = 0.5")
        self.put(1, "y = 0.5 * x")
        for name in ("u", "v", "w", "p", "q", "r", "t"):
            self.put(1, f"{name} = {self.first(LENGTHS[name])}")
        self.put(1, f"g = {self.choice('m', 'm.copy()', 'np.zeros_like(m)', 'np.full((3, 4), x)')}")
        self.block(1, self.rng.randint(3, 6), 0)
        self.put(
            1, f"return s + {self.choice('np.sum(a * u)', 'np.sum(u * v * w)', 'total(w) * y')} + {self.summary()}"
        )
        return HELPERS + "\n\ndef program(a, b, m, x, n):\n" + "\n".join(self.lines) + "\n"

    # -------------------------------------------------------------------------------------------- pieces

    def put(self, depth, text):
        self.lines.append("    " * depth + text)

    def choice(self, *options):
        return self.rng.choice(options)

    def first(self, length):
        """What a name is bound to at first."""
        views = {5: ("a", "b", "a[::-1]", "b.copy()"), 4: ("a[1:]", "b[:4]", "m[1]", "m[2].copy()")}
        views[3] = ("a[::2]", "b[1:4]", "m[:, 1]", "m[:, 3].copy()")
        return self.choice(
            *views[length], f"np.zeros({length})", f"np.full({length}, x)", f"np.linspace(x, 1.0, {length})"
        )

    def name(self, length):
        return self.rng.choice(NAMES[length])

    def array(self):
        return self.rng.choice(list(LENGTHS))

    def index(self, length):
        i = self.rng.choice(self.ints)
        return self.choice("0", "1", "2", "-1", "-2", f"{i} % {length}", f"({i} + 1) % {length}", f"{i} % 3 - 1")

    def view(self, length):
        """A view of the length."""
        views = {
            5: ("{5}", "{5}", "{5}[::-1]"),
            4: ("{4}", "{5}[1:]", "{5}[:-1]", "m[1]", "g[2]", "m[n % 3]", "tail({5})"),
            3: (
                "{3}",
                "{5}[::2]",
                "{5}[1:4]",
                "{4}[:3]",
                "m[:, 1]",
                "g[:, n % 4]",
                "{4}[3:0:-1]",
                "tail({4})",
                "g.T[2]",
            ),
        }
        form = self.rng.choice(views[length])
        for n in NAMES:
            form = form.replace(f"{{{n}}}", self.name(n))
        return form

    def fresh(self, length, size=2):
        """A whole-array expression: new memory."""
        if size == 0:
            return f"({self.scalar(0)} * {self.view(length)})"
        a, b = self.operand(length, size - 1), self.operand(length, size - 1)
        options = [
            *(
                f"({a} + {b})",
                f"({a} * {b})",
                f"({a} - {b})",
                f"np.sin({a})",
                f"np.sin({a})",
                f"({self.scalar(1)} * {a})",
            ),
            *(f"{a} / (1.5 + {b} * {b})", f"np.exp(-np.abs({a}))", f"np.tanh({a})", f"np.sqrt(1.0 + {a} * {a})"),
            *(f"(0.3 * {a}) ** 2", f"-{a}", f"np.maximum({a}, {b})", f"np.minimum({a}, 0.7)", f"np.cos({a})"),
            *(
                f"(0.3 * np.cumsum({a}))",
                f"np.roll({a}, {self.choice('1', '-2', 'n')})",
                f"smooth({self.view(length)}, x)",
            ),
            *(f"np.clip({a}, -0.9, 0.8)", f"({a}).copy()", f"halves({a}, {self.scalar(0)})[0]"),
        ]
        if size == 2:
            options.append(f"np.where({self.view(length)} > {self.choice('0.1', self.view(length))}, {a}, {b})")
        options += {
            5: ("np.concatenate(({3}, {5}[3:]))", "{4}[FIVE]", "{3}[FIVE % 3]"),
            4: ("0.3 * np.sum(m, axis=0)", "0.3 * ({3}.copy() @ g.copy())", "{5}[FOUR]", "np.diff({5})"),
            3: ("0.3 * g.sum(axis=1)", "0.3 * (m.copy() @ {4}.copy())", "{5}[THREE]", "np.array([x, {4}[1], s])"),
        }[length]
        form = self.rng.choice(options)
        for n in NAMES:
            form = form.replace(f"{{{n}}}", self.name(n))
        return form

    def operand(self, length, size):
        return self.view(length) if self.rng.random() < 0.5 else self.fresh(length, size)

    def matrix(self):
        a, b = self.rng.choice(MATRICES), self.rng.choice(MATRICES)
        return self.choice(
            *(f"0.5 * {a} * {b}", f"np.sin({a} + {b})", f"0.3 * np.outer({self.name(3)}, {self.name(4)})"),
            *(
                f"0.5 * ({a} + {self.name(4)})",
                f"0.5 * {a} * {self.name(3)}[:, np.newaxis]",
                f"({a}.T * {self.name(3)}).T",
            ),
            *(f"np.tanh({a}) * {self.scalar(0)}", f"0.5 * {a} - {a} * {a}[0] * 0.3"),
        )

    def scalar(self, size):
        rng = self.rng
        if size == 0 or rng.random() < 0.2:
            name = self.array()
            return self.choice(
                *self.scalars,
                f"{name}[{self.index(LENGTHS[name])}]",
                f"{self.rng.choice(MATRICES)}[{self.index(3)}, {self.index(4)}]",
                "0.7",
            )
        a, b = self.scalar(size - 1), self.scalar(size - 1)
        return self.choice(
            *(
                f"({a} + {b})",
                f"({a} * {b})",
                f"({a} - {b})",
                f"math.sin({a})",
                f"math.cos({a}) * {b}",
                f"math.tanh({a})",
            ),
            *(f"{a} / (1.5 + {b} * {b})", f"max({a}, {b})", f"abs({a})", f"math.sin({self.summary()})", f"np.sin({a})"),
        )

    def summary(self):
        """A number made of a whole array."""
        v = self.view(self.choice(3, 4, 5))
        return self.choice(
            *(
                f"0.3 * np.sum({v})",
                f"{v}.mean()",
                f"np.max({v})",
                f"{v}.min()",
                f"np.prod(0.7 * {v})",
                "np.sum(g * m) * 0.1",
            ),
            *(
                f"np.std({v} - np.linspace(x, 2.0, len({v})))",
                f"0.2 * np.sum({v} * {v})",
                f"0.2 * ({v}.copy() @ {v}.copy())",
                f"total({v})",
            ),
        )

    def condition(self):
        i = self.rng.choice(self.ints)
        name = self.array()
        return self.choice(
            *(
                f"{self.scalar(0)} > 0.1",
                f"{self.scalar(1)} < {self.scalar(0)}",
                f"{i} % 2 == 0",
                f"np.sum({name}) > 0.3",
            ),
            *(
                f"{name}[{self.index(LENGTHS[name])}] > s and {i} < 3",
                f"not {self.scalar(0)} < -0.2",
                f"s * s > 0.2 or {i} == 1",
            ),
        )

    # ---------------------------------------------------------------------------------------- statements

    def block(self, depth, n, loops):
        for _ in range(n):
            self.statement(depth, loops)

    def scope(self, depth, n, loops):
        """Names of numbers that are first assigned within may not be read after."""
        scalars, ints = list(self.scalars), list(self.ints)
        self.block(depth, n, loops)
        self.scalars, self.ints = scalars, ints

    def statement(self, depth, loops):
        kind = self.rng.random()
        if kind < 0.66 or depth > 4:
            self.simple(depth)
        elif kind < 0.8:
            self.branch(depth, loops)
        elif loops < 2:
            self.loop(depth, loops)
        else:
            self.simple(depth)

    def branch(self, depth, loops):
        self.put(depth, f"if {self.condition()}:")
        self.scope(depth + 1, self.rng.randint(1, 2), loops)
        if self.rng.random() < 0.5:
            self.put(depth, "else:")
            self.scope(depth + 1, self.rng.randint(1, 2), loops)

    def loop(self, depth, loops):
        rng, scalars, ints = self.rng, list(self.scalars), list(self.ints)
        self.counter += 1
        i, z, c = rng.choice("ijk"), f"z{self.counter}", f"c{self.counter}"
        length = self.choice(3, 4, 5)
        head = self.choice(
            *(
                f"for {i} in range(n)",
                f"for {i} in range(3)",
                f"for {i} in range(4, 0, -1)",
                f"for {i} in range(n, -1, -2)",
            ),
            *(
                f"for {z} in {self.view(length)}",
                f"for {i}, {z} in enumerate({self.view(length)})",
                f"for {i} in range(1, 5, 2)",
            ),
            *(f"for {i}, {z} in zip(range(1, 4), {self.view(length)})", f"while {c} < 3", f"while {c} < n and s < 2.0"),
        )
        if head.startswith("while"):
            self.put(depth, f"{c} = 0")
        self.put(depth, f"{head}:")
        if head.startswith("while"):
            self.put(depth + 1, f"{c} += 1")
            self.ints.append(c)
        if f" {i}" in head.partition(" in ")[0]:
            self.ints.append(i)
        if z in head:
            self.scalars.append(z)
        self.block(depth + 1, rng.randint(1, 3), loops + 1)
        if rng.random() < 0.4:
            self.put(depth + 1, f"if {self.condition()}:")
            if rng.random() < 0.5:
                self.simple(depth + 2)
            self.put(depth + 2, self.choice("break", "continue", "break", f"return s + {self.summary()}"))
            self.block(depth + 1, 1, loops + 1)
        # After the loop its names may not exist: it may not have run.
        self.scalars, self.ints = scalars, ints

    def simple(self, depth):
        rng = self.rng
        length = self.choice(3, 4, 5)
        name, other = self.name(length), self.name(length)
        at, value = f"{name}[{self.index(length)}]", self.scalar(2)
        small = f"0.5 * math.sin({value})"
        low, high = rng.randint(0, 1), rng.randint(3, length)
        part = f"{name}[{low}:{high}]"
        array, m = self.fresh(length), rng.choice(MATRICES)
        # An expression for a part has a name of its length.
        short = {n: self.fresh(n, 1) for n in NAMES}.get(high - low, small)
        forms = [
            *(f"s = math.sin({value})", f"s = 0.5 * s + 0.3 * {value}", f"y = math.tanh({value})", f"x = {small}"),
            *(
                f"{at} = {small}",
                f"{at} = {small}",
                f"{at} = 0.5",
                f"{at} += {small}",
                f"{at} *= {small}",
                f"{at} *= 0.3 * {at}",
            ),
            *(f"{part} = {short}", f"{part} = {small}", f"{part} += {small}", f"{part} *= 0.7 * ({short})"),
            *(f"{name} = np.sin({array})", f"{name} = {self.view(length)}", f"{name} = {self.view(length)}"),
            *(f"{name} = {self.view(length)}.copy()", f"{name}, {other} = {other}, {name}", f"{name} = {other}"),
            *(f"{name}[:] = {self.view(length)}", f"{name}[:] = np.tanh({array})", f"{name} += 0.3 * np.sin({array})"),
            f"e = np.sin({array})\n{name} = np.empty({length})\n{name}[:] = e",
            *(f"{name} *= np.cos({array})", f"{name} *= {small}", f"{name} *= 0.3 * {name}", f"{name} -= {small}"),
            *(f"{name}[0], {name}[2] = {name}[2], 0.5 * {name}[0]", f"{name}[::2] = 0.5 * {name}[::2]"),
            *(f"shift({self.view(length)}, {small})", f"s = mix({self.view(length)}, {self.name(5)}, {small})"),
            *(
                f"{name} = pick({name}, {other}, {value})",
                f"{name}, y = halves({name}, x)",
            ),
            *(f"{name}[{name} > 0.3] = {small}", f"{name}[{other} < 0.0] *= 0.5", f"{name}[THREE % 3] = {small}"),
            *(
                f"{m}[{self.index(3)}, {self.index(4)}] = {small}",
                f"{m}[1] = {self.fresh(4, 1)}",
                f"{m}[:, 2] = {self.fresh(3, 1)}",
            ),
            *(
                f"{m} = np.sin({self.matrix()})",
                f"{m}[:] = np.tanh({self.matrix()})",
                f"{m} *= {small}",
                "m, g = g, m",
                f"{m} = {m}.copy()",
            ),
            *(f"{m}[1:, 1:3] *= 0.7 * {m}[:2, :2].copy()", f"{m} += np.sin({self.matrix()})"),
            *(
                f"for row in {m}:\n    row *= 0.5 * np.sin(row[1] + x)",
                f"for e in THREE:\n    {name}[e % 3] += {small}",
            ),
        ]
        for line in rng.choice(forms).split("\n"):
            self.put(depth, line)


def random_array_program(seed):
    """A function ``program(a, b, m, x, n)`` with source that can be found, and the text."""
    text = ArrayWriter(seed).program()
    filename = f"<random array program {seed}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    scope = {"math": math, "np": np}
    scope |= {"THREE": np.array([2, 0, 2]), "FOUR": np.array([3, 0, 4, 0]), "FIVE": np.array([1, 1, 3, 0, 2])}
    exec(compile(text, filename, "exec"), scope)
    return scope["program"], text


def array_arguments(seed):
    """Arguments for the program of a seed."""
    rng = np.random.default_rng(seed)
    a, b, m = (0.7 * rng.normal(size=shape) for shape in (5, 5, (3, 4)))
    return a, b, m, float(0.8 * rng.normal()), int(rng.integers(0, 4))
