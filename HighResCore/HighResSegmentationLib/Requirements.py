"""Which packages inference needs, from the one list that pyproject.toml installs, too."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "Resources" / "HighResSegmentation-requirements.txt"
#: Of the Python that inference runs in; pyproject.toml says the same.
MINIMUM_PYTHON = "3.11"
_LINE = re.compile(r"(?P<name>[\w.-]+)>=(?P<minimum>[\d.]+)(?P<marker>; sys_platform != \"linux\")?")


@dataclass(frozen=True)
class Requirement:
    """A package and its lowest version that will do."""

    name: str
    minimum: str

    @property
    def text(self) -> str:
        """As pip takes it: ``torch>=2.4``."""
        return f"{self.name}>={self.minimum}"


def requirements(platform: str = sys.platform, file: Path = FILE) -> list[Requirement]:
    """What inference needs on this ``platform``, in the order of the list.

    Raises:
        ValueError: a line that is not understood.
    """
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f'The requirement "{line}" in "{file}" is not understood; write NAME>=VERSION.')
        if not (match["marker"] and platform == "linux"):
            found.append(Requirement(match["name"], match["minimum"]))
    return found


def isAtLeast(version: str, minimum: str) -> bool:
    """Whether a version such as ``2.13.0+cpu`` is ``minimum`` or newer; an unknown (empty) one is taken to be."""
    return not version or _numbers(version) >= _numbers(minimum)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers; trailing zeros do not count, so that 2.4 is not newer than 2.4.0."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
