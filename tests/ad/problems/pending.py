"""Cases that `ad` refuses today, with an ADError.  One that it takes no longer belongs here, and its test says so."""

__all__ = ["PENDING"]

PENDING = frozenset()
