"""The documents of `docs/` with all that can be computed filled in: what the examples print, what `ad` answers.

`rendered` runs a document and gives its text back; a document is right if that is what it says already.

* A block of ``python`` runs, in the scope of the document; a block of another language after it is what it prints.
* A table with the column "`ad` says" has code in its first column, of a function of a float x, an int n, an array a and
  a matrix m; the other column is the message that refuses it.
* A table with the columns "expression", "x" and "derivative" has expressions of x, which is a number or an array, and
  the value of x.
* What stands between ``<!-- functions: NAME -->`` and ``<!-- end -->`` is a list of functions that have rules.
"""

import contextlib
import io
import linecache
import math
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import functionlists
import numpy as np
from interpreter import interpreted_gradient
from numba import njit

import ad
import tape

DOCS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^\|(.*)\|\n\|[-| ]*\|\n((?:\|.*\|\n)+)", re.MULTILINE)
_NUMBER = re.compile(r"[+-]?\d+\.?\d*(?:e[+-]?\d+)?")
_VARIABLE = re.compile(r"\bx\b")
_FUNCTIONS = re.compile(r"^<!-- functions: (\w+) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)


def agree(a, b):
    """Whether two texts are equal, their numbers to rounding."""
    (first, x), (second, y) = (_apart(text) for text in (a, b))
    return first == second and np.allclose(x, y, rtol=1e-9, atol=1e-12, equal_nan=True)


def _apart(text):
    return _NUMBER.sub("#", text), [float(n) for n in _NUMBER.findall(text)]


def rendered(path):
    """The text of a document with what can be computed filled in, whatever ran before in this process."""
    tape.default_pool().trim()
    with ThreadPoolExecutor(1) as thread:  # gradients keep their tapes, with their statistics, for each thread
        return thread.submit(_rendered, path).result()


def _rendered(path):
    text = path.read_text()
    text = _FUNCTIONS.sub(lambda m: f"<!-- functions: {m[1]} -->\n{functionlists.text(m[1])}\n<!-- end -->", text)
    return _TABLE.sub(_table, _examples(path, text))


# ---------------------------------------------------------------------------------------------------- examples


def _examples(path, text):
    scope = {"__name__": "__main__"}
    out, end, printed = [], 0, None
    for block in _FENCE.finditer(text):
        between = text[end : block.start()]
        language, body = block[1], block[2]
        if language == "python":
            _all_was_shown(path, printed)
            line = text.count("\n", 0, block.start()) + 2
            printed = _run(body, f"<{path.name}, line {line}>", scope)
        elif printed is not None and not between.strip():
            body, printed = printed, None
        out += [between, f"```{language}\n{body}```"]
        end = block.end()
    _all_was_shown(path, printed)
    return "".join([*out, text[end:]])


def _all_was_shown(path, printed):
    assert not printed, f"{path.name} does not show what an example prints:\n{printed}"


def _run(body, filename, scope):
    shown = io.StringIO()
    code = _compiled(body, filename)
    with contextlib.redirect_stdout(shown):
        exec(code, scope)
    return "".join(line.rstrip() + "\n" for line in shown.getvalue().splitlines())


def _compiled(body, filename):
    """Code whose text is found through linecache, as that of a notebook cell is."""
    linecache.cache[filename] = (len(body), None, body.splitlines(keepends=True), filename)
    return compile(body, filename, "exec")


# ------------------------------------------------------------------------------------------------------ tables


def _table(table):
    heads = [h.strip() for h in table[1].split("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table[2].splitlines()]
    if heads[-1] == "`ad` says":
        for row in rows:
            row[-1] = _refusal(_code(row[0]))
    elif heads == ["expression", "x", "derivative"]:
        for row, derivative in zip(rows, _derivatives([(_code(row[0]), _code(row[1])) for row in rows]), strict=True):
            row[-1] = f"`{derivative}`"
    else:
        return table[0]
    head = table[0].splitlines()[:2]
    return "\n".join([*head, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _code(cell):
    return cell.strip("`").replace("\\|", "|")


def _refusal(code):
    """The message for a function with this body; its statements are separated by semicolons."""
    lines = [f"    {line}" for line in code.split("; ")]
    if "return" not in lines[-1]:
        lines.append("    return x")
    scope = {"np": np, "math": math, "TABLE": {"a": 1.0}}
    exec(_compiled("\n".join(["def f(x, n, a, m):", *lines, ""]), f"<{code}>"), scope)
    try:
        ad.grad(scope["f"], wrt="x")(1.5, 2, np.ones(3), np.ones((2, 2)))
    except ad.ADError as error:
        return getattr(error, "msg", str(error)).replace("|", "\\|")
    raise AssertionError(f"ad takes {code!r}")


def _derivatives(rows):
    """Those of expressions in x.  All numbers go into one function, which is compiled, arrays each into one."""
    numbers = [(expression, value) for expression, value in rows if "[" not in value]
    found = iter(_compiled_derivatives(numbers) if numbers else ())
    return [_of_an_array(e, v) if "[" in v else next(found) for e, v in rows]


def _compiled_derivatives(rows):
    names = [f"x{i}" for i in range(len(rows))]
    lines = [f"    s += {_VARIABLE.sub(n, e)}" for n, (e, _) in zip(names, rows, strict=True)]
    body = "\n".join([f"def f({', '.join(names)}):", "    s = 0.0", *lines, "    return s", ""])
    scope = {"np": np, "math": math}
    exec(_compiled(body, f"<{rows[0][0]} ...>"), scope)
    gradient = ad.grad(njit(error_model="numpy")(scope["f"]), wrt=names)
    return [_shown(d) for d in gradient(*(float(v) for _, v in rows))]


def _of_an_array(expression, value):
    scope = {"np": np, "math": math}
    exec(_compiled(f"def f(x):\n    return {expression}\n", f"<{expression}>"), scope)
    x = np.array([float(v) for v in value.strip("[]").split(",")])
    _, [found], _ = interpreted_gradient(scope["f"], (x,), (0,))
    return f"[{', '.join(map(_shown, found))}]"


def _shown(x):
    return f"{x + 0.0:.6g}"


def main(paths):
    """Fill the documents in."""
    for path in paths:
        try:
            text = rendered(path)
        except Exception:
            traceback.print_exc()
            print(f"{path.name} is left as it was")
            continue
        same = agree(text, path.read_text())
        print(path.name, "is as it was" if same else "has changed")
        if not same:
            path.write_text(text)
