"""What a user reads is spelled as in Slicer: color, center, gray, normalize, canceled, license."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("CropCascade", "HighResCore", "OSSNet", "SRSegmentation")
SOURCES = [path for part in PARTS for path in sorted((ROOT / part).rglob("*.py"))]
PANELS = [path for part in PARTS for path in sorted((ROOT / part).rglob("*.ui"))]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]
BRITISH = re.compile(
    r"colour|centre|\bgrey|metre|licence|behaviour|neighbour|tumour|favour|cancell(ed|ing)|label(led|ling)|"
    r"(normal|recogn|initial|optim|summar|visual|organ|minim|maxim|real|special)is(e|ing|ation)|catalogue|learnt",
    re.I,
)
#: Calls whose texts are read: translated ones, errors, and those of the command line.
_READ = re.compile(r"(_|\w*Error|Cancelled|OutOfMemory|Failed|Option|Argument|print)$")


def test_the_pattern() -> None:
    text = "a grey, coloured disc in the centre was cancelled"
    assert [match[0] for match in BRITISH.finditer(text)] == ["grey", "colour", "centre", "cancelled"]
    assert BRITISH.search("color, center, gray, canceled, license, realistic, organized") is None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_messages(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [text for text in _texts(tree) if BRITISH.search(text)] == []


@pytest.mark.parametrize("path", PANELS, ids=lambda path: path.name)
def test_panels(path: Path) -> None:
    texts = [element.text or "" for element in ElementTree.parse(path).iter("string")]
    assert len(texts) > 5
    assert [text for text in texts if BRITISH.search(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages(path: Path) -> None:
    # Keys of recipes and names in commands are as they are.
    text = re.sub(r"^```.*?^```|`[^`]*`", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert [match[0] for match in BRITISH.finditer(text)] == []


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _READ.match(getattr(node.func, "id", getattr(node.func, "attr", ""))):
            # Words that stand alone are keys, not texts.
            found = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
            yield from (text for text in found if isinstance(text, str) and " " in text.strip())
