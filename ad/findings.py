"""What the notes of a call with ``debug=True`` mean: warnings, and the error of a pop that met another push."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ad.checks import ADJOINT, TAGS, VALUE, Mismatched, new_notes
from ad.errors import ADError, NotFiniteWarning
from ad.report import Line

__all__ = ["Findings", "Spot"]


@dataclass(frozen=True)
class Spot:
    """A place that generated code knows by a number: a line of the user's, and what is pushed or checked there."""

    line: Line
    what: str

    @property
    def place(self) -> str:
        return f"{self.line.filename}:{self.line.number}"


@dataclass(frozen=True)
class Findings:
    """Reads notes; `spots` are the places of the program, in the order of their numbers."""

    spots: tuple[Spot, ...]

    def reported(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """The function without its first argument, the notes: what stands in them afterwards is reported."""

        def noting(*args: Any) -> Any:
            notes = new_notes()
            try:
                result = run(notes, *args)
            except Mismatched:
                raise self.mismatch(notes) from None
            except Exception:
                self.warn(notes)
                raise
            self.warn(notes)
            return result

        return noting

    def mismatch(self, notes: Any) -> ADError:
        tag, found = int(notes[TAGS]), notes[TAGS + 1]
        own = self.spots[tag]
        met = "no push of this gradient"
        if found in range(len(self.spots)):
            other = self.spots[int(found)]
            met = f"the push of {other.what} at {other.place}"
        return ADError(
            f"the sweeps did not match: the pop of {own.what}, which is pushed at {own.place}, met {met}. This is a "
            "defect of ad, please report it with the function"
        )

    def warn(self, notes: Any) -> None:
        """Warn of the first value and the first adjoint that were not finite, at their lines."""
        for at, where in ((VALUE, "value"), (ADJOINT, "adjoint in the reverse sweep")):
            place, real, imaginary = notes[at : at + 3]
            if not place:
                continue
            spot = self.spots[int(place)]
            found = real if imaginary == 0.0 else complex(real, imaginary)
            warnings.warn_explicit(
                f"{spot.what} is {found}, the first {where} that is not finite, at {spot.place}: {spot.line.text}",
                NotFiniteWarning,
                spot.line.filename,
                spot.line.number,
            )
