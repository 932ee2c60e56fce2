"""What documents refer to is there: files, anchors aside; and the tutorial's recipe and commands work."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from extension_layout import bundled_models
from hrseg.data_list import read_data_list
from hrseg.image import read_label_map, write_image
from hrseg.model_header import read_header
from hrseg.phantom import LABELS, Torso, default_grid
from hrseg.training.recipe import read_recipe

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TUTORIALS = ROOT / "docs" / "tutorials"
#: What these tutorials work with.
_PHANTOM_MODELS = {"sr_segmentation": "phantom-ct-pfseg", "oss_net": "phantom-ct-oss-net"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links(page: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    files = [target for target in targets if "://" not in target]
    assert [target for target in files if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_pictures_that_are_missing_stand_in_comments(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    hidden = "".join(re.findall(r"<!--.*?-->", text, re.S))
    assert [name for name in re.findall(r"\(([^)\s]+\.png)\)", hidden) if (page.parent / name).exists()] == []


def test_each_picture_is_shown() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in TUTORIALS.glob("*.md"))
    pictures = {path.name for path in (TUTORIALS / "images").iterdir()}
    assert pictures <= set(re.findall(r"\(images/([^)]+)\)", text))


@pytest.mark.parametrize(("tutorial", "model"), _PHANTOM_MODELS.items())
def test_tutorials_say_whether_their_model_comes_along(tutorial: str, model: str) -> None:
    text = " ".join((TUTORIALS / f"{tutorial}.md").read_text(encoding="utf-8").split())
    assert f"`{model}`" in text
    assert ("does not come along" in text) != (ROOT / f"Resources/Models/{model}.safetensors").exists()


def test_the_readme_counts_the_models() -> None:
    words = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen")
    (counted,) = re.findall(r"(\w+) small models come along", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert words.index(counted) + 10 == len(bundled_models())


def test_the_readme_names_the_licenses_of_the_models() -> None:
    licenses = (ROOT / "README.md").read_text(encoding="utf-8").split("## License")[1]
    for header in map(read_header, bundled_models()):
        assert header["licence"] in licenses
        assert header["licence"] == "Apache-2.0" or f"`{header['name']}`" in licenses


def test_the_script_of_the_page_about_python(tmp_path: Path) -> None:
    """The listing without Slicer, on a phantom that is small."""
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(from hrseg.*?)^```$", page, re.M | re.S)
    torso = Torso.random(3).image(default_grid((32, 32, 24), 8.0))
    write_image(tmp_path / "scan.nii.gz", torso.array[0], torso.grid)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "HighResCore")}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert [line.rsplit(" ", 1)[0] for line in done.stdout.splitlines()] == [label.name for label in LABELS]
    assert read_label_map(tmp_path / "labels.nii.gz").array.shape == (24, 32, 32)


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
