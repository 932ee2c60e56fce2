"""Samples and losses of training, and one short run on pictures with finer masks."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from hrseg.data_list import read_data_list
from hrseg.errors import InputError, ModelError
from hrseg.evaluation.run import evaluate_model
from hrseg.geometry import Grid
from hrseg.image import Image, LabelMap
from hrseg.model_file import Header, Intensity, Preprocessing, load_model
from hrseg.runtime import CPU
from hrseg.sasr.network import SasrNetwork
from hrseg.sasr.training import SasrTask
from hrseg.training.cases import ValidationCase, voxels_by_label
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import Recipe
from hrseg.training.task import TrainingCase
from model_helpers import tiny_header
from training_helpers import write_list

PLAIN = {"rotation": [0], "scale": 0, "probability": 0}
NOTHING = {"image_weight": 0, "feature_weight": 0, "scale_weight": 0}


def header(dimension: int = 2, feeds: str = "native", **changes: Any) -> Header:
    fields: dict[str, Any] = {
        "method": "sasr",
        "dimension": dimension,
        "preprocessing": Preprocessing(intensity=Intensity(kind="window", low=0, high=1)),
        "network": {"widths": [2, 4]},
        "inference": {"window": [8] * dimension, "feeds": feeds},
    }
    return tiny_header(**{**fields, **changes})


def task(made: Header | None = None, **settings: Any) -> SasrTask:
    return SasrTask(made or header(), {"steps": 10, "augmentation": PLAIN, **settings})


def case(finer: int = 1, shape: tuple[int, int, int] = (1, 16, 24), name: str = "c") -> TrainingCase:
    """An image that is 0.25 where a square of label 1 is, the label map ``finer`` times as fine."""
    fine = (shape[0] * (finer if shape[0] > 1 else 1), shape[1] * finer, shape[2] * finer)
    label = np.zeros(fine, dtype=np.uint8)
    label[:, 4 * finer : 10 * finer, 4 * finer : 12 * finer] = 1
    image = np.zeros((1, *shape), dtype=np.float32)
    image[:, :, 4:10, 4:12] = 0.25
    return TrainingCase(name, image, label, (True, True), voxels_by_label(label, (True, True)))


def begun(made: SasrTask, *cases: TrainingCase) -> SasrTask:
    made.begin({}, list(cases))
    return made


# ---- samples ----


def test_shapes_and_what_is_finer() -> None:
    made = begun(task(), case(2))
    sample = made.sample(case(2), np.random.RandomState(0))
    assert sample["image"].shape == (1, 8, 8)
    assert sample["label"].shape == (16, 16)
    assert sample["fine"].shape == (1, 16, 16)
    assert made.finer == (1, 2, 2)
    deep = header(3, network={"widths": [2, 4], "factors": [1, 2, 4]})
    assert task(deep).finer == (1, 2, 4)


@pytest.mark.parametrize(("share", "has_fine"), [(0.0, False), (1.0, True)])
def test_native_and_shrunk_samples(share: float, has_fine: bool) -> None:
    made = begun(task(shrunk=share, foreground=1.0), case(2))
    for seed in range(5):
        sample = made.sample(case(2), np.random.RandomState(seed))
        assert sample["has_fine"].item() == has_fine
        image, label, fine = sample["image"][0], sample["label"], sample["fine"][0]
        assert label.any()
        # The label map lies where the image says, at the fine resolution, to a voxel.
        assert torch.equal(label > 0, fine == 0.25)
        if not has_fine:
            # What the network sees was not blurred on the way.
            assert torch.equal(image.repeat_interleave(2, 0).repeat_interleave(2, 1), fine)
        torch.testing.assert_close(image, fine.reshape(8, 2, 8, 2).mean(dim=(1, 3)))


def test_images_without_finer_labels_are_always_shrunk() -> None:
    made = begun(task(header(feeds="shrunk"), shrunk=0.0), case())
    assert made.sample(case(), np.random.RandomState(0))["has_fine"].item()


def test_equal_states_give_equal_samples() -> None:
    made = begun(SasrTask(header(), {"steps": 10}), case(2))
    one, two = (made.sample(case(2), np.random.RandomState(3)) for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_volumes() -> None:
    deep = header(3)
    made = begun(task(deep, shrunk=0.0), case(2, (16, 16, 24)))
    sample = made.sample(case(2, (16, 16, 24)), np.random.RandomState(0))
    assert sample["image"].shape == (1, 8, 8, 8)
    assert sample["label"].shape == (16, 16, 16)


def test_pictures_are_resized_as_at_inference() -> None:
    made = task(header(inference={"window": [8, 8], "size": [8, 12]}), shrunk=0.0)
    _, cases = made.begin({}, [case(2, (1, 12, 18))])
    # The image shrinks to 8 x 12; its label map has enough voxels to stay finer.
    assert cases[0].image.shape == (1, 1, 8, 12)
    assert cases[0].label.shape == (1, 16, 24)
    assert made.sample(cases[0], np.random.RandomState(0))["has_fine"].item() is False


def test_what_a_large_picture_loses_by_resizing_is_to_be_found() -> None:
    made = task(header(inference={"window": [8, 8], "size": [8, 12]}), shrunk=0.0)
    _, cases = made.begin({}, [case(1, (1, 20, 24))])
    assert cases[0].image.shape == (1, 1, 16, 24)
    sample = made.sample(cases[0], np.random.RandomState(0))
    assert sample["has_fine"].item() is True
    assert (sample["image"].shape, sample["fine"].shape) == ((1, 8, 8), (1, 16, 16))


def test_a_native_network_needs_finer_labels() -> None:
    with pytest.raises(InputError, match="set feeds: shrunk in the recipe's inference"):
        begun(task(), case())
    begun(task(header(feeds="shrunk")), case())
    begun(task(header(network={"widths": [2, 4], "factors": [1, 1], "sr": False}), **NOTHING), case())


@pytest.mark.parametrize(
    ("network", "settings", "words"),
    [
        ({}, {"patch": [9, 8]}, r"patch \[9, 8\] must have 2 sides that are multiples of \[2, 2\]"),
        ({}, {"patch": [8]}, "patch"),
        ({"sr": False}, {}, "feature_weight and scale_weight must be 0"),
        ({"sdc": False}, {}, "scale_weight must be 0"),
    ],
)
def test_settings_that_do_not_fit(network: dict[str, Any], settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        task(header(network={"widths": [2, 4], **network}), **settings)


# ---- losses ----


def one_batch(made: SasrTask) -> dict[str, torch.Tensor]:
    samples = [made.sample(case(2), np.random.RandomState(n)) for n in range(2)]
    return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}


def fresh(made: SasrTask) -> SasrNetwork:
    torch.manual_seed(0)
    network, _ = made.begin({}, [case(2)])
    assert isinstance(network, SasrNetwork)
    return network.eval()


def test_affinities_come_in_over_the_ramp() -> None:
    made = task(steps=100, ramp=0.1)
    network = fresh(made)
    batch = one_batch(made)

    def affinities(step: int) -> float:
        made.step = step
        with torch.no_grad():
            parts = made.loss(network, batch)
        plain = 0.5 * parts["dice_loss"] + 0.5 * parts["cross_entropy"] + 0.2 * parts["image"]
        full = 0.5 * parts["feature_affinity"] + 0.1 * parts["scale_affinity"]
        return float((parts["loss"] - plain) / full)

    assert affinities(0) == pytest.approx(0.1, abs=1e-2)
    assert affinities(4) == pytest.approx(0.5, abs=1e-2)
    assert affinities(9) == pytest.approx(1, abs=1e-2)
    assert affinities(80) == pytest.approx(1, abs=1e-2)


def test_every_parameter_learns() -> None:
    made = task(shrunk=1.0, ramp=0)
    network = fresh(made).train()
    with torch.no_grad():
        # The heads' last layers begin as zeros, which lets no gradient through at first.
        for p in network.parameters():
            p.add_(0.1 * torch.randn_like(p))
    made.loss(network, one_batch(made))["loss"].backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_gates_by_size_of_lesion() -> None:
    made = task()
    network = fresh(made)
    made._limits = (5.0, 50.0)
    image, label = case().image, np.zeros((1, 32, 48), dtype=np.uint8)
    label[0, 8:20, 8:24] = 1
    label[0, 26:30, 40:44] = 2
    grid = Grid.from_spacing((1, 16, 24))
    truth = LabelMap(label, grid.finer((1, 2, 2)))
    seen = made.observe(network, ValidationCase("v", Image(image, grid), truth, (True, True)))
    # 12 x 16 fine pixels are 48 coarse ones, 7.8 across; 4 x 4 are 4, 2.3 across.
    assert set(seen) == {f"gate_{size}_{path}" for size in ("small", "medium") for path in (1, 3, 5, 11)}
    assert all(0 < value < 1 for value in seen.values())
    plain = task(header(network={"widths": [2, 4], "sdc": False}), scale_weight=0)
    assert plain.observe(network, ValidationCase("v", Image(image, grid), truth, (True, True))) == {}


# ---- a run ----


def write_pictures(folder: Path) -> Path:
    rows: dict[str, list[dict[str, str]]] = {"training": [], "validation": [], "test": []}
    for number, split in enumerate(["training", "training", "training", "validation", "test"]):
        rng = np.random.default_rng(number)
        j, i = rng.integers(4, 16, 2)
        mask = np.zeros((1, 96, 64), dtype=np.uint8)
        mask[:, 3 * j : 3 * j + 36, 2 * i : 2 * i + 24] = 255
        image = rng.integers(20, 90, (1, 32, 32)) + (mask[:, 1::3, ::2] // 2)
        sitk.WriteImage(sitk.GetImageFromArray(image.astype(np.uint8)[0]), str(folder / f"p{number}.png"))
        sitk.WriteImage(sitk.GetImageFromArray(mask[0]), str(folder / f"m{number}.png"))
        rows[split].append({"image": f"p{number}.png", "label": f"m{number}.png"})
    content = {"name": "squares", "licence": "CC0", "labels": {"0": "background", "1": "square"}, "label_above": 127}
    return write_list(folder, {**content, "label_size": [64, 64], **rows})


def test_a_run_from_pictures_with_finer_masks(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "method": "sasr",
            "dimension": 2,
            "channels": ["grey"],
            "labels": [{"name": "square"}],
            "preprocessing": {"intensity": {"kind": "window", "low": 0, "high": 255}},
            "network": {"widths": [4, 8]},
            "inference": {"window": [32, 32]},
            "training": {"steps": 60, "validation_every": 30, "batch_size": 4, "precision": "32-true", "warmup": 0,
                         "average": 0.9, "learning_rate": 0.01, "patch": [16, 16]},
        }
    )  # fmt: skip
    data = read_data_list(write_pictures(tmp_path))
    output = tmp_path / "tiny.safetensors"
    train(recipe, data, output, TrainingOptions(accelerator="cpu"))
    with (tmp_path / "tiny.training/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert any(name.startswith("val_gate_") for name in rows[0])
    metrics = evaluate_model(load_model(output), data, "test", tmp_path / "scores", CPU)
    # Compared at 64 x 64, twice the image's resolution.
    assert metrics["mean"]["dice"] > 0.7
    score = metrics["cases"][0]["labels"]["square"]
    assert score["truth_ml"] == pytest.approx(24 * 24 * 0.25 / 1000)
    assert replace(data).cases("test")[0].label_size == (64, 64)
