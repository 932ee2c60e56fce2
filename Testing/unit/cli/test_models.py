import hashlib
import json

import pytest

from hrseg.model_store import user_folder
from training_helpers import write_model


@pytest.fixture
def added(hrseg, model):
    done = hrseg("models", "add", model)
    assert done.code == 0
    return user_folder() / "tiny.safetensors"


def test_an_empty_list(hrseg):
    assert hrseg("models", "list").out == "No models found; `hrseg models add FILE` adds one.\n"
    assert json.loads(hrseg("models", "list", "--json").out) == []


def test_adding_and_listing(hrseg, model, added):
    assert added.read_bytes() == model.read_bytes()
    table = hrseg("models", "list").out
    assert "tiny" in table
    assert "ball, cube" in table
    assert "│ –" in table
    assert json.loads(hrseg("models", "list", "--json").out) == [
        {
            "name": "tiny",
            "method": "patch_based",
            "labels": ["ball", "cube"],
            "held_out": {},
            "file": str(added),
            "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        }
    ]


def test_adding_twice_needs_replace(hrseg, model, added):
    done = hrseg("models", "add", model)
    assert done.code == 2
    assert "use --replace" in done.error
    assert hrseg("models", "add", model, "--replace").code == 0


def test_a_file_that_is_no_model_is_listed_with_the_reason(hrseg, added):
    (added.parent / "bad.safetensors").write_text("nonsense")
    done = hrseg("models", "list")
    assert "unusable" in done.out
    assert "bad.safetensors" in done.err
    bad, good = json.loads(hrseg("models", "list", "--json").out)
    assert "problem" in bad
    assert "problem" not in good
    assert hrseg("models", "add", added.parent / "bad.safetensors").code == 2


def test_models_are_found_in_the_folders_of_the_variable(hrseg, tmp_path, monkeypatch):
    write_model(tmp_path / "file.safetensors", name="special")
    monkeypatch.setenv("HRSEG_MODELS", str(tmp_path))
    assert json.loads(hrseg("models", "show", "special").out)["name"] == "special"


def test_show_and_verify(hrseg, model):
    header = json.loads(hrseg("models", "show", model).out)
    assert header["labels"][0] == {"value": 1, "name": "ball", "color": [200, 0, 0], "sources": []}
    done = hrseg("models", "verify", model)
    assert done.code == 0
    assert done.out.startswith("tiny is in order: patch_based, ")
    assert hashlib.sha256(model.read_bytes()).hexdigest() in done.out


@pytest.mark.parametrize("command", ["show", "verify", "add"])
def test_a_model_that_is_not_there(hrseg, tmp_path, command):
    done = hrseg("models", command, tmp_path / "none.safetensors")
    assert done.code == 2
    assert "none.safetensors" in done.error


def test_a_card(hrseg, model, tmp_path):
    printed = hrseg("models", "card", model)
    assert printed.code == 0
    assert printed.out.startswith("# tiny\n")
    done = hrseg("models", "card", model, "-o", tmp_path / "card.md")
    assert done.out == f"Model card: {tmp_path}/card.md\n"
    assert (tmp_path / "card.md").read_text() == printed.out
