"""``python -m ad demo``: calibrate a predator-prey model to a century-old record, by gradients from `ad`.

The hares u and lynxes v of the Hudson's Bay Company follow Lotka and Volterra, ``u' = (alpha - beta v) u``,
``v' = (delta u - gamma) v``; the counts of pelts are log-normal around them, with scales sigma_u and sigma_v.  The
eight unknowns are found by maximum likelihood.

Source of the model and of the estimates to compare with: Carpenter (2018), "Predator-Prey Population Dynamics: the
Lotka-Volterra model in Stan".  Those are posterior means under weak priors, so maximum likelihood lands near them.
"""

import argparse
import importlib
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from ad.options import Given, TapeOptions
from ad.tapes import new_tape
from ad.testing import GradientCheck, check_grads
from ad.transforms import value_and_grad
from tape import SpillError, TapeValueError
from tape.sizes import parse_bytes

__all__ = ["main", "negative_log_likelihood"]

PARAMETERS = ("alpha", "beta", "gamma", "delta", "u0", "v0", "sigma_u", "sigma_v")
PUBLISHED = (0.55, 0.028, 0.80, 0.024, 33.9, 5.9, 0.25, 0.25)
YEARS = 20


@njit
def misfit(observed, predicted, sigma):
    """Negative log-density of a log-normal observation."""
    z = (math.log(observed) - math.log(predicted)) / sigma
    return 0.5 * z * z + math.log(sigma * observed) + 0.5 * math.log(2.0 * math.pi)


@njit
def negative_log_likelihood(
    alpha, beta, gamma, delta, u0, v0, sigma_u, sigma_v, hares, lynxes, steps_per_year
):  # fmt: skip
    """Of the yearly counts, the first of which belongs to the initial state; Runge and Kutta's classical method."""
    h = 1.0 / steps_per_year
    u = u0
    v = v0
    loss = misfit(hares[0], u, sigma_u) + misfit(lynxes[0], v, sigma_v)
    for year in range(1, len(hares)):
        for _ in range(steps_per_year):
            u1 = (alpha - beta * v) * u
            v1 = (delta * u - gamma) * v
            ua = u + 0.5 * h * u1
            va = v + 0.5 * h * v1
            u2 = (alpha - beta * va) * ua
            v2 = (delta * ua - gamma) * va
            ub = u + 0.5 * h * u2
            vb = v + 0.5 * h * v2
            u3 = (alpha - beta * vb) * ub
            v3 = (delta * ub - gamma) * vb
            uc = u + h * u3
            vc = v + h * v3
            u4 = (alpha - beta * vc) * uc
            v4 = (delta * uc - gamma) * vc
            u += h / 6.0 * (u1 + 2.0 * u2 + 2.0 * u3 + u4)
            v += h / 6.0 * (v1 + 2.0 * v2 + 2.0 * v3 + v4)
        loss += misfit(hares[year], u, sigma_u) + misfit(lynxes[year], v, sigma_v)
    return loss


class Record(NamedTuple):
    """The counts, thousands of pelts a year."""

    years: np.ndarray
    hares: np.ndarray
    lynxes: np.ndarray


