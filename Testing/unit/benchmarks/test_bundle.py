"""What bundling writes into headers, and that it leaves the rest of a file alone."""

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from hrseg.model_file import load_header
from model_helpers import edited
from training_helpers import recipe_content, write_model

ROOT = Path(__file__).parents[3]
TEXTS = {
    "title": "Balls and cubes",
    "citation": "Nobody 2020",
    "intended_use": "Tests.",
    "limitations": ["Cubes were not tried."],
}


@pytest.fixture(scope="module")
def bundle():
    import bundle

    return bundle


@pytest.fixture
def folder(tmp_path):
    """Recipes that say more than models do."""
    content = recipe_content()
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**content, **TEXTS}), encoding="utf-8")
    return tmp_path


def model(folder, **changes):
    (folder / "models").mkdir()
    return write_model(folder / "models" / "tiny.safetensors", training={"profile": "cpu"}, **changes)


def texts(path):
    header = load_header(path)
    return {key: getattr(header, key) for key in TEXTS}


def test_what_a_header_lacks_comes_from_its_recipe(bundle, folder):
    path = model(folder)
    before = load_header(path)
    assert bundle.refresh(folder / "models", folder) == [path]
    assert texts(path) == TEXTS
    assert load_header(path) == before.model_copy(update=TEXTS)
    assert bundle.refresh(folder / "models", folder) == []


def test_what_it_has_stays_unless_it_is_to_be_replaced(bundle, folder):
    path = model(folder, title="Mine", limitations=["Mine, too."])
    bundle.refresh(folder / "models", folder)
    assert texts(path) == {**TEXTS, "title": "Mine", "limitations": ["Mine, too."]}
    bundle.refresh(folder / "models", folder, replace=True)
    assert texts(path) == TEXTS


def test_what_the_recipe_lacks_stays(bundle, folder):
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe_content()), encoding="utf-8")
    path = model(folder, **TEXTS)
    assert bundle.refresh(folder / "models", folder, replace=True) == []
    assert texts(path) == TEXTS


def test_models_without_a_recipe_stay(bundle, folder):
    path = edited(model(folder), lambda header: header.update(name="another"))
    content = path.read_bytes()
    assert bundle.refresh(folder / "models", folder) == []
    assert path.read_bytes() == content


def test_tensors_stay_bit_by_bit(bundle, folder):
    path = model(folder)
    before = load_file(path)
    assert {value.dtype for value in before.values()} == {torch.float16}
    size = path.stat().st_size
    bundle.refresh(folder / "models", folder)
    after = load_file(path)
    assert list(after) == list(before)
    assert all(after[name].dtype == value.dtype for name, value in before.items())
    assert all(torch.equal(after[name].view(torch.int16), value.view(torch.int16)) for name, value in before.items())
    assert 0 < path.stat().st_size - size < 1000


def test_scores_of_an_evaluation(bundle):
    row = {"dice": 0.81234, "surface_dice": 0.5, "hd95_mm": None, "recall": 1.0}
    metrics = {"mean": row, "by_label": {"ball": row}, "cases": [{}, {}]}
    kept = {"dice": 0.8123, "surface_dice": 0.5, "hd95_mm": None}
    assert bundle.test_scores(metrics) == {**kept, "cases": 2, "by_label": {"ball": kept}}


def test_bundled_models_say_what_their_recipes_say(bundle):
    for path in sorted((ROOT / "Resources" / "Models").glob("*.safetensors")):
        header = load_header(path)
        assert header.limitations, path.name
        assert bundle.described(header, ROOT / "recipes") == header
