"""Marks of a device tape: positions to rewind to."""

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tape.cuda.devicetape import DeviceTape

__all__ = ["DeviceMark", "Marks"]


class DeviceMark:
    """A position on a device tape to rewind to (see `DeviceTape.mark`)."""

    __slots__ = ("__weakref__", "live", "position", "tape")

    def __init__(self, tape: "DeviceTape", position: int) -> None:
        self.tape = tape
        self.position = position
        """Items on the tape when the mark was taken."""
        self.live = True
        """False once the tape was popped past the mark or closed."""

    def __repr__(self) -> str:
        return f"<DeviceMark at {self.position}{'' if self.live else ', dead'} of {self.tape!r}>"


class Marks:
    """The live marks of a tape, lowest first.  A mark that nobody holds is nobody's."""

    def __init__(self) -> None:
        self._marks: list[weakref.ref[DeviceMark]] = []

    def take(self, tape: "DeviceTape", position: int) -> DeviceMark:
        """A mark at `position`, which is that of the top."""
        while self._marks and self._marks[-1]() is None:
            self._marks.pop()
        mark = DeviceMark(tape, position)
        self._marks.append(weakref.ref(mark))
        return mark

    def keep(self, mark: DeviceMark) -> None:
        """End all marks that were taken after this one."""
        while self._marks and self._marks[-1]() is not mark:
            self._end_last()

    def end(self, length: int) -> None:
        """End all marks above `length`."""
        while self._marks:
            mark = self._marks[-1]()
            if mark is not None and mark.position <= length:
                return
            self._end_last()

    def _end_last(self) -> None:
        mark = self._marks.pop()()
        if mark is not None:
            mark.live = False
