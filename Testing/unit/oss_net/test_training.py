from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from field_models import TINY, field_header
from hrseg.errors import InputError, ModelError
from hrseg.methods import method_class
from hrseg.oss_net.training import FieldTask
from hrseg.training.task import TrainingCase

SETTINGS: dict[str, Any] = {
    "steps": 4,
    "patch": [8, 16, 16],
    "points": {"count": 64},
    "augmentation": {
        "rotation": [0.0],
        "scale": 0.0,
        "noise": 0,
        "blur": 0,
        "brightness": 0,
        "contrast": 0,
        "gamma": 0,
    },
}

FLAT: dict[str, Any] = {"dimension": 2, "network": {"field": {**TINY["field"], "strides": [2, 2]}}}


def case(factor: int = 1, shape: tuple[int, int, int] = (14, 16, 18)) -> TrainingCase:
    """Bright where the label is."""
    label = np.zeros([n * factor for n in shape], dtype=np.uint8)
    label[: 6 * factor, : 9 * factor, 3 * factor :] = 1
    label[6 * factor : 9 * factor] = 2
    image = label[::factor, ::factor, ::factor].astype(np.float32)[None]
    return TrainingCase("a", image, label, (True, True), {v: np.flatnonzero(label == v) for v in (1, 2) if v in label})


def task(**changes: Any) -> FieldTask:
    return FieldTask(field_header(**changes.pop("header", {})), {**SETTINGS, **changes})


def test_sample() -> None:
    sample = task().sample(case(), np.random.RandomState(0))
    shapes = {name: tuple(value.shape) for name, value in sample.items()}
    points = {"points": (64, 3), "target": (64,), "weight": (64,)}
    assert shapes == {"image": (1, 8, 16, 16), **points, "annotated": (2,), "spacing": (3,), "nodes": (4, 8, 8)}
    on_voxels = (sample["points"] % 1 == 0).all(dim=1)
    assert on_voxels.sum() == 48
    k, j, i = sample["points"][on_voxels].long().T
    assert torch.equal(sample["image"][0, k, j, i].round().long(), sample["target"][on_voxels])


@pytest.mark.parametrize(
    ("own", "fixed", "told"),
    [
        ((3.0, 0.5, 0.7), None, (3.0, 0.5, 0.7)),
        # A model that works at one spacing is told that one, to the digit.
        ((1.9, 1.0, 1.1), (2.0, 1.0, 1.0), (2.0, 1.0, 1.0)),
        (None, None, (1.0, 1.0, 1.0)),
    ],
)
def test_the_network_is_told_the_spacing(own: Any, fixed: Any, told: tuple[float, ...]) -> None:
    preprocessing = field_header().preprocessing.model_copy(update={"spacing": fixed})
    # Larger and smaller subjects do not have larger and smaller voxels.
    trained = task(header={"preprocessing": preprocessing}, augmentation={"rotation": [0.0], "scale": 0.3})
    sample = trained.sample(replace(case(), spacing=own), np.random.RandomState(0))
    torch.testing.assert_close(sample["spacing"], torch.tensor(told))


@pytest.mark.parametrize(
    ("own", "fixed", "told"),
    [((3.0, 0.5, 0.7), None, (1.0, 1.0, 1.0)), ((1.9, 0.6, 0.7), (9.0, 0.5, 0.7), (1.0, 0.5, 0.7))],
)
def test_in_2d_neither_thickness_nor_print_resolution_is_told(own: Any, fixed: Any, told: tuple[float, ...]) -> None:
    preprocessing = field_header().preprocessing.model_copy(update={"spacing": fixed})
    trained = task(header={**FLAT, "preprocessing": preprocessing}, patch=[16, 16])
    sample = trained.sample(replace(case(shape=(1, 30, 40)), spacing=own), np.random.RandomState(0))
    torch.testing.assert_close(sample["spacing"], torch.tensor(told))


