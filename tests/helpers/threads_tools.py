"""What the tests of several threads have in common."""

import threading

from layers_tools import PATIENCE
from numba import njit

LIMIT = 8 * PATIENCE


@njit(nogil=True)
def fill(tape, start, n):
    for i in range(n):
        tape.push(float(start + i))


@njit(nogil=True)
def drain(tape, n):
    total = 0.0
    for _ in range(n):
        total += tape.pop()
    return total


def in_thread(use, *args):
    """What `use` returns in a thread of its own, or raises."""
    found = []

    def work():
        try:
            found.append((use(*args), None))
        except BaseException as error:
            found.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "a thread did not come to an end"
    result, error = found[0]
    if error is not None:
        raise error
    return result


def together(work):
    """Run functions in threads of their own; what they return."""
    start = threading.Barrier(len(work))
    results, errors = [None] * len(work), []

    def run(k):
        try:
            start.wait(PATIENCE)
            results[k] = work[k]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads), "a thread did not come to an end"
    if errors:
        raise errors[0]
    return results
