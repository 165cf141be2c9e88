"""The errors of the tape.  Each is also the built-in that a caller would catch."""

__all__ = [
    "TapeBusyError",
    "TapeClosedError",
    "TapeEmptyError",
    "TapeError",
    "TapeIndexError",
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
