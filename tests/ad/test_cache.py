"""Generated modules on disk: found again by the next process, harmless when damaged, and never necessary."""

import ast
import importlib
import json
import os
import pkgutil
import re
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ad
from ad import build, cache, config, emit, rules
from ad.primitive import Primitive, _registry

MODEL = """
import math
from numba import njit


@njit
def rate(x, k):
    s = x
    for i in range(k):
        s = math.sin(s) * x + 0.1
    return s


def loss(x, n):
    s = x
    for i in range(n):
        s = s * 0.5 + rate(s, 3) / (x + 1.0)
    return s
"""

RUN = """
import json, sys, logging
logging.basicConfig(level=logging.INFO)
import ad, model
from numba.core.dispatcher import Dispatcher

g = ad.value_and_grad(model.loss, wrt="x")
found = g(0.3, 5)
kernel = next(iter(g._specials.values())).kernel
stats = kernel.function.stats
print(json.dumps({
    "found": found,
    "filename": kernel.filename,
    "hits": sum(stats.cache_hits.values()),
    "misses": sum(stats.cache_misses.values()),
}))
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "run.py").write_text(RUN)

    def start(directory, **environment):
        env = {**os.environ, "LAYERED_TAPE_CACHE_DIR": str(directory), **environment}
        process = subprocess.run(
            [sys.executable, "-W", "error", str(tmp_path / "run.py")],
            capture_output=True,
            text=True,
            env=env,
            cwd=tmp_path,
            timeout=200,
        )
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout), process.stderr

    return start


def test_second_process_does_not_compile(run, tmp_path):
    directory = tmp_path / "cache"
    first, _ = run(directory)
    assert (first["hits"], first["misses"]) == (0, 1)
    assert first["filename"].startswith(str(directory))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    second, _ = run(directory)
    assert (second["hits"], second["misses"]) == (1, 0), "the second process compiled again"
    assert second["found"] == first["found"]


def test_damaged_files_are_replaced(run, tmp_path):
    directory = tmp_path / "cache"
    first, _ = run(directory)
    module = directory / os.path.basename(first["filename"])
    text = module.read_text()
    module.write_text("raise SystemExit('executed what was found')\n")
    second, _ = run(directory)
    assert second["found"] == first["found"]
    assert module.read_text() == text
    for damage in (b"", b"not a pickle", None):
        files = [f for f in (directory / "__pycache__").iterdir() if f.suffix in (".nbi", ".nbc")]
        assert files
        for f in files:
            f.write_bytes(f.read_bytes()[: f.stat().st_size // 2] if damage is None else damage)
        again, _ = run(directory)
        assert again["found"] == first["found"], f"after damage {damage!r}"


def test_unusable_directory_falls_back_to_memory(run, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    found, log = run(blocked / "cache")
    assert found["filename"].startswith("<ad ")
    assert "is not cached" in log


def test_directory_of_others_is_not_trusted(run, tmp_path):
    directory = tmp_path / "cache"
    directory.mkdir()
    directory.chmod(0o777)
    found, log = run(directory)
    assert found["filename"].startswith("<ad ")
    assert "others may write to it" in log
    assert not list(directory.glob("*.py"))


def test_foreign_owner(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERED_TAPE_CACHE_DIR", str(tmp_path / "cache"))
    assert cache.store("f", "x = 1\n") is not None
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert cache.store("g", "x = 1\n") is None


def test_failed_write_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERED_TAPE_CACHE_DIR", str(tmp_path / "cache"))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert cache.store("f", "x = 1\n") is None
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["__pycache__"]


def test_relative_directory_is_refused(monkeypatch):
    monkeypatch.setenv("LAYERED_TAPE_CACHE_DIR", "relative/path")
    with pytest.raises(ad.ADValueError, match="LAYERED_TAPE_CACHE_DIR must be an absolute path"):
        config.cache_directory()


def test_default_directory_is_the_users(monkeypatch):
    monkeypatch.delenv("LAYERED_TAPE_CACHE_DIR")
    assert config.cache_directory().name == "layered-tape"


def test_tracebacks_show_lines_without_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("LAYERED_TAPE_CACHE_DIR", str(tmp_path / "no"))
    (tmp_path / "no").write_text("")

    import linecache

    def f(x):
        return x * x

    g = ad.grad(f)
    assert g(1.5) == 3.0
    kernel = next(iter(g._specials.values())).kernel
    linecache.checkcache()
    assert "def f_grad" in "".join(linecache.getlines(kernel.filename))


def test_disabled_compilation_is_refused(monkeypatch):
    from numba.core import config as numba_config

    def f(x):
        return x * 1.25

    monkeypatch.setattr(numba_config, "DISABLE_JIT", 1)
    with pytest.raises(ad.ADError, match="NUMBA_DISABLE_JIT"):
        ad.grad(f)(1.0)


def test_change_of_a_called_function_is_seen(run, tmp_path):
    directory = tmp_path / "cache"
    first, _ = run(directory)
    (tmp_path / "model.py").write_text(MODEL.replace("math.sin(s) * x", "math.cos(s) * x"))
    second, _ = run(directory)
    assert second["misses"] == 1
    assert second["found"] != first["found"]


def imported_by_generated_code():
    """Our modules that the text of a module may import from, and those that they import in their turn."""
    named = re.findall(r'imported\(["\']([\w.]+)', Path(emit.__file__).read_text())
    called = [p.compiled for p in _registry.values()] + list(vars(rules).values())
    primitives = [*_registry.values(), *(Primitive(f, ()) for f in called if callable(f))]
    for module in pkgutil.iter_modules(ad.__path__, "ad."):
        if module.name != "ad.__main__":
            known = vars(importlib.import_module(module.name)).values()
            primitives += [v for v in known if isinstance(v, Primitive)]
    pending = [name for name in (*named, *(str(p.home) for p in primitives)) if name.startswith(("ad.", "tape."))]
    assert {"ad.runtime", "ad.bits", "ad.words", "ad.guard", "ad.special", "ad.custom", "tape.numba"} <= set(pending)
    found = {}
    while pending:
        name = pending.pop()
        path = Path(str(getattr(sys.modules.get(name), "__file__", "")))
        if name in found or name.partition(".")[0] not in ("ad", "tape") or path.suffix != ".py":
            continue
        found[name] = path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                pending += [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
    return found


def test_change_of_what_generated_code_imports_is_seen():
    imported = imported_by_generated_code()
    assert {"ad.arrays.compiled", "tape.handle", "tape.arrays"} <= set(imported)
    covered = set(build._sources())
    missing = {name for name, path in imported.items() if path not in covered}
    assert not missing, "the key of the cache does not depend on these"


def test_import_of_ad_needs_no_extras():
    code = textwrap.dedent(
        """
        import sys
        import ad, ad.demo
        assert not {"scipy.optimize", "matplotlib", "tqdm"} & sys.modules.keys()
        """
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=100)
