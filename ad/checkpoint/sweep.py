"""`checkpointed_sweep`: a time loop and its adjoint, from a step and the vjp of a step that are anybody's."""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ad.checkpoint.directory import Directory
from ad.checkpoint.executor import Executor, Replan
from ad.checkpoint.layout import Layout
from ad.checkpoint.progress import Progress
from ad.checkpoint.saves import Files, Saves
from ad.checkpoint.settings import Schedule, Settings
from ad.checkpoint.simulate import Counts, Simulation
from ad.checkpoint.storage import Place
from ad.errors import ADTypeError, ADValueError

__all__ = ["Sweep", "checkpointed_sweep"]


@dataclass(frozen=True)
class Sweep:
    """What `checkpointed_sweep` returns."""

    state: Any
    """The final state."""
    adjoint: Any
    """The adjoint of the initial state."""
    gradient: Any
    """What was given as `gradient`, with what the steps added to it."""
    n: int
    """The number of steps."""
    counts: Counts
    """What this call did: steps forward and reverse, snapshots by level."""


def checkpointed_sweep(
    step: Callable[[Any, int], Any],
    vjp_step: Callable[..., Any],
    state: Any,
    n: int | None,
    *,
    adjoint: Any,
    gradient: Any = None,
    until: Callable[[Any, int], bool] | None = None,
    snapshots: int | None = None,
    memory: int | str | None = None,
    disk_snapshots: int | None = None,
    spill_dir: Place = None,
    schedule: str | Schedule | None = None,
    resume_dir: str | os.PathLike[str] | None = None,
    save_every: float = 60.0,
    tag: str = "",
    progress: bool = False,
    debug: bool = False,
) -> Sweep:
    """Run a time loop forward, and its adjoint backward, with few of its states in memory.

    The states are ``u[i + 1] = step(u[i], i)`` for i from 0 to n - 1.  With a loss ``J(u[n])``, or a sum of such of all
    states, the adjoint of state i is the derivative of the loss with respect to ``u[i]``.  Snapshots of some states are
    kept, and the others are computed again.  The result is the same, to the last bit, for every number of snapshots.

    Parameters
    ----------
    step : callable
        ``step(state, i)`` returns the state after step i.  It may update the arrays that it is given in place and
        return them, or return others; it must return the same for the same arguments, with the same shapes and dtypes.
    vjp_step : callable
        ``vjp_step(state, adjoint, i)``, with the state before step i and the adjoint of the state after it, returns the
        adjoint of the state before it: the adjoint times the Jacobian of step i, and, if the loss has a term of this
        state, its derivative.  With `gradient` it is called as ``vjp_step(state, adjoint, i, gradient)``, and adds the
        adjoint times the derivative of the step with respect to the parameters to these arrays.  It may overwrite the
        arrays of `state` and `adjoint`, and is called once for each step.
    state : array, number, or a nest of these
        The initial state: NumPy arrays of any dtype of fixed size, numbers and None in tuples, named tuples, lists and
        dicts.  It is not written to.  Arrays in it must not share memory.
    n : int or None
        The number of steps; None if `until` says when it ends.
    adjoint : callable, or a nest of arrays and numbers
        The adjoint of the final state, or a function of the final state that returns it.  It is usually like the state,
        with None for what has no derivative; `vjp_step` returns the same shapes and dtypes.
    gradient : nest of arrays, optional
        The gradient with respect to parameters, zeros as a rule; `vjp_step` adds to it in place.  When a sweep is
        resumed, what was saved takes the place of its contents.
    until : callable, optional
        For ``n=None``: ``until(state, i)`` says whether state i is the final one.
    snapshots : int, optional
        Most snapshots in memory, that of the initial state included.  Without it and `memory`, as many as there are
        steps.
    memory : int or str, optional
        The memory for snapshots instead (``"512 MiB"``), with what is on its way to disk, and the copy that the last
        step is reversed from.  The working state and its adjoint, and what the functions need, come on top.
    disk_snapshots : int, optional
        Most snapshots on disk beside those; none by default, or as many as a schedule takes that decides itself.
    spill_dir : path or tape.Store, optional
        Where to: a directory, in which a file without a name is made; by default a sensible one (see `tape.Tape`).
    schedule : str or callable, optional
        ``"binomial"`` (the default) takes the fewest steps, ``"dynamic"`` is the default for ``n=None``, ``"mixed"``,
        ``"h_revolve"``, ``"disk_revolve"`` and ``"periodic_disk_revolve"`` are those of the package
        `checkpoint_schedules` (the extra ``layered-tape[checkpointing]``).  A function ``(n, snapshots,
        disk_snapshots)`` that returns `ad.checkpoint` actions is a schedule too, such as
        ``functools.partial(ad.checkpoint.periodic, period=100)``; see `ad.checkpoint`.
    resume_dir : path, optional
        A directory for a sweep that can be killed: what is on disk is there then, and so is the adjoint.  The same call
        goes on from it, or returns the result if the sweep had ended.  Delete it to begin anew.
    save_every : float
        Seconds from one state or adjoint that is saved in `resume_dir` to the next; beside those of the schedule.
    tag : str
        Is kept in `resume_dir`, and must be the same when the sweep is resumed: to tell models and parameters apart.
    progress : bool
        Whether to show the steps and the time that is left on the terminal (needs tqdm).
    debug : bool
        Check each action of the schedule before it is carried out; a schedule of the caller's is always checked.

    Returns
    -------
    Sweep
        The final `state`, the `adjoint` of the initial one, the `gradient`, `n`, and the `counts` of what was done.

    Raises
    ------
    ADTypeError
        For an argument of the wrong type, and where `step` or `vjp_step` returns another layout; the leaf is named.
    ADValueError
        For an argument that makes no sense, and for a schedule that cannot be carried out.
    ResumeError
        If `resume_dir` belongs to another sweep (another n, schedule, initial state or tag), or is in use.
    tape.SpillError, OSError
        If the disk fails or is full: that of the snapshots, that of `resume_dir`.

    What the functions raise comes out as it is, with a note that says in which step.  A resumable sweep can go on then.

    Sources: Griewank and Walther (2000), "Algorithm 799: Revolve"; those of the other schedules are in their
    docstrings.

    >>> r = ad.checkpointed_sweep(step, vjp_step, u0, 10_000, adjoint=lambda u: 2 * (u - data), snapshots=50)
    >>> r.adjoint                            # the gradient with respect to u0
    """
    for name, function in (("step", step), ("vjp_step", vjp_step)):
        if not callable(function):
            raise ADTypeError(f"{name}: a function, not {type(function).__name__}")
    if isinstance(save_every, bool) or not isinstance(save_every, int | float) or not save_every >= 0:
        raise ADValueError(f"save_every: seconds, at least 0, not {save_every!r}")
    settings = Settings(state, n, until, snapshots, memory, disk_snapshots, schedule, gradient, tag)
    if not callable(adjoint):
        Layout(adjoint, "adjoint")  # refused here, not after the forward sweep
    terminal = adjoint if callable(adjoint) else lambda final: adjoint
    with contextlib.ExitStack() as stack:
        saves, files = None, None
        if resume_dir is not None:
            directory = Directory(resume_dir, settings.facts())
            stack.callback(directory.close)
            files = Files(directory, settings.layout.leaves)
            saves = Saves(directory, files, save_every, settings.layout, settings.parameters, settings.arrays)
        storage = settings.storage(spill_dir, files)
        for place in storage.values():
            stack.callback(place.close)
        line = None
        if progress:
            line = Progress()
            stack.callback(line.close)
            step, vjp_step = line.forward(step), line.reverse(vjp_step)
        back = vjp_step if gradient is None else lambda state, adjoint, i: vjp_step(state, adjoint, i, gradient)
        executor = Executor(
            step, back, terminal, until, settings.layout.copy(state), settings.layout, settings.n, storage, saves
        )
        if saves is not None and files is not None and (saved := saves.saved_final()) is not None:
            executor.n, final = saved
            files.forget(executor.begin_reverse(final))
        _carry_out(executor, settings, line, debug, partial(_store_first, files, settings.layout.flat(state)))
    assert executor.n is not None
    return Sweep(executor.final, executor.adjoint, gradient, executor.n, executor.counts)


