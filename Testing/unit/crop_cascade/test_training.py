from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from Testing.model_helpers import cascade_header
from torch import Tensor, nn

from hrseg.crop_cascade.boxes import object_boxes
from hrseg.crop_cascade.network import CascadeNetwork
from hrseg.crop_cascade.training import CoarseTask, FineTask, cascade_tasks
from hrseg.errors import InputError, ModelError
from hrseg.methods import method_class
from hrseg.model_file import Header
from hrseg.training.task import TrainingCase

#: No random change at all.
STILL = {"rotation": [0], "scale": 0, "noise": 0, "blur": 0, "brightness": 0, "contrast": 0, "gamma": 0}
#: Changes of place alone: image and label must still agree.
MOVED = {**STILL, "rotation": [20], "scale": 0.2, "mirror": ["horizontal"]}
NARROW = {"width": 2, "depth": 1}


def header(dimension: int = 2, fine: dict[str, Any] = NARROW, **inference: Any) -> Header:
    return cascade_header(NARROW, fine, dimension, **inference)


def tasks(head: Header | None = None, **settings: Any) -> list[Any]:
    return cascade_tasks(head or header(), {"steps": 8, "augmentation": STILL, **settings})


def case(name: str, shape: tuple[int, int, int], *blocks: tuple[slice, ...]) -> TrainingCase:
    """The image is the label map."""
    label = np.zeros(shape, np.uint8)
    for block in blocks:
        label[block] = 1
    return TrainingCase(name, label[None].astype(np.float32), label, (True,), {})


def ramp(name: str, side: int) -> TrainingCase:
    """The image says in which row each pixel is. There is no object."""
    image = np.indices((side, side))[:1, None].astype(np.float32)
    return TrainingCase(name, image, np.zeros((1, side, side), np.uint8), (True,), {})


class Sees(nn.Module):
    """Finds an object at fixed rows and columns of its input, whatever that is."""

    def __init__(self, place: tuple[slice, slice]) -> None:
        super().__init__()
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.zeros(len(x), 2, *x.shape[2:])
        logits[:, 0] = 10
        logits[:, 1, *self.place] = 20
        return logits


def begun(task: Any, cases: list[TrainingCase], **trained: nn.Module) -> Any:
    """The fine task, ready to sample."""
    if isinstance(task, FineTask):
        trained = {"coarse": method_class("crop_cascade").build(task.header).coarse, **trained}
    task.begin(trained, cases)
    return task


def sample(task: Any, of: TrainingCase, seed: int = 0) -> dict[str, Tensor]:
    return task.sample(of, np.random.RandomState(seed))


