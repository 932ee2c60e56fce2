"""Training a cascade: its stages, the folds, the loss, and the weights that move on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from Testing.cascade_training_helpers import Sees, begun, case, header, sample, tasks
from torch import nn

from hrseg.crop_cascade.network import CascadeNetwork
from hrseg.crop_cascade.training import CoarseTask
from hrseg.errors import InputError, ModelError
from hrseg.methods import method_class
from hrseg.training.task import TrainingCase


def ramp(name: str, side: int) -> TrainingCase:
    """The image says in which row each pixel is. There is no object."""
    image = np.indices((side, side))[:1, None].astype(np.float32)
    return TrainingCase(name, image, np.zeros((1, side, side), np.uint8), (True,), {})


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


# ---- loss ----


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
