"""What the networks of a cascade learn from: whole images and crops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from Testing.cascade_training_helpers import STILL, Sees, begun, case, header, sample, tasks
from torch import Tensor, nn

from hrseg.crop_cascade.boxes import object_boxes

#: Changes of place alone: image and label must still agree.
MOVED = {**STILL, "rotation": [20], "scale": 0.2, "mirror": ["horizontal"]}


def as_large(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """A sample with its image at the size of its label map."""
    mode = "bilinear" if found["label"].ndim == 2 else "trilinear"
    image = nn.functional.interpolate(found["image"][None], found["label"].shape, mode=mode)[0]
    return {**found, "image": image}


def center(values: Tensor) -> NDArray[np.float64]:
    """Of mass, in voxels."""
    weight = values.numpy().astype(float)
    return (np.indices(weight.shape) * weight).reshape(weight.ndim, -1).sum(1) / weight.sum()


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("variant", ["cascade", "paper"])
@pytest.mark.parametrize("stage", [-2, -1], ids=["coarse", "fine"])
def test_samples(dimension: int, variant: str, stage: int) -> None:
    shape = (1, 40, 56) if dimension == 2 else (20, 28, 24)
    of = case("c", shape, np.s_[:, 8:20, 9:22])
    before = of.image.copy(), of.label.copy()
    augmentation = MOVED if dimension == 2 else {**MOVED, "mirror": []}
    task = begun(tasks(header(dimension, variant=variant), folds=0, augmentation=augmentation)[stage], [of])
    one = sample(task, of, 3)
    assert one["image"].shape == (1, *[16] * dimension)
    assert one["image"].dtype == torch.float32
    # Our coarse network learns at twice its resolution.
    side = 32 if task.name == "coarse" and variant == "cascade" else 16
    assert one["label"].shape == tuple([side] * dimension)
    assert one["label"].dtype == torch.int64
    assert one["annotated"].tolist() == [True]
    again, other = sample(task, of, 3), sample(task, of, 4)
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["image"], other["image"])
    assert np.array_equal(of.image, before[0])
    assert np.array_equal(of.label, before[1])


@pytest.mark.parametrize("stage", [-2, -1], ids=["coarse", "fine"])
@pytest.mark.parametrize(
    ("shape", "block"),
    [
        ((1, 50, 70), np.s_[:, 10:30, 20:44]),
        # Much larger than the network's input: shrunk in two steps.
        ((1, 330, 250), np.s_[:, 40:230, 50:231]),
        ((40, 90, 110), np.s_[5:33, 20:75, 10:70]),
    ],
)
def test_image_and_label_move_together(stage: int, shape: tuple[int, int, int], block: tuple[slice, ...]) -> None:
    of = case("c", shape, block)
    dimension = 2 if shape[0] == 1 else 3
    augmentation = MOVED if dimension == 2 else {**MOVED, "mirror": []}
    task = begun(tasks(header(dimension), folds=0, augmentation=augmentation, empty=0)[stage], [of])
    samples = [as_large(sample(task, of, seed)) for seed in range(8)]
    apart = np.array([center(found["image"][0]) - center(found["label"]) for found in samples])
    # A label is one or nothing at the edges, where the image has values in between.
    assert np.abs(apart).max() < 1
    # The coarse task's label map is finer than its image, so that rounding the object's edges counts twice.
    assert np.abs(apart.mean(axis=0)).max() < (0.3 if task.name == "fine" else 0.4)
    agreement = [((found["image"][0] > 0.5) == (found["label"] > 0)).float().mean() for found in samples]
    assert min(agreement) > 0.85


def test_without_changes_the_fine_sample_is_the_crop() -> None:
    """An object of 8 x 8 in a crop of the network's own size, 16 x 16."""
    of = case("c", (1, 48, 48), np.s_[:, 20:28, 22:30])
    of.image[:] = np.random.default_rng(0).normal(size=of.image.shape)
    task = begun(tasks(folds=0, empty=0, jitter=0)[-1], [of])
    found = sample(task, of)
    np.testing.assert_allclose(found["image"][0].numpy(), of.image[0, 0, 16:32, 18:34], atol=1e-5)
    assert np.array_equal(found["label"].numpy(), of.label[0, 16:32, 18:34])


