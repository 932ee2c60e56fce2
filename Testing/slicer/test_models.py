"""The list of models as the panels show it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from HighResSegmentationLib.Models import ModelEntry, listModels
from hrseg.model_header import METADATA_KEY
from model_helpers import tiny_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the user names; the user's own is empty."""
    monkeypatch.setenv("HRSEG_MODELS", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path


def entry(name: str, method: str | None = None) -> ModelEntry:
    return next(model for model in listModels(method) if model.name == name)


def test_bundled_model_in_words(folder: Path) -> None:
    model = entry("nuclei-crop-cascade", "crop_cascade")
    assert model.problem == ""
    assert model.title == "Nuclei in microscopy (Segment-then-Segment)"
    assert (model.dimension, model.channels, model.labels) == (2, ("red", "green", "blue"), ("cell nucleus",))
    assert model.accuracy.startswith("Dice 0.")
    assert model.accuracy.endswith(" on 60 held-out images")
    assert model.licence == "Apache-2.0"
    assert "Caicedo" in model.citation
    assert "Research only" in model.intendedUse


def test_only_those_of_a_method(folder: Path) -> None:
    tiny_file(folder / "mine.safetensors", name="mine", title="A model of mine")
    assert entry("mine", "patch_based").title == "A model of mine"
    names = [model.name for model in listModels("crop_cascade")]
    assert "nuclei-crop-cascade" in names
    assert "mine" not in names
    assert {"mine", "nuclei-crop-cascade"} <= {model.name for model in listModels()}


def test_users_model_without_title_and_measurement(folder: Path) -> None:
    path = tiny_file(folder / "file.safetensors", name="mine")
    model = entry("mine")
    assert (model.path, model.title) == (path, "mine")
    assert model.accuracy == "Accuracy not measured on held-out images"
    assert model.labels == ("liver", "spine")


def test_files_that_cannot_be_read_come_last_and_say_why(folder: Path) -> None:
    (folder / "a-damaged.safetensors").write_bytes(b"junk")
    header = json.dumps({"format_version": 1, "name": "b-incomplete", "method": "crop_cascade", "dimension": 2})
    table = json.dumps({"__metadata__": {METADATA_KEY: header}}).encode()
    (folder / "b.safetensors").write_bytes(len(table).to_bytes(8, "little") + table)
    damaged, incomplete = listModels("crop_cascade")[-2:]
    assert damaged.name == "a-damaged"
    assert "not a model file" in damaged.problem
    assert incomplete.name == "b-incomplete"
    assert "'channels'" in incomplete.problem
    assert str(folder / "b.safetensors") in incomplete.problem
