"""Sizes in bytes, as people write them."""

import operator
import re

from tape.errors import TapeTypeError, TapeValueError

__all__ = ["byte_unit", "format_bytes", "parse_bytes"]

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", start=1):
    _UNITS[_letter + "ib"] = 1024**_power
    _UNITS[_letter + "b"] = 1000**_power
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_bytes(size: int | str, name: str = "size") -> int:
    """Read a size: an int, or a string such as ``"256 MiB"`` (powers of 1024) or ``"1.5 GB"`` (powers of 1000).

    Raises `TapeTypeError` for another type and `TapeValueError` for text that is no size, a negative size or
    one above 2**62; the message names the argument `name`.
    """
    if isinstance(size, str):
        match = _SIZE.fullmatch(size)
        unit = _UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise TapeValueError(
                f"{name}: {size[:40]!r} is no size; write bytes as an int, or e.g. '256 MiB' or '1.5 GB'"
            )
        # An int goes through exactly: a float would round above 2**53.
        try:
            number = int(match[1]) * unit if match[1].isdigit() else int(float(match[1]) * unit)
        except (OverflowError, ValueError):  # hundreds of digits
            number = -1
    elif isinstance(size, bool):
        raise TapeTypeError(f"{name}: a number of bytes or a string such as '256 MiB', not a bool")
    else:
        try:
            number = operator.index(size)
        except TypeError:
            raise TapeTypeError(
                f"{name}: a number of bytes or a string such as '256 MiB', not {type(size).__name__}"
            ) from None
    if not 0 <= number <= 2**62:
        raise TapeValueError(f"{name}: a size is between 0 and 2**62 bytes")
    return number


def format_bytes(number: int) -> str:
    """Bytes for a reader: ``"640 B"``, ``"1.5 MiB"``."""
    unit, name = byte_unit(number)
    value = number / unit
    return f"{value:.0f} {name}" if value == int(value) else f"{value:.1f} {name}"


def byte_unit(number: float) -> tuple[int, str]:
    """The unit that so many bytes are best told in: its size and its name."""
    unit, name = 1, "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024 * unit:
            break
        unit, name = 1024 * unit, larger
    return unit, name
