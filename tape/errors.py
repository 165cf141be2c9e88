"""The errors of the tape.  Each is also the built-in that a caller would catch."""

__all__ = [
    "ArchiveError",
    "DeviceError",
    "SpillCorruptionError",
    "SpillError",
    "SpillWarning",
    "TapeBusyError",
    "TapeClosedError",
    "TapeEmptyError",
    "TapeError",
    "TapeIndexError",
    "TapeInterrupt",
    "TapeMarkError",
    "TapeMemoryError",
    "TapeTypeError",
    "TapeValueError",
]


class TapeError(Exception):
    """Base of every error that a tape raises."""


class TapeEmptyError(TapeError, IndexError):
    """More items were asked for than the tape holds."""


class TapeIndexError(TapeError, IndexError):
    """An index lies outside the tape."""


class TapeMemoryError(TapeError, MemoryError):
    """A slab could not be allocated.  The tape is as it was before the call."""


class TapeInterrupt(TapeError, KeyboardInterrupt):
    """Ctrl-C while compiled code waited for a slab.  The tape is as it was before the call."""


class TapeBusyError(TapeError, BufferError):
    """A live view pins the items, or a compiled loop or another thread is using the tape."""


class TapeClosedError(TapeError, ValueError):
    """The tape was closed."""


class TapeMarkError(TapeError, ValueError):
    """The mark is not one of this tape's live marks."""


class TapeTypeError(TapeError, TypeError):
    """A value, array or dtype does not fit the tape's dtype."""


class TapeValueError(TapeError, ValueError):
    """An argument has the right type and an impossible value."""


class ArchiveError(TapeError, ValueError):
    """The file is not a saved tape, is of a newer version, or is damaged."""


class DeviceError(TapeError, RuntimeError):
    """A GPU is missing, is another one than that of the data, or failed.

    After a failed kernel or copy the driver refuses all further work of the process on that device; what lay in its
    memory is lost.  Calls of a tape with data there say so, and none of them waits for ever.
    """


class SpillError(TapeError, OSError):
    """A slab could not be moved to or from its store.

    The tape still holds all that was pushed: pop it, save it, give the tape another place (`Tape.add_spill_dir`), or
    make room and go on.  `errno` is the operating system's number where there is one; `directory`, `wanted` and `free`
    (bytes) say what was missing where, or are None.
    """

    def __init__(
        self,
        message: str,
        errno: int | None = None,
        directory: str | None = None,
        wanted: int | None = None,
        free: int | None = None,
    ) -> None:
        super().__init__(message)
        self.errno = errno
        self.directory = directory
        self.wanted = wanted
        self.free = free


class SpillCorruptionError(SpillError):
    """What came back from a store is not what was written there."""


class SpillWarning(UserWarning):
    """Spilling works, but not as it should: to a file system that lies in memory, for example."""
