"""One budget for several tapes, in several threads; and the budget of the process."""

import threading

import numba
import numpy as np
import pytest
from layers_tools import SLAB, descriptors, nothing_left, numbers, python, small_tape, threads

from tape import Budget, SpillError, TapeMemoryError
from tape.disk import FileStore
from tape.testing import FaultStore, MemoryStore


@numba.njit(nogil=True)
def push_all(tape, items):
    for x in items:
        tape.push(x)


@numba.njit(nogil=True)
def pop_all(tape, out):
    for i in range(len(out)):
        out[len(out) - 1 - i] = tape.pop()


def use_at_random(tape, chance, rounds):
    """Mixed operations, each compared with a list; how many were refused by a store that fails."""
    model, refused = [], 0
    for _ in range(rounds):
        step = chance.integers(8)
        n = int(chance.integers(1, 3000))
        new = chance.random(n)
        held = len(model)
        try:
            if step <= 1:
                tape.extend(new)
                model.extend(new)
            elif step == 2:
                push_all(tape, new)
                model.extend(new)
            elif step == 3 and n <= held:
                out = np.empty(n)
                pop_all(tape, out)
                assert out.tolist() == model[held - n :]
                del model[held - n :]
            elif step <= 5 and n <= held:
                assert tape.popn(n).tolist() == model[held - n :]
                del model[held - n :]
            elif step == 6 and held:
                i = int(chance.integers(held))
                assert tape[i] == model[i]
                assert tape[i : i + 700].tolist() == model[i : i + 700]
            elif step == 7:
                mark = tape.mark()
                tape.extend(new)
                model.extend(new)
                tape.rewind(mark)  # what is dropped is not read, but the slab that the mark is in
                del model[held:]
        except SpillError:
            refused += 1
            # A compiled loop got as far as it got.
            if step == 2:
                model.extend(new[: len(tape) - held])
            elif step == 3:
                del model[len(tape) :]
        assert len(tape) == len(model)
    while model:
        n = min(len(model), 1000)
        try:
            assert tape.popn(n).tolist() == model[len(model) - n :]
        except SpillError:
            refused += 1
            continue
        del model[len(model) - n :]
    return refused


STORES = {
    "memory": lambda seed, where: MemoryStore(),
    "slow": lambda seed, where: FaultStore(MemoryStore(), delay=0.001, seed=seed),
    "file": lambda seed, where: FileStore(where),
    "faulty": lambda seed, where: FaultStore(MemoryStore(), fail_rate=0.3, seed=seed),
}


@pytest.fixture(scope="module")
def compiled():
    """In one thread: what the first compilation loads, the others do not wait for; and it leaves a file open."""
    with small_tape(MemoryStore()) as tape:
        push_all(tape, numbers(2))
        pop_all(tape, numbers(2))


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("slabs", [18, 60])
def test_tapes_in_four_threads_share_a_budget(tmp_path, kind, slabs):
    counts = threads(), descriptors()
    budget = Budget(slabs * SLAB)
    failed, refused = [], []

    def work(seed):
        try:
            with STORES[kind](seed, tmp_path) as store, small_tape(store, budget) as tape:
                refused.append(use_at_random(tape, np.random.default_rng(seed), 60))
        except BaseException as error:
            failed.append(error)
            raise

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed
    assert budget.high_bytes <= budget.memory
    assert budget.used_bytes == 0
    assert kind == "faulty" or sum(refused) == 0
    assert nothing_left(counts)


def test_more_tapes_than_the_budget_has_slabs():
    """The slab that a cursor is in stays in memory, and so there is an end; it is an error that says so."""
    budget = Budget(8 * SLAB)
    tapes = []
    with pytest.raises(TapeMemoryError, match=r"budget of 32768 bytes 32768 are in use, by slabs that cannot leave"):
        for _ in range(20):
            tapes.append(small_tape(MemoryStore(), budget))
            tapes[-1].extend(numbers(1000))
    assert len(tapes) >= 7
    tapes.pop().close()
    for tape in tapes:
        assert tape.popn(1000).tolist() == numbers(1000).tolist()
        tape.close()
    assert budget.used_bytes == 0


