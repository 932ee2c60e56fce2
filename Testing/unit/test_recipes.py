"""The committed recipes, splits and models fit the code."""

from __future__ import annotations

import importlib.util
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from hrseg.methods import method_class
from hrseg.model_file import Provenance, load_model
from hrseg.structures import STRUCTURES
from hrseg.training.recipe import read_recipe

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SPLITS = sorted((ROOT / "recipes/splits").glob("*.json"))
MODELS = sorted((ROOT / "Resources/Models").glob("*.safetensors"))


def data_lists() -> Any:
    spec = importlib.util.spec_from_file_location("data_lists", ROOT / "recipes/data_lists.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def profiles(path: Path) -> set[str]:
    return set(yaml.safe_load(path.read_text())["profiles"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_can_be_trained(path: Path) -> None:
    for profile in profiles(path):
        recipe = read_recipe(path, profile)
        assert recipe.name == path.stem
        task = method_class(recipe.method).training_tasks(recipe.header(Provenance()), recipe.training)[-1]
        assert task.settings.steps > 0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_full_profile_is_the_larger_one(path: Path) -> None:
    small, large = (read_recipe(path, profile) for profile in ("cpu", "full"))
    assert small.training["steps"] < large.training["steps"]
    own = {"varied"} if path.stem == "breast-lesion-sasr" else set()
    assert profiles(path) - {"small"} == {"cpu", "full"} | own


@pytest.mark.parametrize("path", SPLITS, ids=lambda path: path.stem)
def test_splits_share_no_case(path: Path) -> None:
    splits = json.loads(path.read_text())["splits"]
    assert set(splits) == {"training", "validation", "test"}
    for a, b in combinations(splits.values(), 2):
        assert not set(a) & set(b)
    for names in splits.values():
        assert len(set(names)) == len(names)
    # Two patients are too few for a test part.
    assert splits["test"] or path.stem == "open_ms_brain_mr"
    assert bool(splits["training"]) == bool(splits["validation"])


@pytest.mark.parametrize(
    ("data_set", "counts"),
    [
        ("busi_breast_us", (57, 11, 36)),
        ("dsb2018_nuclei", (158, 29, 60)),
        ("hyperkvasir_polyps", (150, 25, 55)),
        ("isic2017_skin", (240, 40, 80)),
        ("msd_hippocampus_mr", (140, 20, 40)),
        ("open_ms_brain_mr", (1, 1, 0)),
        ("openkbp_headneck_ct", (42, 6, 12)),
        ("phantom_finer", (0, 0, 8)),
        ("phantom_lesions", (24, 4, 12)),
        ("sunnybrook_lv_mr", (204, 40, 69)),
    ],
)
def test_splits_have_the_sizes_in_the_documentation(data_set: str, counts: tuple[int, int, int]) -> None:
    splits = json.loads((ROOT / f"recipes/splits/{data_set}.json").read_text())["splits"]
    assert tuple(len(splits[split]) for split in ("training", "validation", "test")) == counts


def test_splits_of_slices_share_no_patient() -> None:
    splits = json.loads((ROOT / "recipes/splits/sunnybrook_lv_mr.json").read_text())["splits"]
    patients = {split: {name.split("-IM-")[0] for name in names} for split, names in splits.items()}
    assert {split: len(names) for split, names in patients.items()} == {"training": 12, "validation": 2, "test": 4}
    assert len(set().union(*patients.values())) == 18
    assert {name.removeprefix("SC-").rpartition("-")[0] for name in patients["test"]} == {"HF-I", "HF-NI", "HYP", "N"}


@pytest.mark.parametrize(
    ("data_set", "structure", "label_above"),
    [
        ("busi_breast_us", "breast_lesion", 127),
        ("dsb2018_nuclei", "cell_nucleus", 0),
        ("hyperkvasir_polyps", "colon_polyp", 127),
        ("isic2017_skin", "skin_lesion", 127),
        ("sunnybrook_lv_mr", "left_ventricle", 127),
    ],
)
def test_lists_of_masks_name_their_label_as_the_catalogue(data_set: str, structure: str, label_above: int) -> None:
    description = json.loads((ROOT / f"recipes/splits/{data_set}.json").read_text())
    assert description["labels"] == {"0": "background", "1": STRUCTURES[structure].name}
    assert description["label_above"] == label_above


@pytest.mark.parametrize("path", SPLITS, ids=lambda path: path.stem)
def test_data_lists_name_files_of_their_folder(path: Path, tmp_path: Path) -> None:
    content = data_lists().data_list(path.stem, tmp_path)
    splits = json.loads(path.read_text())["splits"]
    assert {split: [row["name"] for row in content[split]] for split in splits} == splits
    assert all(tmp_path in Path(row[key]).parents for row in content["test"] for key in ("image", "label"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_bundled_models_are_complete(path: Path) -> None:
    header = load_model(path).header
    assert header.name == path.stem
    assert (ROOT / f"recipes/{path.stem}.yaml").exists()
    assert all(label.terminology for label in header.labels)
    assert header.training.metrics["test"]["dice"] > 0.5
    assert header.training.data[0].licence
    assert header.licence
