from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray
from Testing.model_helpers import cascade_header

from hrseg.data_list import read_data_list
from hrseg.errors import Cancelled, ModelError
from hrseg.geometry import Grid
from hrseg.image import Image, write_image
from hrseg.methods import Options, method_of
from hrseg.model_file import load_header, load_model
from hrseg.runtime import Run
from hrseg.training import history
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import Recipe, read_recipe

NARROW = {"width": 2, "depth": 1}
OPTIONS = TrainingOptions("cpu", "hrseg train ...", accelerator="cpu")


def write_discs(folder: Path) -> Path:
    """Noisy 2D images with a bright disc."""
    rows: dict[str, list[dict[str, str]]] = {}
    for split, numbers in {"training": range(3), "validation": range(3, 4), "test": range(4, 5)}.items():
        for n in numbers:
            rng = np.random.default_rng(n)
            truth = disc(rng)
            write_image(folder / f"{n}.nii", noisy(truth, rng), Grid.from_spacing(truth.shape))
            write_image(folder / f"{n}-label.nii", truth, Grid.from_spacing(truth.shape))
            rows.setdefault(split, []).append({"image": f"{n}.nii", "label": f"{n}-label.nii"})
    path = folder / "list.json"
    labels = {"0": "background", "1": "object"}
    path.write_text(json.dumps({"name": "discs", "licence": "CC0", "labels": labels, **rows}), encoding="utf-8")
    return path


def disc(rng: np.random.Generator) -> NDArray[np.uint8]:
    j, i = np.indices((40, 48))
    middle = rng.integers(12, 28, 2)
    return ((j - middle[0]) ** 2 + (i - middle[1]) ** 2 < 49)[None].astype(np.uint8)


def noisy(truth: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int16]:
    return (rng.normal(40, 10, truth.shape) + 100 * truth).astype(np.int16)


def recipe_content() -> dict[str, Any]:
    content = cascade_header(NARROW, NARROW, 2).model_dump(
        mode="json", include={"name", "method", "dimension", "channels", "network", "inference"}
    )
    return {
        **content,
        "labels": [{"name": "object"}],
        "preprocessing": {"intensity": {"kind": "window", "low": 0, "high": 200}},
        "training": {
            "steps": 3,
            "fold_steps": 1,
            "fine_steps": 4,
            "validation_every": 2,
            "batch_size": 2,
            "precision": "32-true",
            "warmup": 0,
            "average": 0.5,
        },
    }


class At(Callback):
    """Interrupts after so many steps of all stages."""

    def __init__(self, step: int) -> None:
        self.left = step

    def on_train_batch_end(self, *args: Any) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Steps(Callback):
    """How many steps were made."""

    def __init__(self) -> None:
        self.count = 0

    def on_train_batch_end(self, *args: Any) -> None:
        self.count += 1


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "draw_curves", lambda *args: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return read_data_list(write_discs(tmp_path_factory.mktemp("discs")))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data: Any) -> Path:
    output = tmp_path_factory.mktemp("run") / "a.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "draw_curves", lambda *args: None)
        train(Recipe.model_validate(recipe_content()), data, output, OPTIONS)
    return output


def test_a_run_gives_a_model_that_segments(finished: Path) -> None:
    about = load_header(finished)
    assert about.training.steps == 1 + 1 + 3 + 4
    assert "variant" not in about.inference
    folder = finished.with_suffix(".training")
    for stage in ("fold0", "fold1", "coarse", "fine"):
        assert {"last.ckpt", "best.ckpt", "metrics.csv"} <= {path.name for path in (folder / stage).iterdir()}
    rng = np.random.default_rng(9)
    image = noisy(disc(rng), rng)[None]
    method = method_of(load_model(finished))
    result = method.segment(Image(image, Grid.from_spacing(image.shape[1:])), Options(), Run())
    assert result.label_map.array.shape == (1, 40, 48)


def test_the_model_has_the_best_weights_of_both_stages(finished: Path) -> None:
    state = load_model(finished).network.state_dict()
    for stage in ("coarse", "fine"):
        best = torch.load(finished.with_suffix(".training") / stage / "best.ckpt", weights_only=True)["state_dict"]
        for key, value in best.items():
            torch.testing.assert_close(state[key.replace("network", stage, 1)], value, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("stop", "left"), [(6, 4), (8, 2)], ids=["after the coarse stage", "in the fine one"])
def test_a_run_interrupted_and_resumed_ends_like_one_that_was_not(
    finished: Path, data: Any, tmp_path: Path, stop: int, left: int
) -> None:
    """Steps 1 and 2 are the folds', 3 to 5 the coarse network's, 6 to 9 the fine one's.

    Every second step of a stage is validated and kept.
    """
    output, recipe = tmp_path / "a.safetensors", Recipe.model_validate(recipe_content())
    with pytest.raises(Cancelled):
        train(recipe, data, output, OPTIONS, [At(stop)])
    steps = Steps()
    train(recipe, data, output, replace(OPTIONS, resume=True), [steps])
    assert output.read_bytes() == finished.read_bytes()
    assert steps.count == left


def test_a_recipe_that_does_not_fit(tmp_path: Path) -> None:
    content = {**recipe_content(), "inference": {"size": [17, 17]}, "profiles": {"cpu": {}}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ModelError, match=r"the size \[17, 17\] must have 2 sides that are multiples of 2"):
        read_recipe(tmp_path / "recipe.yaml", "cpu")
