ABI: int
STATUS: dict[str, int]
SYMBOLS: dict[str, int]
