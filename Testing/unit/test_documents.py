"""What documents refer to is there: files, anchors aside; and the tutorial's recipe and commands work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hrseg.data_list import read_data_list
from hrseg.training.recipe import read_recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TUTORIALS = ROOT / "docs" / "tutorials"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    files = [target for target in targets if "://" not in target and not target.startswith("images/")]
    assert [target for target in files if not (page.parent / target).exists()] == []


def test_each_picture_is_shown() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in TUTORIALS.glob("*.md"))
    pictures = {path.name for path in (TUTORIALS / "images").iterdir()}
    assert pictures <= set(re.findall(r"\(images/([^)]+)\)", text))


def test_steps_are_counted() -> None:
    for page in TUTORIALS.glob("*.md"):
        steps = re.findall(r"^## (\d+)\. ", page.read_text(encoding="utf-8"), re.M)
        assert steps == [str(number) for number in range(1, len(steps) + 1)]
        assert len(steps) > 4


@pytest.mark.parametrize("profile", ["cpu", "full"])
def test_the_tutorials_recipe(profile: str) -> None:
    recipe = read_recipe(TUTORIALS / "own_model.yaml", profile)
    assert recipe.name == "my-liver"
    assert f"{recipe.name}.safetensors" in (TUTORIALS / "own_model.md").read_text(encoding="utf-8")


def test_the_tutorials_commands_are_understood(tmp_path: Path) -> None:
    """Those up to training, as they are written; the list has what the recipe asks for."""
    page = (TUTORIALS / "own_model.md").read_text(encoding="utf-8")
    lines = re.findall(r"^hrseg (.*)$", page, re.M)
    assert [line.split()[0] for line in lines] == ["phantom", "data-list", "train", "evaluate", "models", "models"]
    small = lines[0].replace("--size 64 64 48 --spacing 4 4 4", "--size 16 16 12 --spacing 16 16 16")
    assert small != lines[0]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "HighResCore")}
    for line in (small, lines[1]):
        subprocess.run([sys.executable, "-m", "hrseg", *shlex.split(line)], cwd=tmp_path, env=environment, check=True)
    data = read_data_list(tmp_path / "datalist.json")
    assert {split: len(cases) for split, cases in data.splits.items()} == {"training": 8, "validation": 2, "test": 2}
    recipe = read_recipe(TUTORIALS / "own_model.yaml", "cpu")
    labels = [entry.label(value) for value, entry in enumerate(recipe.labels, start=1)]
    assert data.value_map(labels) == {1: 1, 2: 2, 3: 0, 4: 0, 5: 0}