def test_equal_states_give_equal_samples() -> None:
    one, two = (task(augmentation={}).sample(case(), np.random.RandomState(3)) for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("factor", [2, 4])
def test_finer_label_maps(factor: int) -> None:
    fine = task(finer=factor)
    assert fine.finer == (factor, factor, factor)
    fine.begin({}, [case(factor)])
    found = fine.sample(case(factor), np.random.RandomState(0))
    assert found["image"].shape == (1, 8, 16, 16)
    # The image is as it was: whole numbers, not means of neighbours.
    assert not (found["image"] % 1).any()
    # A point in a voxel has that voxel's label, as the fine label map is made of whole voxels.
    moved = 16
    k, j, i = found["points"].round().long().clamp(min=0).T
    agree = found["image"][0, k.clamp(max=7), j.clamp(max=15), i.clamp(max=15)].long() == found["target"]
    assert agree.float().mean() > (64 - moved) / 64
    assert (found["points"] % 1 != 0).any()


def test_label_maps_that_are_not_finer() -> None:
    with pytest.raises(InputError, match='"a" is not 2 times finer'):
        task(finer=2).begin({}, [case()])


def test_published_variants_learn_from_cases_with_all_labels() -> None:
    partly = replace(case(), annotated=(True, False))
    network = {"variant": "C", "published": {"sides": [16, 16, 16], "widths": [4, 8], "hidden": 16}}
    with pytest.raises(InputError, match=r'"C" learns .* "spine" is not annotated in "a"; .* the variant "field"'):
        task(header={"network": network}).begin({}, [case(), partly])
    assert task().begin({}, [partly])[1] == [partly]


def test_loss_falls_and_everything_learns() -> None:
    trained = task(points={"count": 512}, augmentation={})
    torch.manual_seed(0)
    network, _ = trained.begin({}, [case()])
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    rng = np.random.RandomState(0)
    losses = []
    for _ in range(12):
        samples = [trained.sample(case(), rng) for _ in range(2)]
        batch = {name: torch.stack([s[name] for s in samples]) for name in samples[0]}
        found = trained.loss(network, batch)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        losses.append(found["loss"].item())
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # The spacing here is 1 mm, whose logarithm is 0, but the other numbers of the condition count.
    assert still == []


@pytest.mark.parametrize("variant", ["O-Net", "C"])
def test_published_losses(variant: str) -> None:
    network_settings = {"variant": variant, "published": {"sides": [16, 16, 16], "widths": [4, 8], "hidden": 16}}
    trained = task(header={"network": network_settings}, prior=0.1)
    network = method_class("oss_net").build(trained.header)
    sample = trained.sample(case(), np.random.RandomState(0))
    batch = {name: value[None] for name, value in sample.items()}
    losses = trained.loss(network, batch)
    if variant == "C":
        total = losses["cross_entropy"] + 0.1 * losses["prior_loss"]
        torch.testing.assert_close(losses["loss"].detach(), total)
    else:
        assert "prior_loss" not in losses
        torch.testing.assert_close(losses["loss"].detach(), losses["cross_entropy"])


def test_patch_of_another_dimension() -> None:
    with pytest.raises(ModelError, match="must have 3 sides"):
        task(patch=[16, 16])


def test_samples_are_as_large_as_the_windows_of_inference() -> None:
    trained = task(header={"inference": {"window": [8, 12, 16]}}, patch=None)
    assert trained.sample(case(), np.random.RandomState(0))["image"].shape == (1, 8, 12, 16)
    with pytest.raises(ModelError, match="How large samples are is not said"):
        task(patch=None)


def test_flat_samples() -> None:
    flat = case(shape=(1, 30, 40))
    found = task(header=FLAT, patch=[16, 24]).sample(flat, np.random.RandomState(0))
    assert found["image"].shape == (1, 1, 16, 24)
    assert not found["points"][:, 0].any()
