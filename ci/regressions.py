"""Has HEAD become slower than BASE?  Made for machines that are noisy.

Both commits are built as wheels into folders of their own.  Then processes run in turn, base, head, head, base, and so
on: each measures every figure of ci/regression_figures.py as a ratio to a reference of the same process and moment
(so that the clock of the machine drops out).  Judged are the ratios head / base, pair by pair: a figure is slower if
their median is above the threshold and a distribution-free interval (order statistics, 99 %) lies above half of it.
A suspect figure is measured again by itself; only what is slower twice is reported.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "regressions"
FIGURES = ROOT / "ci" / "regression_figures.py"


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def environment():
    """The virtual environment that both commits share: everything but the package itself."""
    python = BUILD / "venv" / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", BUILD / "venv")
        run(
            python, "-m", "pip", "install", "--quiet", "Cython>=3.1", "setuptools>=77", "wheel", "numba", "platformdirs"
        )
    return python


def install(commit, python, patch=None):
    """The folder into which `commit` was built, with `patch` (a shell command run in its tree) if there is one."""
    sha = run("git", "rev-parse", f"{commit}^{{commit}}", cwd=ROOT)
    name = sha[:12] + ("-patched" if patch else "")
    target, tree = BUILD / name / "site", BUILD / name / "tree"
    if not (target / "tape").exists() or patch:
        subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, capture_output=True)
        subprocess.run(["rm", "-rf", BUILD / name], check=True)
        run("git", "worktree", "add", "--force", "--detach", tree, sha, cwd=ROOT)
        if patch:
            run("sh", "-c", patch, cwd=tree)
        options = ["--quiet", "--no-build-isolation", "--no-deps", "--no-cache-dir", "--target", target]
        run(python, "-m", "pip", "install", *options, tree)
        run("git", "worktree", "remove", "--force", tree, cwd=ROOT)
    return target


def measure(python, site, only):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env.update(PYTHONPATH=str(site), LAYERED_TAPE_CACHE_DIR=str(site.parent / "cache"))
    return json.loads(run(python, FIGURES, *only, env=env, cwd=BUILD).splitlines()[-1])


def interval(ratios):
    """The median and a 99 % interval of it by order statistics, for any distribution."""
    ordered, n = sorted(ratios), len(ratios)
    below, k = 0.0, 0
    while k < n // 2:
        below += math.comb(n, k) / 2**n
        if below > 0.005:
            break
        k += 1
    k = max(k - 1, 0)
    return statistics.median(ordered), ordered[k], ordered[n - 1 - k]


def compare(python, base, head, pairs, only=()):
    """Ratios head / base by figure, one a pair."""
    ratios, sites = {}, {"base": base, "head": head}
    for k in range(pairs):
        order = ("base", "head") if k % 2 == 0 else ("head", "base")
        figures = {side: measure(python, sites[side], only) for side in order}
        for name, value in figures["head"].items():
            if name in figures["base"]:
                ratios.setdefault(name, []).append(value / figures["base"][name])
    return ratios


def slower(ratios, threshold):
    found = []
    for name, values in ratios.items():
        median, low, high = interval(values)
        bad = median > 1 + threshold and low > 1 + threshold / 2
        found += [name] if bad else []
        print(f"  {name:24s} {median:6.3f}  [{low:.3f}, {high:.3f}]{'  slower' if bad else ''}", flush=True)
    return found


def check(python, base, head, pairs, threshold):
    print("figure: median of head / base, 99 % interval")
    suspects = slower(compare(python, base, head, pairs), threshold)
    if suspects:
        print("again, by themselves:")
        suspects = slower(compare(python, base, head, pairs, suspects), threshold)
    return suspects


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("head", nargs="?", default="HEAD")
    parser.add_argument("--pairs", type=int, default=12, help="pairs of processes (12)")
    parser.add_argument("--threshold", type=float, default=0.08, help="slowdown that is reported (0.08 for 8 %%)")
    parser.add_argument(
        "--plant", metavar="COMMAND", help="a shell command that changes the tree of HEAD before its build"
    )
    parser.add_argument("--repeat", type=int, default=1, help="compare so many times (for a test of this script)")
    options = parser.parse_args()

    BUILD.mkdir(parents=True, exist_ok=True)
    python = environment()
    base, head = install(options.base, python), install(options.head, python, options.plant)
    bad = 0
    for _ in range(options.repeat):
        found = check(python, base, head, options.pairs, options.threshold)
        print(f"slower: {', '.join(found)}" if found else "nothing is slower", flush=True)
        bad += bool(found)
    if options.repeat > 1:
        print(f"{bad} of {options.repeat} comparisons found something slower")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
