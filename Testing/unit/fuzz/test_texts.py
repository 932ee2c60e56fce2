"""Data lists, boxes and recipes with damaged content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import damaged, damaged_json, fuzzed, json_bytes, json_text, outcome
from hrseg.data_list import DataList, read_case, read_data_list
from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import write_image
from hrseg.prompts import RegionBox, read_boxes, write_boxes
from hrseg.training.recipe import read_recipe
from image_helpers import grid, numbers

GRID = Grid.from_spacing((4, 20, 30), (2, 1, 1))
ROW = {"name": "a", "image": "a.nii", "label": "a-label.nii", "not_annotated": ["spine"]}
LIST = {
    "name": "phantoms",
    "licence": "CC0",
    "labels": {"0": "background", "1": "liver", "2": "spine"},
    "training": [ROW],
    "validation": [],
    "test": ["b.nii"],
}
MASKS = {
    **LIST,
    "labels": {"1": "liver"},
    "label_above": 0,
    "label_size": [8, 6],
    "training": [{"image": "a.png", "label": "a-label.png"}],
}
ENTRIES = [
    {"name": "one", "center": [9, 9, 3], "size": [4, 5, 6], "axes": np.eye(3).tolist()},
    {"start": [1, 2, 1], "stop": [9, 9, 3]},
]
ROOT = Path(__file__).parents[3]
#: One of each method.
RECIPES = [
    "headneck-ct-patch-based",
    "headneck-ct-oss-net",
    "headneck-ct-pfseg",
    "breast-lesion-sasr",
    "nuclei-crop-cascade",
]


def recipe(name: str) -> Any:
    return yaml.safe_load((ROOT / f"recipes/{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_image(tmp_path / "a.nii", numbers(np.int16), grid())
    write_image(tmp_path / "a-label.nii", (numbers(np.uint8) > 50).astype(np.uint8), grid())
    for name, shape in (("a", (4, 5)), ("a-label", (6, 8))):
        sitk.WriteImage(sitk.GetImageFromArray(numbers(np.uint8, shape)), str(tmp_path / f"{name}.png"))
    return tmp_path


def cases(data: DataList) -> None:
    """What the rows name can be read, or is refused."""
    for rows in data.splits.values():
        for case in rows:
            outcome(read_case, case, dict.fromkeys(data.labels, 1))


@given(content=json_bytes(LIST) | json_bytes(MASKS))
@fuzzed(150)
def test_data_list(folder: Path, content: bytes) -> None:
    path = folder / "list.json"
    path.write_bytes(content)
    if data := outcome(read_data_list, path, lines=60):
        cases(data)


def voxels(boxes: list[RegionBox]) -> None:
    for box in boxes:
        inner, _ = box.voxels(GRID)
        assert inner.clip(GRID.shape) == inner
        assert box.inside(GRID, inner).shape == inner.shape


def test_whole_ones(folder: Path) -> None:
    (folder / "list.json").write_text(json_text(LIST))
    (case,) = read_data_list(folder / "list.json").splits["training"]
    assert read_case(case, {1: 1, 2: 2})[0].grid.shape == (2, 3, 4)
    (folder / "list.json").write_text(json_text(MASKS))
    (case,) = read_data_list(folder / "list.json").splits["training"]
    assert read_case(case, {1: 1})[1].grid.shape == (1, 6, 8)
    (folder / "boxes.json").write_text(json_text(ENTRIES))
    voxels(read_boxes(folder / "boxes.json", GRID))
    for name in RECIPES:
        (folder / "a.yaml").write_text(yaml.safe_dump(recipe(name)))
        assert read_recipe(folder / "a.yaml", "cpu").name == name


@given(content=json_bytes(ENTRIES))
@fuzzed(150)
def test_plain_boxes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "boxes.json"
    path.write_bytes(content)
    if boxes := outcome(read_boxes, path, GRID):
        outcome(voxels, boxes)


@given(data=st.data())
@fuzzed(120)
def test_markups(tmp_path: Path, data: st.DataObject) -> None:
    path, whole = tmp_path / "damaged.mrk.json", tmp_path / "boxes.mrk.json"
    if not whole.exists():
        write_boxes(whole, [RegionBox(np.array([9.0, 9, 3]), np.array([4.0, 5, 6]), np.eye(3), "a")] * 2)
    path.write_bytes(data.draw(json_bytes(yaml.safe_load(whole.read_text()))))
    if boxes := outcome(read_boxes, path, GRID):
        outcome(voxels, boxes)


@pytest.mark.parametrize("name", RECIPES)
@given(data=st.data())
@fuzzed(60)
def test_recipe(name: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.yaml"
    # Most JSON is YAML, too.
    content = data.draw(
        damaged_json(recipe(name)).map(lambda value: json_text(value).encode())
        | damaged(yaml.safe_dump(recipe(name)).encode())
    )
    path.write_bytes(content)
    outcome(read_recipe, path, "cpu")


# ---- found once ----


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"label_above": 10**400}, '"label_above" must be a number'),
        ({"label_above": float("nan")}, '"label_above" must be a number'),
        ({"label_size": [10**6, 10**6]}, r'"label_size" must be columns and rows .* found \[1000000, 1000000\]'),
        ({"labels": {"9" * 5000: "liver"}}, "must be a whole number and a name"),
        ({"training": [{**ROW, "image": "a\0b"}]}, r"training row 1: there is no file .*a\?b"),
        ({"training": [{**ROW, "image": "\ud800"}]}, r"training row 1: there is no file .*\?"),
        ({"training": [{**ROW, "image": "x" * 9000}]}, r"training row 1: there is no file .*xx"),
        ({"training": [{**ROW, "not_annotated": "x" * 9000}]}, r"must be a list of label names, found 'xxxx.{1,60}$"),
        (None, "is not JSON"),
    ],
)
def test_found_in_data_lists(folder: Path, changes: dict[str, Any] | None, problem: str) -> None:
    text = "[" * 5000 if changes is None else json_text({**LIST, **changes})
    (folder / "list.json").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_data_list(folder / "list.json")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"center": [10**400, 0, 0], "size": [1, 1, 1]}, "int too large"),
        ({"center": [1e308, 0, 0], "size": [1, 1, 1]}, "not numbers of a place"),
        ({"center": [0, 0, 0], "size": [1, 1, 1e308]}, "not numbers of a place"),
        ({"start": [0, 0, 0], "stop": [float("inf")] * 3}, "not numbers of a place"),
        ({"start": [0, 0], "stop": [1, 1]}, "not numbers of a place"),
        (
            {"center": [0, 0, 0], "size": [1, 1, -1], "name": "a\n\ud800" + "b" * 100},
            r'The box "a \?b{77}" has the size',
        ),
    ],
)
def test_found_in_boxes(tmp_path: Path, entry: dict[str, Any], problem: str) -> None:
    (tmp_path / "boxes.json").write_text(json_text([entry]))
    with pytest.raises(InputError, match=problem):
        read_boxes(tmp_path / "boxes.json", GRID)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe", "is not YAML"),
        (b"a: 2001-99-99", "is not YAML"),
        (b"[" * 5000, "is not YAML"),
        (b"profiles: {1: {}}", 'no profile "cpu"; it has 1'),
        (b"profiles: {cpu: [" + b"1, " * 9000 + b"]}", r"must hold settings by name, not \[1, 1.{1,40}$"),
        (b"a: &a {b: *a}\nprofiles: {cpu: {a: *a}}", "hold themselves"),
    ],
)
def test_found_in_recipes(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_recipe(tmp_path / "a.yaml", "cpu")
