"""Fair comparison in one run: all candidates in turn, round after round, then medians and ratios."""

import statistics
import time


def seconds(use, *args):
    """Seconds that one call takes."""
    start = time.perf_counter()
    use(*args)
    return time.perf_counter() - start


def interleaved(candidates, rounds, warmup=1):
    """Call each of the candidates (a dict of functions that return a number) in turn; medians by name."""
    figures = {name: [] for name in candidates}
    for k in range(warmup + rounds):
        for name, use in candidates.items():
            figure = use()
            if k >= warmup:
                figures[name].append(figure)
    return {name: statistics.median(values) for name, values in figures.items()}


def calls(use, *args, number, clock=time.perf_counter):
    """A candidate: seconds per call of `use(*args)`, over `number` calls.

    With `time.process_time` as the clock, what others do on the machine counts less; only for what uses one thread.
    """

    def measure():
        start = clock()
        for _ in range(number):
            use(*args)
        return (clock() - start) / number

    return measure
