"""Check that the wheel and the sdist hold what users of each kind need, and no leftovers."""

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNWANTED = (".c", ".cpp", ".html", ".o", ".pyc")


def files(*patterns: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)]


def check(archive: Path, names: list[str], wanted: list[str]) -> None:
    missing = [w for w in wanted if not any(name == w or name.endswith("/" + w) for name in names)]
    leftovers = [name for name in names if name.endswith(UNWANTED) and "/native/" not in name]
    if missing or leftovers:
        sys.exit(f"{archive.name}: missing {missing}, not wanted {leftovers}")
    print(f"{archive.name}: {len(names)} files, all there")


wanted = files(
    "tape/*.py",
    "tape/cuda/*.py",
    "tape/*.pyi",
    "tape/*.pxd",
    "tape/py.typed",
    "ad/**/*.py",
    "ad/py.typed",
    "ad/data/*.csv",
)
(wheel,) = Path(sys.argv[1]).glob("*.whl")
(sdist,) = Path(sys.argv[1]).glob("*.tar.gz")
with zipfile.ZipFile(wheel) as opened:
    check(wheel, opened.namelist(), wanted)
with tarfile.open(sdist) as opened:
    check(sdist, opened.getnames(), [*wanted, *files("tape/*.pyx"), "setup.py", "LICENSE"])
