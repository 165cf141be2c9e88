"""Check that the wheel and the sdist hold what users of each kind need, and no leftovers."""

import sys
import tarfile
import zipfile
from pathlib import Path

WANTED = [
    "tape/py.typed",
    "tape/checksum.pyi",
    "tape/core.pyi",
    "tape/slab.pyi",
    "tape/capi.pyi",
    "tape/__init__.pxd",
    "tape/core.pxd",
    "tape/stack.pxd",
    "tape/slab.pxd",
    "tape/capi.pxd",
    "tape/spin.pxd",
    "tape/xxh64.pxd",
    "ad/py.typed",
    "ad/data/hudson-bay-lynx-hare.csv",
]
UNWANTED = (".c", ".cpp", ".html", ".o", ".pyc")


def check(archive: Path, names: list[str], wanted: list[str]) -> None:
    missing = [w for w in wanted if not any(name == w or name.endswith("/" + w) for name in names)]
    leftovers = [name for name in names if name.endswith(UNWANTED) and "/native/" not in name]
    if missing or leftovers:
        sys.exit(f"{archive.name}: missing {missing}, not wanted {leftovers}")
    print(f"{archive.name}: {len(names)} files, all there")


(wheel,) = Path(sys.argv[1]).glob("*.whl")
(sdist,) = Path(sys.argv[1]).glob("*.tar.gz")
with zipfile.ZipFile(wheel) as opened:
    check(wheel, opened.namelist(), WANTED)
with tarfile.open(sdist) as opened:
    modules = ("checksum", "slab", "stack", "core", "capi")
    sources = ["setup.py", "LICENSE", *(f"tape/{name}.pyx" for name in modules)]
    check(sdist, opened.getnames(), WANTED + sources)