def as_large(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """A sample with its image at the size of its label map."""
    mode = "bilinear" if found["label"].ndim == 2 else "trilinear"
    image = nn.functional.interpolate(found["image"][None], found["label"].shape, mode=mode)[0]
    return {**found, "image": image}


def center(values: Tensor) -> NDArray[np.float64]:
    """Of mass, in voxels."""
    weight = values.numpy().astype(float)
    return (np.indices(weight.shape) * weight).reshape(weight.ndim, -1).sum(1) / weight.sum()


# ---- stages ----


def test_the_folds_come_first_then_the_coarse_network_and_the_fine_one() -> None:
    stages = tasks(validation_every=3)
    assert [task.name for task in stages] == ["fold0", "fold1", "coarse", "fine"]
    assert [task.settings.steps for task in stages] == [4, 4, 8, 8]
    assert [task.settings.validation_every for task in stages] == [4, 4, 3, 3]
    assert [task.header.inference.get("variant") for task in stages] == ["plain"] * 3 + [None]


def test_steps_of_each_stage() -> None:
    stages = tasks(folds=3, fold_steps=2, fine_steps=5)
    assert [task.settings.steps for task in stages] == [2, 2, 2, 8, 5]
    assert [task.settings.steps for task in tasks(steps=1, folds=2)] == [1, 1, 1, 1]
    assert [task.name for task in tasks(folds=0)] == ["coarse", "fine"]


def test_the_published_variant_has_no_folds() -> None:
    stages = tasks(header(variant="paper"))
    assert [task.name for task in stages] == ["coarse", "fine"]
    assert not stages[1].settings.transfer
    assert stages[0].header.inference["variant"] == "paper_plain"
    assert stages[1].header.inference["variant"] == "paper"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"folds": 1}, 'The model "tiny" has folds: 1; .*: use 0 or 2'),
        ({"folds": 11}, "folds: Input should be less than or equal to 10"),
        ({"jitter": 2}, "jitter: Input should be less than or equal to 1"),
        ({"proposals": 0.5}, "proposals: Extra inputs are not permitted"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        tasks(**settings)


def test_weights_cannot_move_to_another_kind_of_network() -> None:
    different = header(fine={"width": 4, "depth": 1})
    with pytest.raises(ModelError, match='The networks of the model "tiny" differ, so transfer must be false'):
        tasks(different)
    assert len(tasks(different, transfer=False)) == 4


def test_a_size_that_the_networks_cannot_take() -> None:
    wrong = header(size=[17, 16])
    with pytest.raises(ModelError, match=r"the size \[17, 16\] must have 2 sides that are multiples of 2"):
        tasks(wrong)[0].begin({}, [])


# ---- folds ----


def test_a_fold_leaves_out_its_own_cases() -> None:
    cases = [case(f"c{n}", (1, 20, 20), np.s_[:, 4:9, 4:9]) for n in range(5)]
    seen = [[c.name for c in task.begin({}, cases)[1]] for task in tasks(folds=2)[:3]]
    assert seen == [["c1", "c3"], ["c0", "c2", "c4"], ["c0", "c1", "c2", "c3", "c4"]]
    seen = [[c.name for c in task.begin({}, cases)[1]] for task in tasks(folds=3)[:3]]
    assert seen == [["c1", "c2", "c4"], ["c0", "c2", "c3"], ["c0", "c1", "c3", "c4"]]


def test_fewer_cases_than_folds() -> None:
    of = case("c", (1, 20, 20), np.s_[:, 4:9, 4:9])
    with pytest.raises(InputError, match=r"^1 training case cannot be split into folds: 2; set folds: 0 in the recipe"):
        tasks()[0].begin({}, [of])
    with pytest.raises(InputError, match=r"^2 training cases cannot be split into folds: 3; .* or give more cases"):
        tasks(folds=3)[0].begin({}, [of, replace(of, name="d")])
    assert tasks(folds=0)[0].begin({}, [of])[1] == [of]


def test_boxes_are_proposed_by_the_network_that_did_not_see_the_case() -> None:
    """Fold 0 finds its object at the upper left, fold 1 at the lower right."""
    cases = [ramp(f"c{n}", 160) for n in range(4)]
    first, second = Sees(np.s_[1:4, 2:4]), Sees(np.s_[12:15, 11:14])
    task = begun(tasks(proposed=1.0)[-1], cases, fold0=first, fold1=second)
    for number, of in enumerate(cases):
        # Rows 10 to 40, or 120 to 150.
        assert sample(task, of)["image"].mean() == pytest.approx(25 if number % 2 == 0 else 135, abs=3)


# ---- samples ----


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


def test_the_loss_compares_at_the_resolution_of_the_label_map() -> None:
    task = tasks(folds=0)[0]
    label = torch.zeros(1, 4, 4, dtype=torch.int64)
    label[:, :, :3] = 1

    def loss(first: float, second: float) -> float:
        """Of a network that has these logits in the left and the right half."""
        logits = torch.tensor([first, second]).expand(1, 1, 2, 2)
        batch = {"image": torch.cat([-logits, logits], 1), "label": label, "annotated": torch.ones(1, 1).bool()}
        return float(task.loss(nn.Identity(), batch)["cross_entropy"])

    # Half of the right half is object: being sure of it costs more than being in doubt.
    assert loss(9, 0) < loss(9, 9)
    assert loss(9, 0) < loss(9, -9)


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


# ---- weights ----


def test_the_fine_network_starts_from_the_coarse_one() -> None:
    of = case("c", (1, 40, 40), np.s_[:, 8:20, 9:22])
    coarse = method_class("crop_cascade").build(header()).coarse
    before = {key: value.clone() for key, value in coarse.state_dict().items()}
    for transfer in (True, False):
        task = tasks(folds=0, transfer=transfer)[-1]
        fine, cases = task.begin({"coarse": coarse}, [of])
        assert cases == [of]
        assert all(torch.equal(value, before[key]) for key, value in fine.state_dict().items()) == transfer
        # It is a copy: training it does not change the coarse one.
        with torch.no_grad():
            for parameter in fine.parameters():
                parameter += 1
        assert all(torch.equal(value, before[key]) for key, value in coarse.state_dict().items())
        whole = task.whole(fine)
        assert isinstance(whole, CascadeNetwork)
        assert whole.coarse is coarse
        assert whole.fine is fine


def test_a_coarse_stage_is_validated_as_the_coarse_network_alone() -> None:
    task = tasks(folds=0)[0]
    assert isinstance(task, CoarseTask)
    network, _ = task.begin({}, [])
    whole = task.whole(network)
    assert isinstance(whole, CascadeNetwork)
    assert whole.coarse is network
