"""What the tests of checkpointing share."""

import pytest
from terminal import Terminal, drawing


@pytest.fixture(autouse=True)
def tables_in_python(monkeypatch):
    """`checkpoint_schedules` compiles one of its tables by Numba, for many seconds; these here are small."""
    try:
        from checkpoint_schedules import mixed
    except ImportError:
        return
    table = mixed.mixed_steps_tabulation
    monkeypatch.setattr(mixed, "mixed_steps_tabulation", getattr(table, "py_func", table))


@pytest.fixture
def terminal(monkeypatch):
    """Standard error is a terminal for lines of gradients; none is left half drawn, and no thread that draws."""
    pytest.importorskip("tqdm")
    found = Terminal()
    monkeypatch.setattr("ad.progress.new_bar", found.new_bar)
    yield found
    assert not drawing(), "a thread is left"
    assert found.getvalue()[-1:] in ("", "\n"), "a line is half drawn"