@pytest.mark.parametrize(
    ("own", "fixed", "expected"),
    [
        # 8 slices are 40 mm, 50 pixels; 0.15 of that, 7.5 pixels, is added on either side, of slices 2.
        ((5.0, 0.8, 0.8), None, (16, 65, 65)),
        # Boxes of 8 voxels on an isotropic grid need 8 + 2 x 2 of the network's 16.
        ((0.3, 0.3, 0.3), None, (16, 16, 16)),
        (None, None, (16, 16, 16)),
        # What the model works at, to the digit.
        ((5.0, 0.8, 0.8), (3.0, 3.0, 3.0), (16, 16, 16)),
    ],
)
def test_crops_are_those_of_use(own: Any, fixed: Any, expected: tuple[int, ...]) -> None:
    head = header(3)
    head = head.model_copy(update={"preprocessing": head.preprocessing.model_copy(update={"spacing": fixed})})
    of = replace(case("c", (40, 90, 90), np.s_[16:24, 40:48, 40:48]), spacing=own)
    task = begun(tasks(head, folds=0, empty=0, jitter=0)[-1], [of])
    crop = task._crop(of, np.random.RandomState(0))
    assert crop.shape == expected
    if own and not fixed:
        (found,) = object_boxes(of.label > 0, task._inference, own)
        assert crop == found.crop


def test_without_changes_the_coarse_sample_is_the_whole_image() -> None:
    of = case("c", (1, 64, 48), np.s_[:, 16:32, 24:36])
    task = begun(tasks(folds=0)[0], [of])
    label = sample(task, of)["label"]
    # The network's input is 16 x 16, its label map twice that: a half and two thirds as large as the image.
    expected = torch.zeros(32, 32, dtype=torch.int64)
    expected[8:16, 16:24] = 1
    assert torch.equal(label, expected)


def test_shares_of_true_proposed_and_empty_crops() -> None:
    of = case("c", (1, 200, 200), np.s_[:, 90:98, 90:98])
    # A proposal far from the object: pixels 12 to 37.
    far = Sees(np.s_[1:3, 1:3])
    for settings, expected in (
        ({"proposed": 0.0, "empty": 0.0}, 1.0),
        ({"proposed": 1.0, "empty": 0.0}, 0.0),
        ({"proposed": 0.4, "empty": 0.0}, 0.6),
    ):
        task = begun(tasks(**settings)[-1], [of], fold0=far, fold1=far)
        shown = np.mean([bool(sample(task, of, seed)["label"].any()) for seed in range(25)])
        assert shown == pytest.approx(expected, abs=0.2 if 0 < expected < 1 else 0)


def test_a_case_without_objects_has_samples() -> None:
    of = case("c", (1, 30, 30))
    for variant in ("cascade", "paper"):
        task = begun(tasks(header(variant=variant), folds=0)[-1], [of])
        assert not sample(task, of)["label"].any()


def test_an_image_smaller_than_the_network_s_input() -> None:
    of = case("c", (1, 10, 12), np.s_[:, 2:6, 3:7])
    for stage in tasks(folds=0):
        assert sample(begun(stage, [of]), of)["image"].shape == (1, 16, 16)


def test_the_published_variant_samples_true_boxes_alone() -> None:
    of = case("c", (1, 100, 100), np.s_[:, 35:65, 35:65])
    elsewhere = Sees(np.s_[1:3, 1:3])
    published = begun(
        tasks(header(variant="paper"), empty=1.0, proposed=1.0)[-1], [of], fold0=elsewhere, fold1=elsewhere
    )
    assert all(sample(published, of, seed)["label"].any() for seed in range(30))
    ours = begun(tasks(empty=1.0, folds=0)[-1], [of])
    assert not all(sample(ours, of, seed)["label"].any() for seed in range(30))


def test_the_published_variant_takes_the_whole_image_where_a_box_does_not_fit() -> None:
    of = case("c", (1, 64, 64), np.s_[:, :, :64])
    of.image[:] = np.arange(64)[:, None]
    task = begun(tasks(header(variant="paper"))[-1], [of])
    rows = sample(task, of)["image"][0].mean(dim=1)
    assert rows[0] < 4
    assert rows[-1] >= 58
