"""The errors and warnings of `ad`.  Each also inherits the built-in that a caller would catch."""

__all__ = ["ADError", "ADTypeError", "ADValueError", "NotFiniteWarning", "UnsupportedSyntax"]


class ADError(Exception):
    """Base class of all errors that `ad` raises on its own account."""


class ADTypeError(ADError, TypeError):
    """An argument has a type, shape or dtype that `ad` does not take."""


class ADValueError(ADError, ValueError):
    """An argument or option has a value that makes no sense."""


class UnsupportedSyntax(ADError, SyntaxError):
    """The function uses something outside the subset that `ad` differentiates.

    Its `filename`, `lineno`, `offset` and `text` point into the user's file, so that a traceback shows the line.
    The message says what is unsupported and what to write instead.
    """


class NotFiniteWarning(RuntimeWarning):
    """With ``debug=True``: the first value, or the first adjoint, that is NaN or infinite; at the user's line.

    It is no error, because programs use infinity on purpose.  A filter of `warnings` makes it one.
    """
