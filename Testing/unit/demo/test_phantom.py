from dataclasses import replace

import numpy as np
import pytest
import torch

from hrseg.demo.phantom import FINER, MODELS, missing_models, show_phantom, table_rows
from hrseg.errors import ModelError
from hrseg.image import read_label_map
from hrseg.labels import Label
from hrseg.phantom import LABELS, default_grid
from hrseg.runtime import no_progress
from training_helpers import write_model

CPU = torch.device("cpu")
GRID = default_grid((20, 20, 16), 14.0)
LESION = next(label for label in LABELS if label.name == "liver lesion")


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    """A folder in which alone models are found."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr("hrseg.model_store.model_folders", lambda: [folder])
    return folder


def baseline(models, **changes):
    return write_model(models / "a.safetensors", **{"name": MODELS[0], "labels": list(LABELS), **changes})


def field(models):
    return write_model(
        models / "b.safetensors",
        name="phantom-ct-oss-net",
        method="oss_net",
        labels=list(LABELS),
        network={"field": {"strides": [2, 2, 2], "widths": [2, 4], "features": 2, "local": [2]}},
        inference={},
    )


def test_without_models_nothing_is_shown(tmp_path):
    assert missing_models() == list(MODELS)
    with pytest.raises(ModelError, match="None of the demo's models is at hand"):
        show_phantom(tmp_path / "out", CPU, no_progress, GRID)
    assert not (tmp_path / "out").exists()


def test_each_model_at_the_finest_resolution_that_it_makes(tmp_path, models):
    baseline(models)
    field(models)
    assert missing_models() == [MODELS[1], MODELS[2], MODELS[4]]
    windows, continuous = show_phantom(tmp_path / "out", CPU, no_progress, GRID)
    assert (windows.spacing, continuous.spacing) == (14, 7)
    assert continuous.result.label_map.array.shape == (32, 40, 40)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "phantom-ct-oss-net.seg.nrrd",
        "phantom-ct-patch-based.seg.nrrd",
        "phantom-truth.nii.gz",
        "phantom.nii.gz",
        "phantom.png",
    ]
    truth = read_label_map(tmp_path / "out" / "phantom-truth.nii.gz")
    assert truth.grid.matches(GRID.finer(FINER))
    ((first, second), lesions) = table_rows([windows, continuous])
    assert first.dice == pytest.approx(np.mean([scores["dice"] for scores in windows.fine.values()]))
    assert first.dice_input == pytest.approx(np.mean([scores["dice"] for scores in windows.coarse.values()]))
    assert second.shown is continuous
    assert [row.labels for row in lesions] == [("liver lesion",)] * 2
    assert lesions[0].dice == windows.fine["liver lesion"]["dice"]


def test_a_model_of_lesions_alone_is_in_the_second_part_alone(tmp_path, models):
    baseline(models)
    write_model(models / "c.safetensors", name=MODELS[4], labels=[replace(LESION, value=1)])
    shown = show_phantom(tmp_path / "out", CPU, no_progress, GRID)
    every, lesions = table_rows(shown)
    assert [row.shown.method.model.header.name for row in every] == [MODELS[0]]
    assert [row.shown.method.model.header.name for row in lesions] == [MODELS[0], MODELS[4]]
    # Its value 1 is compared with the phantom's 2.
    truth = (read_label_map(tmp_path / "out" / "phantom-truth.nii.gz").array == LESION.value).sum()
    assert shown[1].fine["liver lesion"]["truth_ml"] == pytest.approx(truth * 7**3 / 1000)


def test_labels_that_the_phantom_does_not_have(tmp_path, models):
    baseline(models, labels=[Label(1, "spleen", (1, 2, 3))])
    with pytest.raises(ModelError, match='no label "spleen"'):
        show_phantom(tmp_path / "out", CPU, no_progress, GRID)