def read_record() -> Record:
    text = files("ad").joinpath("data/hudson-bay-lynx-hare.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    if rows[0] != ["year", "lynx", "hare"] or len(rows) != YEARS + 2:
        raise ValueError("the data file of the demo is damaged: install the package again")
    table = np.array(rows[1:], dtype=float)
    return Record(table[:, 0].copy(), table[:, 2].copy(), table[:, 1].copy())


class Unavailable(Exception):
    """A package that only the demo needs is missing."""


def optional(name: str) -> Any:
    """Import a module of the extra `demo`."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        advice = " (or leave the plot out with --no-plot)" if package == "matplotlib" else ""
        raise Unavailable(f'the demo needs {package}: pip install "layered-tape[demo]"{advice}') from error


# ------------------------------------------------------------------------------------------- calibration


@dataclass
class Calibration:
    """The likelihood of a record as a function of the logarithms of the parameters, which keeps them positive."""

    record: Record
    steps_per_year: int
    options: Given = field(default_factory=Given)
    evaluations: int = 0
    gradient: Any = field(init=False)

    def __post_init__(self) -> None:
        self.gradient = value_and_grad(negative_log_likelihood, wrt=PARAMETERS).with_options(**self.options)

    def arguments(self, parameters: Iterable[float]) -> tuple[Any, ...]:
        return (*map(float, parameters), self.record.hares, self.record.lynxes, self.steps_per_year)

    def __call__(self, logs: np.ndarray) -> tuple[float, np.ndarray]:
        self.evaluations += 1
        parameters = np.exp(logs)
        value, derivatives = self.gradient(*self.arguments(parameters))
        return value, parameters * np.array(derivatives)


def first_guess(record: Record) -> np.ndarray:
    """Rough values, as one would read them off the data: both rates near one a year, equilibria at the means."""
    hares, lynxes = record.hares.mean(), record.lynxes.mean()
    return np.array([0.7, 0.7 / lynxes, 0.7, 0.7 / hares, record.hares[0], record.lynxes[0], 0.5, 0.5])


def calibrate(problem: Calibration, progress: Callable[[float, float], None]) -> np.ndarray:
    """The parameters of maximum likelihood."""
    optimize = optional("scipy.optimize")
    latest = [math.nan, math.nan]

    def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = problem(logs)
        latest[:] = [value, float(np.linalg.norm(slope))]
        return value, slope

    start = np.log(first_guess(problem.record))
    result = optimize.minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(x - 3.0, x + 3.0) for x in start],
        callback=lambda _: progress(*latest),
        options={"maxiter": 500, "ftol": 1e-15, "gtol": 1e-7},
    )
    return np.exp(result.x)


def measure(problem: Calibration, parameters: np.ndarray, repeats: int = 7) -> tuple[float, float]:
    """Median seconds of the plain function and of the gradient, in turns."""
    arguments = problem.arguments(parameters)
    primal, gradient = problem.gradient.primal, problem.gradient
    primal(*arguments)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for f, spent in zip((primal, gradient), times, strict=True):
            start = time.perf_counter()
            f(*arguments)
            spent.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


# ------------------------------------------------------------------------------------------------ report


def table(problem: Calibration, parameters: np.ndarray) -> str:
    _, slopes = problem(np.log(parameters))
    lines = [f"{'parameter':<10}{'estimate':>12}{'published':>12}{'d(-log L)/d(log p)':>22}"]
    for name, value, published, slope in zip(PARAMETERS, parameters, PUBLISHED, slopes, strict=True):
        lines.append(f"{name:<10}{value:>12.4f}{published:>12.3f}{slope:>22.2e}")
    lines.append(f"{'norm':<34}{np.linalg.norm(slopes):>22.2e}")
    return "\n".join(lines)


def taylor_text(check: GradientCheck) -> str:
    shown = ", ".join(f"{rate:.3f}" for rate in check.rates[-3:])
    return f"orders of the remainder {shown}; largest relative difference to central differences {check.error:.1e}"


def trajectory(parameters: np.ndarray) -> np.ndarray:
    """Times in years and both populations, for the plot."""
    alpha, beta, gamma, delta, u, v = parameters[:6]
    integrate = optional("scipy.integrate")
    found = integrate.solve_ivp(
        lambda _, y: ((alpha - beta * y[1]) * y[0], (delta * y[0] - gamma) * y[1]),
        (0.0, YEARS),
        (u, v),
        rtol=1e-9,
        atol=1e-9,
        t_eval=np.linspace(0.0, YEARS, 50 * YEARS + 1),
    )
    return np.vstack([found.t, found.y])


def plot(record: Record, parameters: np.ndarray, path: Path) -> None:
    matplotlib = optional("matplotlib")
    matplotlib.use("Agg")
    pyplot = optional("matplotlib.pyplot")
    times, u, v = trajectory(parameters)
    figure, axes = pyplot.subplots(figsize=(9.0, 4.8), layout="constrained")
    for counts, curve, sigma, colour, name in (
        (record.hares, u, parameters[6], "tab:blue", "hares"),
        (record.lynxes, v, parameters[7], "tab:red", "lynxes"),
    ):
        axes.plot(record.years, counts, "o", color=colour, label=f"{name}, pelts")
        axes.plot(record.years[0] + times, curve, color=colour, label=f"{name}, fit")
        band = curve * np.exp(-sigma), curve * np.exp(sigma)
        axes.fill_between(record.years[0] + times, *band, color=colour, alpha=0.15, linewidth=0)
    axes.set(
        xlabel="year",
        ylabel="thousands of pelts",
        title="Hudson's Bay Company: Lotka-Volterra by maximum likelihood (bands: one log-normal scale)",
        xlim=(record.years[0] - 0.3, record.years[-1] + 0.3),
    )
    axes.set_ylim(0.0, 1.3 * max(u.max(), v.max(), record.hares.max(), record.lynxes.max()))
    axes.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(5))
    axes.legend(frameon=False, ncols=2)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


# ------------------------------------------------------------------------------------------ command line


def _steps(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"an integer, not {text!r}") from None
    if not YEARS <= value <= 10**9 or value % YEARS:
        raise argparse.ArgumentTypeError(f"a multiple of {YEARS} (the years of the record), at most 10**9, not {value}")
    return value


def _png(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"a file name that ends in .png, not {text!r}")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {path.absolute().parent}")
    return path


def _size(text: str) -> int:
    try:
        size = parse_bytes(text, "memory")
        new_tape(TapeOptions(memory=size)).close()  # which may find it too small
    except TapeValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("memory: ")) from None
    return size


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {path.absolute()}")
    return path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps",
        type=_steps,
        default=200_000,
        metavar="N",
        help="Runge-Kutta steps of one evaluation (default: 200000)",
    )
    parser.add_argument(
        "--memory",
        type=_size,
        metavar="SIZE",
        help="most memory for the tape of a gradient, e.g. 64MiB; the rest goes to disk (default: no limit)",
    )
    parser.add_argument(
        "--spill-dir",
        type=_directory,
        metavar="DIR",
        help="with --memory: where the rest goes (default: the directory of temporary files)",
    )
    parser.add_argument(
        "--out",
        type=_png,
        default=Path("lynx-hare.png"),
        metavar="PNG",
        help="where to write the plot (default: lynx-hare.png)",
    )
    parser.add_argument("--no-plot", action="store_true", help="do not write a plot")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, and only the table")


def main(options: argparse.Namespace) -> int:
    """Run the demo; the exit status."""
    try:
        return run(options)
    except (Unavailable, SpillError) as error:
        print(error)
        return 1


def run(options: argparse.Namespace) -> int:
    tqdm = optional("tqdm")
    if not options.no_plot:
        optional("matplotlib")
    record = read_record()
    limits = Given(memory=options.memory, spill_dir=options.spill_dir)
    problem = Calibration(record, options.steps // YEARS, limits)

    def say(text: str) -> None:
        if not options.quiet:
            print(text)

    say(f"{YEARS + 1} years, {options.steps} Runge-Kutta steps an evaluation, 8 parameters; compiling ...")
    begun = time.perf_counter()
    problem(np.log(first_guess(record)))
    say(f"first gradient after {time.perf_counter() - begun:.1f} s")

    problem.evaluations = 0
    with tqdm.tqdm(desc="L-BFGS-B", unit=" iterations", disable=options.quiet) as bar:

        def progress(value: float, slope: float) -> None:
            bar.update()
            bar.set_postfix_str(f"-log L {value:.6f}, gradient {slope:.1e}", refresh=False)

        parameters = calibrate(problem, progress)
    evaluations = problem.evaluations

    print(table(problem, parameters))
    print(f"evaluations of value and gradient: {evaluations}")
    plain, both = measure(problem, parameters)
    ratio = both / plain
    say(f"time: {both * 1e3:.2f} ms for value and gradient, {plain * 1e3:.2f} ms for the function: ratio {ratio:.2f}")
    say(f"tape: {problem.gradient.stats()}")
    if options.memory is not None:
        say(f"traffic: {problem.gradient.traffic()}")
    # Away from the optimum, where the first-order term is not zero itself.
    check = check_grads(problem.gradient, problem.arguments(1.1 * parameters), step=1e-3)
    say(f"Taylor test: {taylor_text(check)}")
    if not options.no_plot:
        plot(record, parameters, options.out)
        say(f"plot: {options.out}")
    return 0
