"""Run the documents and fill in what their examples print, the messages they quote and the functions they list."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "ad"), str(ROOT / "tests" / "helpers")]

from documents import DOCS, main  # noqa: E402

if __name__ == "__main__":
    main([Path(p) for p in sys.argv[1:]] or sorted(DOCS.glob("*.md")))
