import os
from typing import final

from _typeshed import ReadableBuffer, WriteableBuffer

from tape.spilldir import check_directory as check_directory
from tape.spilldir import default_directory as default_directory
from tape.spilldir import is_ram_backed as is_ram_backed
from tape.store import Store

class DiskStore(Store):
    @property
    def directory(self) -> str: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def file_bytes(self) -> int: ...
    @property
    def used_bytes(self) -> int: ...
    def write(self, data: ReadableBuffer) -> int: ...
    def read(self, slot: int, out: WriteableBuffer) -> None: ...

@final
class FileStore(DiskStore):
    def __init__(
        self, directory: str | os.PathLike[str], *, direct: bool = True, limit: int | str | None = None
    ) -> None: ...
    @property
    def direct(self) -> bool: ...

@final
class MmapStore(DiskStore):
    def __init__(self, directory: str | os.PathLike[str], *, limit: int | str | None = None) -> None: ...
