from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hrseg.errors import InputError
from hrseg.labels import Label
from hrseg.methods import method_class
from hrseg.model_file import Header, Model
from hrseg.training.fine_tuning import check_taken, left_to_learn, take_over
from hrseg.training.task import Task
from model_helpers import cascade_header, tiny_header

PFSEG: dict[str, Any] = {"method": "pfseg", "network": {"widths": [2, 3], "guidance_widths": [2]}, "inference": {}}
CASCADE = cascade_header({"width": 2, "depth": 1}, {"width": 2, "depth": 1})
PREPROCESSING = tiny_header().preprocessing.model_copy(update={"spacing": (1.0, 1.0, 1.0)})


def model(header: Header) -> Model:
    torch.manual_seed(1)
    return Model(header, method_class(header.method).build(header))


def tasks(header: Header, **settings: Any) -> list[Task]:
    return method_class(header.method).training_tasks(header, {"steps": 1, **settings})


def begun(task: Task, trained: dict[str, nn.Module] | None = None) -> nn.Module:
    torch.manual_seed(2)
    return task.begin(trained or {}, [])[0]


def equal(network: nn.Module, other: nn.Module) -> list[str]:
    theirs = other.state_dict()
    return [name for name, value in network.state_dict().items() if torch.equal(value, theirs[name])]


def test_all_weights_of_the_same_network() -> None:
    start, (task,) = model(tiny_header(name="earlier")), tasks(tiny_header())
    network = begun(task)
    count = len(network.state_dict())
    assert len(equal(network, start.network)) < count
    assert take_over(task, network, start) == f'Training begins with {count} of {count} tensors from "earlier".'
    assert len(equal(network, start.network)) == count


def test_other_labels_have_a_last_layer_of_their_own() -> None:
    start, (task,) = model(tiny_header()), tasks(tiny_header(labels=[Label(1, "tumor", (1, 2, 3))]))
    network = begun(task)
    before = network.get_parameter("head.weight").clone()
    count = len(network.state_dict())
    assert f" with {count - 2} of {count} " in take_over(task, network, start)
    assert torch.equal(network.get_parameter("head.weight"), before)
    encoder = network.get_submodule("encoder")
    assert equal(encoder, start.network.get_submodule("encoder")) == list(encoder.state_dict())


def test_each_stage_of_the_cascade_begins_with_its_part() -> None:
    start = model(CASCADE)
    coarse, fine = tasks(CASCADE, folds=0)
    for task, part in ((coarse, "coarse"), (fine, "fine")):
        network = begun(task, {"coarse": start.network.get_submodule("coarse")})
        assert take_over(task, network, start).startswith(f'The stage "{task.name}" begins with ')
        assert equal(network, start.network.get_submodule(part)) == list(network.state_dict())


def test_the_first_stage_of_pfseg_begins_with_a_baseline() -> None:
    """Which is its low-resolution part; the second stage goes on with what the first has learned."""
    low, fine = tasks(tiny_header(**PFSEG, preprocessing=PREPROCESSING), low_steps=1, size=[16] * 3)
    start = model(tiny_header())
    network = begun(low)
    assert take_over(low, network, start)
    assert equal(network, start.network) == list(network.state_dict())
    assert take_over(fine, begun(fine, {"low": network}), start) == ""


def test_pfseg_goes_on_from_pfseg_with_its_second_stage() -> None:
    stages = tasks(tiny_header(**PFSEG, preprocessing=PREPROCESSING), low_steps=1, size=[16] * 3)
    assert left_to_learn(stages, model(tiny_header())) == stages
    start = model(tiny_header(**PFSEG))
    (fine,) = left_to_learn(stages, start)
    network = begun(fine)
    assert take_over(fine, network, start)
    assert equal(network, start.network) == list(network.state_dict())


def test_a_model_that_does_not_fit() -> None:
    start, (task,) = model(tiny_header(name="baseline")), tasks(tiny_header(**PFSEG), size=[16] * 3)
    taken = take_over(task, begun(task), start)
    with pytest.raises(InputError, match=r'"baseline" \(patch_based, 3D\) has no weights that "tiny" \(pfseg, 3D\) '):
        check_taken(taken, task, start)
    check_taken("Training begins", task, start)
