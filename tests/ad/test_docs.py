"""The documents of `docs/` say what is so: their examples run, and print what is printed there."""

import re

import pytest
from documents import DOCS, agree, rendered

DOCUMENTS = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in DOCUMENTS])
def test_document(path):
    text, found = path.read_text(), rendered(path)
    if not agree(text, found):
        assert text == found, "python ci/docs.py fills it in"


def test_lines_that_are_explained_are_there():
    """The list of explanations quotes lines of the adjoints above it."""
    text = (DOCS / "adjoints.md").read_text()
    code = "".join(re.findall(r"^```py\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    quoted = re.findall(r"^\* `(.*?)`", text, re.MULTILINE)
    assert len(quoted) > 30
    assert [q for q in quoted if q not in code] == []


def test_links_lead_somewhere():
    for path in (*DOCUMENTS, DOCS.parent / "README.md"):
        for name in re.findall(r"\]\(([\w./]+)\)", path.read_text()):
            assert (path.parent / name).exists(), f"{path.name} links {name}"