def _store_first(files: Files | None, leaves: list[Any]) -> None:
    """State 0 of a sweep that can be resumed is there, whatever else is or is damaged."""
    if files is not None and 0 not in files.steps():
        files.store(0, leaves)


def _known(executor: Executor, settings: Settings, line: Progress) -> None:
    """Now that the number of steps is known, so is what is left."""
    line.expect(settings.steps_left(executor, executor.bases()), executor.todo)


def _carry_out(
    executor: Executor, settings: Settings, line: Progress | None, debug: bool, store_first: Callable[[], None]
) -> None:
    """Run the schedule; or, where snapshots are there already, what goes on from these."""
    begun = executor.todo is not None
    while executor.todo != 0:
        store_first()
        bases = executor.bases()
        if not begun and all(step == 0 for step, _ in bases):
            bases = []
        begun = True
        if line is not None:
            line.expect(settings.steps_left(executor, bases), executor.n if executor.todo is None else executor.todo)
            if executor.n is None:
                executor.ended = partial(_known, executor, settings, line)
        actions = settings.plan(executor, bases)
        if debug or not settings.trusted:
            disk = settings.disk if executor.saves is None else None
            actions = Simulation(executor.n, settings.ram, disk, bases, executor.todo).checked(actions)
        try:
            executor.run(actions)
            break
        except Replan:
            continue
