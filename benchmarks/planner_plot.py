"""The plot of docs/memory.md: the time of a gradient against the memory that it may use, over all choices.

    python benchmarks/planner_plot.py [docs/memory.svg]

The wave of planner.py, of fewer steps: the choices by hand, and the planner, under each limit.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.planner import PROBLEMS, compare

LIMITS = [12, 24, 48, 96, 192, 384]
"""In MiB; all that is recorded takes about 256 MiB."""
WAVE = replace(next(p for p in PROBLEMS if p.name.startswith("wave")), trips=256)


def measured(rounds=3):
    """Seconds by choice, for each limit."""
    lines = {}
    for limit in LIMITS:
        with tempfile.TemporaryDirectory() as directory:
            medians, _ = compare(replace(WAVE, memory=f"{limit} MiB"), rounds, directory)
        for name, took in medians.items():
            name = "as many snapshots as fit" if name.endswith("in memory") else name
            lines.setdefault(name, []).append(took)
        print(limit, medians, flush=True)
    return lines


def plot(lines, path):
    plt.rcParams["svg.hashsalt"] = "layered-tape"
    figure, axes = plt.subplots(figsize=(7.0, 4.0), layout="constrained")
    for name, seconds in lines.items():
        style = {"color": "black", "linewidth": 2.5} if name == "planner" else {"linewidth": 1.2}
        axes.plot(LIMITS, seconds, marker="o", markersize=4, label=name, **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks(LIMITS, [str(limit) for limit in LIMITS])
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("memory limit (MiB)")
    axes.set_ylabel("seconds for a gradient")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    plot(measured(), sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "memory.svg")
