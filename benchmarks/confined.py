"""Child processes under a limit of memory, and how much they took: for benchmarks of what does not fit.

Where a memory cgroup can be made (root on Linux, v1 or v2) the limit is a real one: it counts anonymous memory and the
page cache that the child brings in, what the interpreter and the compiler take included, and the kernel kills what does
not keep to it.  Pages of libraries that another process loaded first are charged to that one.  Elsewhere the limit is
RLIMIT_DATA: private writable memory only, no page cache.  Every report says which it was.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tape.sizes import format_bytes

SAMPLE_SECONDS = 0.01

# Joins the group before it becomes the child: nothing of the child is charged elsewhere.
_JOIN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
_ULIMIT = 'ulimit -d "$0" && exec "$@"'


class NoCgroupError(OSError):
    """No memory cgroup can be made, and why."""


@dataclass
class Report:
    """What a child said and took; bytes."""

    figures: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    """Why there are no figures."""
    confined_by: str = ""
    """What held it; empty if nothing did."""
    peak_rss: int = 0
    peak_anon: int = 0
    """Of it, memory that is not a file's."""
    peak_file: int = 0
    peak_group: int = 0
    """Most that the cgroup held, page cache included; 0 without one."""


class Group:
    """A memory cgroup of its own for one child."""

    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        self.version = version

    def read(self, v1: str, v2: str) -> int:
        try:
            return int((self.path / (v1 if self.version == 1 else v2)).read_text())
        except (OSError, ValueError):
            return 0

    def peak(self) -> int:
        return self.read("memory.max_usage_in_bytes", "memory.peak")

    def limit(self, limit: int, swap: bool) -> None:
        if self.version == 1:
            (self.path / "memory.limit_in_bytes").write_text(str(limit))
            both = self.path / "memory.memsw.limit_in_bytes"
            if not swap and both.exists():
                both.write_text(str(limit))
        else:
            (self.path / "memory.max").write_text(str(limit))
            swapped = self.path / "memory.swap.max"
            if swapped.exists():
                swapped.write_text("max" if swap else "0")

    def remove(self) -> None:
        for _ in range(100):  # a process that has just ended may still count as a member
            try:
                self.path.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.02)
        print(f"could not remove {self.path}", file=sys.stderr)


def _mounts() -> Iterator[tuple[str, str, str]]:
    """Mount point, type and options of all file systems."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        yield before.split()[4], kind, options


def _homes() -> Iterator[tuple[Path, int]]:
    """Folders that a group could be made in, and the cgroup version: that of this process first, then the top."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") or not controllers:
            own[1 if controllers else 2] = path.lstrip("/")
    for point, kind, options in _mounts():
        version = 1 if kind == "cgroup" and "memory" in options.split(",") else 2 if kind == "cgroup2" else 0
        if version:
            yield Path(point) / own.get(version, ""), version
            yield Path(point), version


def _make_group(limit: int, swap: bool) -> Group:
    why = "no cgroup of this system controls memory"
    for home, version in _homes():
        path = home / f"layered-tape-{os.getpid()}-{time.monotonic_ns()}"
        try:
            if version == 2 and "memory" not in (home / "cgroup.subtree_control").read_text().split():
                (home / "cgroup.subtree_control").write_text("+memory")
            path.mkdir()
        except OSError as error:
            why = f"{home}: {error.strerror}"
            continue
        group = Group(path, version)
        try:
            group.limit(limit, swap)
        except OSError as error:
            group.remove()
            why = f"{home}: {error.strerror}"
            continue
        return group
    raise NoCgroupError(why)


@contextmanager
def _confined(command: list[str], limit: int | None, swap: bool) -> Iterator[tuple[list[str], str, Group | None]]:
    if limit is None:
        yield command, "", None
        return
    try:
        group = _make_group(limit, swap)
    except NoCgroupError as error:
        if swap:
            raise
        label = f"RLIMIT_DATA of {format_bytes(limit)} (no cgroup: {error})"
        yield ["sh", "-c", _ULIMIT, str(limit // 1024), *command], label, None
        return
    try:
        label = f"a memory cgroup (v{group.version}) of {format_bytes(limit)}"
        yield ["sh", "-c", _JOIN, str(group.path), *command], label, group
    finally:
        group.remove()


def memory_of(pid: int | str = "self") -> dict[str, int]:
    """VmRSS, VmHWM, RssAnon, RssFile of a process in bytes; empty where nobody tells, or the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    rows = (line.partition(":") for line in lines)
    wanted = ("VmRSS", "VmHWM", "RssAnon", "RssFile")
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in rows if name in wanted}


def run(script: str, settings: dict[str, Any], *, limit: int | None = None, swap: bool = False) -> Report:
    """Run ``python script --child SETTINGS`` under a limit of memory; its last line of output are its figures, as JSON.

    A child that fails or is killed for its memory is a Report with an `error`.  With `swap` the limit is one of memory
    alone, which only a cgroup can give: raises NoCgroupError if there is none.
    """
    report = Report()
    command = [sys.executable, script, "--child", json.dumps(settings)]
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        _confined(command, limit, swap) as (confined, report.confined_by, group),
    ):
        child = subprocess.Popen(confined, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        try:
            while child.poll() is None:
                now = memory_of(child.pid)
                report.peak_rss = max(report.peak_rss, now.get("VmHWM", 0), now.get("VmRSS", 0))
                report.peak_anon = max(report.peak_anon, now.get("RssAnon", 0))
                report.peak_file = max(report.peak_file, now.get("RssFile", 0))
                time.sleep(SAMPLE_SECONDS)
        finally:
            child.kill()
            child.wait()
        if group is not None:
            report.peak_group = group.peak()
        out.seek(0)
        err.seek(0)
        if child.returncode == -9:
            report.error = "killed: it did not fit into its limit of memory"
        elif child.returncode:
            report.error = (err.read().strip().splitlines() or [f"status {child.returncode}"])[-1]
        else:
            report.figures = json.loads(out.read().splitlines()[-1])
    return report


def as_json(reports: dict[str, list[Report]]) -> dict[str, Any]:
    return {name: [asdict(report) for report in rounds] for name, rounds in reports.items()}
