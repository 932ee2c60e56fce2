"""The list of models as the panels show it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import panel_env
import pytest
import vtk

from HighResSegmentationLib.Models import ModelEntry, defaultModel, listModels
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
    assert len(model.limitations) == 4
    assert model.limitations[2].startswith("Where nuclei touch")


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
    assert model.limitations == ()


def test_the_details_tell_intended_use_and_limitations(folder: Path) -> None:
    from HighResSegmentationLib.ModelPanel import ModelPanel

    tiny_file(
        folder / "a.safetensors", name="a", intended_use="Adults only.", limitations=["Fails at < 1 mm.", "Slow."]
    )
    tiny_file(folder / "b.safetensors", name="b", intended_use="")
    holder = panel_env.qt.QWidget()
    panel = ModelPanel(holder, lambda: listModels("patch_based"), lambda name: None)
    usual = panel.detailsLabel.toolTip
    panel.choose("a")
    told = "<p>Adults only.</p><p>Limitations:<ul><li>Fails at &lt; 1 mm.</li><li>Slow.</li></ul></p>"
    assert panel.detailsLabel.toolTip == f"<p>{usual}</p>{told}"
    panel.choose("b")
    assert panel.detailsLabel.toolTip == f"<p>{usual}</p>"
    panel.choose("")
    assert panel.detailsLabel.toolTip == usual
    holder.deleteLater()


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


class Volume:
    """What a volume node says of its voxels."""

    def __init__(self, shape: tuple[int, int, int], components: int) -> None:
        self._image = vtk.vtkImageData()
        self._image.SetDimensions(*shape)
        self._image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, components)

    def GetImageData(self) -> Any:  # noqa: N802
        return self._image


def of(name: str, dimension: int, *channels: str, problem: str = "") -> ModelEntry:
    return ModelEntry(Path(name), name, name, dimension=dimension, channels=channels, problem=problem)


RGB = ("red", "green", "blue")
MODELS = [of("damaged", 3, "CT", problem="junk"), of("polyps", 2, *RGB), of("xray", 2, "gray"), of("ct", 3, "CT")]


@pytest.mark.parametrize(
    ("volume", "name"),
    [
        (Volume((4, 5, 6), 1), "ct"),
        (Volume((4, 5, 1), 3), "polyps"),
        (Volume((4, 5, 1), 4), "polyps"),
        (Volume((4, 5, 1), 1), "xray"),
        (None, "polyps"),
    ],
)
def test_the_model_to_begin_with_fits_the_volume(volume: Any, name: str) -> None:
    chosen = defaultModel(MODELS, volume)
    assert chosen is not None
    assert chosen.name == name


def test_the_model_of_the_last_run_comes_first() -> None:
    volume = Volume((4, 5, 6), 1)
    assert defaultModel(MODELS, volume, "xray") is MODELS[2]
    # One that is gone, or cannot be used any more.
    for name in ("other", "damaged"):
        assert defaultModel(MODELS, volume, name) is MODELS[3]
    assert defaultModel(MODELS[:1], volume) is None