def test_a_tape_that_ends_gives_its_memory_to_one_that_waits():
    budget = Budget(8 * SLAB)
    gate = threading.Event()

    class Gate(MemoryStore):
        def write(self, data):
            assert gate.wait(30)
            return super().write(data)

    first = small_tape(Gate(), budget)
    first.extend(numbers(6 * 512))
    second = small_tape(MemoryStore(), budget)
    pusher = threading.Thread(target=second.extend, args=(numbers(20_000),))
    pusher.start()
    opener = threading.Timer(0.1, gate.set)
    opener.start()
    first.close()
    pusher.join()
    opener.join()
    assert second.popn(20_000).tolist() == numbers(20_000).tolist()
    second.close()
    assert budget.used_bytes == 0


# The process.


def test_configure_gives_all_tapes_one_budget(tmp_path):
    out, _ = python(
        f"""
        before = Tape()
        tape.configure(memory="1 MiB", spill_dir={str(tmp_path)!r})
        t, u, own = Tape(), Tape(), small(MemoryStore())
        print(before.budget, t.budget is u.budget, t.budget.memory, own.budget.memory)
        t.extend(np.arange(200000.0))
        u.extend(np.arange(200000.0))
        print(t.budget.used_bytes <= 2**20, t.traffic().file_bytes > 0)
        print(t.popn(200000).sum(), u.popn(200000).sum())
        tape.configure(spill_dir=None)
        print(Tape().budget is t.budget)
        tape.configure(memory=None)
        print(Tape().budget, t.budget.memory)
        """
    )
    assert out.splitlines() == [
        "None True 1048576 32768",
        "True True",
        "19999900000.0 19999900000.0",
        "True",
        "None 1048576",
    ]


def test_the_environment_gives_all_tapes_one_budget(tmp_path):
    code = """
        t, u = Tape(), Tape("i8")
        print(t.budget.memory, t.budget is u.budget)
        t.extend(np.arange(300000.0))
        print(t.popn(300000).sum())
        try:
            t.extend(np.arange(10.0 ** 6))
        except MemoryError as error:
            print(error)
        """
    out, _ = python(code, env={"LAYERED_TAPE_MEMORY": "512 KiB", "LAYERED_TAPE_SPILL_DIR": str(tmp_path)})
    assert out.splitlines() == ["524288 True", "44999850000.0"]
    out, _ = python("print(Tape().budget)", env={"LAYERED_TAPE_MEMORY": "", "LAYERED_TAPE_SPILL_DIR": ""})
    assert out.split() == ["None"]


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({"LAYERED_TAPE_MEMORY": "much"}, "TapeValueError LAYERED_TAPE_MEMORY: 'much' is no size"),
        ({"LAYERED_TAPE_MEMORY": "-1"}, "TapeValueError LAYERED_TAPE_MEMORY: '-1' is no size"),
        (
            {"LAYERED_TAPE_MEMORY": "1 KiB"},
            "TapeValueError memory: 1024 bytes; a tape whose slabs have 4096",
        ),
        (
            {"LAYERED_TAPE_MEMORY": "1 MiB", "LAYERED_TAPE_SPILL_DIR": "/no/such/place"},
            "SpillError cannot spill to /no/such/place: No such file or directory",
        ),
    ],
)
def test_an_environment_that_makes_no_sense(env, wanted):
    out, _ = python(
        """
        for _ in range(2):
            try:
                Tape()
            except TapeError as error:
                print(type(error).__name__, error)
        print(Tape(memory="1 MiB", spill_dir=MemoryStore()).budget.memory)
        """,
        env=env,
    )
    lines = out.splitlines()
    assert [line.startswith(wanted) for line in lines[:2]] == [True, True], out
    assert lines[2:] == ["1048576"]


@pytest.mark.parametrize("bad", ["memory='much'", "memory=-1", "memory=1.5", "memory=True", "spill_dir=3"])
def test_configure_refuses_what_makes_no_sense(bad):
    out, _ = python(
        f"""
        try:
            tape.configure(memory="2 MiB")
            tape.configure({bad})
        except (TapeTypeError, TapeValueError) as error:
            print(str(error).split(":")[0], Tape().budget.memory)
        """
    )
    assert out.split() == [bad.split("=")[0], "2097152"]
