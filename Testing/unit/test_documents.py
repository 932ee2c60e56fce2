"""What documents refer to is there: files, anchors aside; and the tutorial's recipe and script work."""

from __future__ import annotations

import json
import re
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


def test_the_tutorials_script_makes_a_data_list(tmp_path: Path) -> None:
    page = (TUTORIALS / "own_model.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        for number in range(10):
            (tmp_path / folder / f"patient{number}.nii.gz").touch()
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    data = read_data_list(tmp_path / "datalist.json")
    assert {split: len(cases) for split, cases in data.splits.items()} == {"training": 6, "validation": 2, "test": 2}
    recipe = read_recipe(TUTORIALS / "own_model.yaml", "cpu")
    labels = [entry.label(value) for value, entry in enumerate(recipe.labels, start=1)]
    assert data.value_map(labels) == {1: 1, 2: 2}
    rows = json.loads((tmp_path / "datalist.json").read_text(encoding="utf-8"))["training"]
    assert all(Path(row["image"]).name == Path(row["label"]).name for row in rows)
