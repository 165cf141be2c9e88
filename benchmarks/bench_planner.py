"""asv: the planner of marked loops over the best choice by hand, and over its prediction (see planner.py)."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.planner import PROBLEMS, compare

NAMES = [problem.name.partition(":")[0] for problem in PROBLEMS]


class Planner:
    params = NAMES
    param_names = ("problem",)
    timeout = 900

    def setup_cache(self):
        found = {}
        for name, problem in zip(NAMES, PROBLEMS):
            with tempfile.TemporaryDirectory() as directory:
                medians, plan = compare(problem, 3, directory)
            best = min(took for choice, took in medians.items() if choice != "planner")
            found[name] = medians["planner"] / best, plan.predicted_seconds / plan.seconds
        return found

    setup_cache.timeout = 3600

    def track_over_best_by_hand(self, found, problem):
        return found[problem][0]

    track_over_best_by_hand.unit = "times the best choice by hand"

    def track_prediction(self, found, problem):
        return found[problem][1]

    track_prediction.unit = "times what it took"
