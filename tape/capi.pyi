ABI: int
STATUS: dict[str, int]
SYMBOLS: dict[str, int]

def count_arrays(all: bool) -> None: ...
