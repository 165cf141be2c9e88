"""What the tests of checkpointing share."""

import pytest


@pytest.fixture(autouse=True)
def tables_in_python(monkeypatch):
    """`checkpoint_schedules` compiles one of its tables by Numba, for many seconds; these here are small."""
    try:
        from checkpoint_schedules import mixed
    except ImportError:
        return
    table = mixed.mixed_steps_tabulation
    monkeypatch.setattr(mixed, "mixed_steps_tabulation", getattr(table, "py_func", table))
