"""A report as text."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tape.sizes import format_bytes

if TYPE_CHECKING:
    from ad.report import CheckpointedLoop, Item, Line, Report

__all__ = ["table"]

_INDENT = "  "
_LONG = 60  # characters of a line of the user's


def table(report: "Report") -> str:
    """The report, for people."""
    listed = ", ".join(report.wrt)
    out = [f"{report.function}(), differentiated with respect to {listed}", report.filename]
    on_tape = [item for item in report.items if item.on_tape and not item.rerun]
    again = [item for item in report.items if item.on_tape and item.rerun]
    if not on_tape and not again and not report.checkpointed:
        out += ["", "Nothing is recorded on the tape."]
    if on_tape:
        out += ["", "Recorded on the tape:", *_items(report, on_tape)]
    if again:
        what = "a call" if not report.checkpointed else "a trip" if not report.rerun else "a call or a trip"
        out += ["", f"Recorded while {what} is run again, and taken back at once:", *_items(report, again)]
    kept = [item for item in report.items if not item.on_tape]
    if kept:
        out += ["", "Kept in variables, outside of loops:", *_items(report, kept)]
    if report.checkpointed:
        rows = [[_line(report, loop.line), loop.line.text, *_snapshots(loop)] for loop in report.checkpointed]
        out += ["", "Run again from snapshots, because of ad.checkpointed:", *_columns(rows)]
    out += _planned(report)
    out += _loops(report)
    out += _lanes(report)
    for title, found in (
        ("Copied on entry, because the function writes to them:", report.copied.items()),
        ("In the place of their calls:", report.inlined.items()),
        ("With sweeps of their own:", report.called.items()),
        ("Run again in the reverse sweep instead of recorded, because of ad.remat:", report.rerun.items()),
        ("Called as they are, no derivative passes:", report.unchanged.items()),
    ):
        rows = [[name, _places(report, lines if isinstance(lines, tuple) else (lines,))] for name, lines in found]
        if rows:
            out += ["", title, *_columns(rows)]
    if report.small:
        rows = [[name, f"{n} elements", f"line {_line(report, line)}"] for name, (n, line) in report.small.items()]
        out += ["", "Arrays that became numbers, because they are small:", *_columns(rows)]
    if report.recomputed:
        rows = [[_line(report, line), text] for line, text in report.recomputed]
        out += ["", "Computed again instead of recorded, because that is cheap:", *_columns(rows)]
    if report.passive:
        out += ["", "No derivative passes through:", *_columns([list(pair) for pair in report.passive.items()])]
    out += ["", "Options:", *_columns([[name, _option(value)] for name, value in report.options.items()])]
    return "\n".join(line.rstrip() for line in out)


def _items(report: "Report", items: Sequence["Item"]) -> list[str]:
    rows = [["line", "variable", "kind", "size", "needed by line", "because it is overwritten in"]]
    for item in items:
        size = str(item.size) if item.on_tape else ""
        if item.size.arrays:
            size = f"{item.size.bytes} bytes + {item.size.arrays[0][0]} an element"
        where = _line(report, item.line) + (" (in a branch)" if item.in_branch else "")
        rows.append([where, item.variable, item.kind, size, _places(report, item.needed_by), _lost(report, item)])
    return _columns(rows)


def _lost(report: "Report", item: "Item") -> str:
    line = item.overwritten_by
    if line is None:
        return "its function has returned"
    if not item.at_end:
        text = line.text if len(line.text) <= _LONG else f"{line.text[: _LONG - 3]}..."
        return f"line {_line(report, line)}: {text}"
    if line in item.loops:
        return f"the next trip of line {_line(report, line)}"
    return f"another pass of line {_line(report, line)}"


def _snapshots(loop: "CheckpointedLoop") -> tuple[str, str]:
    """How many snapshots a loop has, and what they are."""
    period = f", period {loop.period}" if loop.period is not None else ""
    count = f"{loop.snapshots} snapshots" if loop.snapshots is not None else "snapshots by default"
    count += f" and {loop.disk_snapshots} on disk" if loop.disk_snapshots is not None else ""
    return f"{loop.schedule}{period}, {count}", f"of {', '.join(loop.state)}: {loop.size}"


def _planned(report: "Report") -> list[str]:
    out: list[str] = []
    for loop in report.planned:
        if not out:
            out = ["", "Chosen for the memory limit in the latest call that had one:"]
        out.append(f"{_INDENT}line {_line(report, loop.line)}: {loop.line.text}")
        found = [f"{loop.trips} trip{'' if loop.trips == 1 else 's'}: {loop.choice}"]
        costs = loop.costs
        if costs is not None:
            speeds = dict.fromkeys((costs.speeds[0], costs.speeds[-1]))
            times = " or ".join(f"{_time(s.record)} recorded and {_time(s.reverse)} reversed" for s in speeds)
            found.append(f"a trip takes {_time(costs.advance)}, {times}, tried for {_time(loop.trial_seconds)}")
            sizes = format_bytes(round(costs.record_bytes)), format_bytes(costs.snapshot_bytes)
            found.append(f"a trip records {sizes[0]}, a snapshot has {sizes[1]}")
        for what, seconds, nbytes, spilled in (
            ("predicted", loop.predicted_seconds, loop.predicted_bytes, loop.predicted_bytes_to_disk),
            ("actual", loop.seconds, loop.bytes, loop.bytes_to_disk),
        ):
            took = f"{_time(seconds)}, " if seconds is not None else ""
            found.append(f"{what}: {took}{format_bytes(nbytes)} on the tape, {format_bytes(spilled)} to disk")
        out += [_INDENT * 2 + text for text in found]
    return out


def _time(seconds: float) -> str:
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-9:.3g} ns"


def _loops(report: "Report") -> list[str]:
    if not report.loops:
        return []
    rows = []
    for loop in report.loops:
        most, least = str(loop.size), str(loop.least)
        size = most if loop.size == loop.least else f"{least} to {most}"
        notes = []
        if loop.decisions:
            notes.append(f"{loop.decisions} decision{'s' if loop.decisions > 1 else ''}")
        if loop.trip_counts:
            notes.append(f"{loop.trip_counts} trip count{'s' if loop.trip_counts > 1 else ''}")
        if loop.calls:
            notes.append(f"what is called in line {_places(report, loop.calls)}")
        with_ = f", with {' and '.join(notes)}" if notes else ""
        text = _INDENT * len(loop.loops) + loop.line.text
        rows.append([_line(report, loop.line), text, f"{size}{with_}"])
    return ["", "Each trip of a loop records, loops within it not counted:", *_columns(rows)]


def _lanes(report: "Report") -> list[str]:
    out: list[str] = []
    for loop in report.lanes:
        if not out:
            out = ["", "Trips at the same time, in lanes, one for each thread:"]
        out.append(f"{_INDENT}line {_line(report, loop.line)}: {loop.line.text}")
        rows = [
            ["each trip has its own", loop.private],
            ["all trips add to", loop.sums],
            ["each trip touches its own row of", loop.rows],
            ["all trips read", loop.shared],
            ["whose adjoint every lane has a copy of", loop.copied],
        ]
        out += [f"{_INDENT * 2}{what} {', '.join(names)}" for what, names in rows if names]
    return out


def _line(report: "Report", line: "Line") -> str:
    return _places(report, [line])


def _places(report: "Report", lines: Iterable["Line | None"]) -> str:
    found: dict[str, list[str]] = {}
    for line in lines:
        if line is not None:
            of = "" if line.function == report.function else f" of {line.function}()"
            found.setdefault(of, []).append(str(line.number))
    return ", ".join(", ".join(numbers) + of for of, numbers in found.items())


def _option(value: Any) -> str:
    return "default" if value is None else str(value)


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [_INDENT + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
