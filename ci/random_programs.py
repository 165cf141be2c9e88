"""Random programs against dual numbers, as many as you like, in several processes.

Most run their adjoint as plain Python, one in `--compile-every` compiled.  A failure prints the seed, the program and
its adjoint, and the exit status is 1.  Repeat one with ``--kind arrays --first SEED --programs 1``.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "ad"), str(TESTS / "helpers")]

from interpreter import interpreted_gradient  # noqa: E402
from randomchecks import KINDS, check, compiled_gradient  # noqa: E402

import ad  # noqa: E402

BLOCK = 20
SHOWN = 5  # programs that were refused
FAILED, REFUSED, RIGHT = "failed", "refused", "right"


def run(kind, seeds, compile_every):
    """Check the programs of some seeds: what came of each, with a text."""
    warnings.simplefilter("error")
    found = []
    for seed in seeds:
        compiled = compile_every and seed % compile_every == 0
        try:
            check(kind, seed, compiled_gradient if compiled else interpreted_gradient)
            found.append((RIGHT, ""))
        except ad.ADError as error:
            found.append((REFUSED, f"{kind}, seed {seed}: {error}"))
        except Exception:
            found.append(
                (FAILED, f"{kind}, seed {seed}, {'compiled' if compiled else 'interpreted'}\n{traceback.format_exc()}")
            )
    return found


def results(done, block):
    try:
        return done.result()
    except BrokenProcessPool:
        kind, seeds = block
        return [(FAILED, f"{kind}, among seeds {seeds[0]} to {seeds[-1]}: a process died")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=5000, help="how many of each kind (5000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--compile-every", type=int, default=100, help="compile one in so many; 0 for none (100)")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--failures", type=int, default=3, help="stop after so many (3)")
    options = parser.parse_args()
    kinds = list(KINDS) if options.kind == "all" else [options.kind]
    seeds = range(options.first, options.first + options.programs)
    blocks = [(kind, seeds[i : i + BLOCK]) for i in range(0, len(seeds), BLOCK) for kind in kinds]
    start, texts, count = time.monotonic(), [], dict.fromkeys((RIGHT, REFUSED, FAILED), 0)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["LAYERED_TAPE_CACHE_DIR"] = cache
        with ProcessPoolExecutor(options.processes) as pool:
            running = {pool.submit(run, *block, options.compile_every): block for block in blocks}
            for done in as_completed(running):
                for what, text in results(done, running[done]):
                    count[what] += 1
                    if what == FAILED:
                        print(text, flush=True)
                    elif what == REFUSED and len(texts) < SHOWN:
                        texts.append(text)
                if count[FAILED] >= options.failures:
                    pool.shutdown(cancel_futures=True)
                    break
    for text in texts:
        print("refused:", text)
    listed = ", ".join(f"{n} {what}" for what, n in count.items())
    print(f"{sum(count.values())} programs in {time.monotonic() - start:.0f} s: {listed}")
    return 1 if count[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
