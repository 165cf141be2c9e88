"""A swap file of its own for as long as a benchmark runs."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20


def _do(*command: str | Path) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        raise OSError(f"{command[0]}: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        raise OSError(f"{command[0]}: {error.stderr.strip() or error.returncode}") from None


@contextmanager
def swap_file(directory: str | Path, size: int) -> Iterator[None]:
    """Swap of `size` bytes in a file in `directory`, used before that of the machine; gone at the end in any case.

    Needs root.  Raises OSError that says what could not be done.
    """
    path = Path(directory) / f"layered-tape-swap-{os.getpid()}"
    on = False
    try:
        path.touch(mode=0o600)
        _do("dd", "if=/dev/zero", f"of={path}", f"bs={MIB}", f"count={-(-size // MIB)}")
        _do("mkswap", path)
        _do("swapon", "-p", "32767", path)
        on = True
        yield
    finally:
        if on:
            _do("swapoff", path)
        path.unlink(missing_ok=True)
