from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hrseg.blocks import ResidualUNet, interpolated
from hrseg.errors import ModelError
from hrseg.methods import method_class
from hrseg.model_file import Header
from hrseg.pfseg.network import PFSegNetwork
from hrseg.training.task import Task, TrainingCase
from model_helpers import tiny_header

NETWORK: dict[str, Any] = {"widths": [2, 3, 4], "guidance_widths": [2, 3], "tail_width": 2}
SHAPE = (16, 24, 18)


def header(dimension: int = 3, **network: Any) -> Header:
    made = tiny_header(method="pfseg", dimension=dimension, network={**NETWORK, **network}, inference={})
    fine = made.preprocessing.model_copy(update={"spacing": (1.0, 2.0, 3.0)})
    return made.model_copy(update={"preprocessing": fine})


def stages(of: Header, **settings: Any) -> list[Task]:
    size = [16] * of.dimension
    return method_class("pfseg").training_tasks(of, {"steps": 4, "size": size, "low_steps": 3, **settings})


def case() -> TrainingCase:
    rng = np.random.default_rng(0)
    label = np.zeros(SHAPE, np.uint8)
    label[4:12, 8:16, 6:12] = 2
    return TrainingCase("case", rng.random((1, *SHAPE), dtype=np.float32), label, (True, True), {})


def test_without_it_there_is_one_stage() -> None:
    assert [stage.name for stage in stages(header(), low_steps=0)] == [""]


def test_the_first_stage_is_the_baseline_on_the_shrunk_copy() -> None:
    low, fine = stages(header(factor=[1, 2, 2]), batch_size=3, validation_every=2)
    assert (low.name, fine.name) == ("low", "")
    assert low.header.method == "patch_based"
    assert low.header.preprocessing.spacing == (1.0, 4.0, 6.0)
    assert low.header.inference == {"window": [16, 8, 8], "fit_window": True}
    assert (low.settings.steps, low.settings.validation_every, low.settings.batch_size) == (3, 2, 3)
    network, (shrunk,) = low.begin({}, [case()])
    assert isinstance(network, ResidualUNet)
    assert shrunk.image.shape == (1, 16, 12, 9)
    assert np.array_equal(shrunk.label, case().label[:, ::2, ::2])
    assert sorted(shrunk.voxels) == [2]
    found = low.sample(shrunk, np.random.RandomState(0))
    assert found["image"].shape == (1, 16, 8, 8)


def test_samples_of_several_sizes() -> None:
    low, _ = stages(header(), size=[32, 32, 48], least_size=[16, 16, 16], batch_size=1)
    network, (shrunk,) = low.begin({}, [case()])
    rng = np.random.RandomState(0)
    found = {tuple(low.sample(shrunk, rng)["image"].shape[1:]) for _ in range(40)}
    # 8, 12, 9 voxels fill a sample of 8, 12, 12.
    assert found == {(8, 8, 8), (8, 8, 12), (8, 12, 12)}
    wide = replace(shrunk, label=np.zeros((16, 16, 24), np.uint8), image=np.zeros((1, 16, 16, 24), np.float32))
    found = {tuple(low.sample(wide, rng)["image"].shape[1:]) for _ in range(40)}
    assert found >= {(12, 12, 16), (16, 16, 20), (16, 16, 24)}
    assert isinstance(network, ResidualUNet)
    with pytest.raises(
        ModelError, match=r"least_size: \[16, 16, 16\], samples of several sizes, of which no batch of 2"
    ):
        stages(header(), size=[32, 32, 48], least_size=[16, 16, 16], batch_size=2)


def test_copies_of_means() -> None:
    preprocessing = header().preprocessing.model_copy(update={"shrink": "means"})
    low, _ = stages(header().model_copy(update={"preprocessing": preprocessing}))
    source = case()
    _, (shrunk,) = low.begin({}, [source])
    means = source.image.reshape(1, 8, 2, 12, 2, 9, 2).mean(axis=(2, 4, 6))
    np.testing.assert_allclose(shrunk.image, means, rtol=1e-5)
    assert low.header.preprocessing.shrink == "means"


@pytest.mark.parametrize("dimension", [2, 3])
def test_the_second_stage_goes_on_with_its_weights(dimension: int) -> None:
    low, fine = stages(header(dimension))
    trained, _ = low.begin({}, [])
    network, _ = fine.begin({"low": trained}, [])
    assert isinstance(network, PFSegNetwork)
    image = torch.rand(1, 1, *[8] * dimension)
    features: list[torch.Tensor] = []
    hooks = [
        trained.get_submodule("decoder.0").register_forward_hook(lambda *found: features.append(found[2])),
        network.get_submodule("segmentation.blocks.1").register_forward_hook(lambda *found: features.append(found[2])),
    ]
    with torch.no_grad():
        trained(image)
        network(image)
    assert len(hooks) == len(features) == 2
    torch.testing.assert_close(features[0], features[1])
    # What the guidance crop shows changes nothing yet, but will.
    weight = network.get_parameter("segmentation.ups.0.conv.weight")
    assert weight[:4].abs().min() > 0
    assert not weight[4:].any()


@pytest.mark.parametrize("dimension", [2, 3])
def test_with_a_low_head_the_second_stage_begins_with_what_the_first_has_found(dimension: int) -> None:
    low, fine = stages(header(dimension, low_head=True))
    trained, _ = low.begin({}, [])
    network, _ = fine.begin({"low": trained}, [])
    image = torch.rand(1, 1, *[8] * dimension)
    with torch.no_grad():
        first, (found, _) = trained(image), network(image)
    torch.testing.assert_close(found, interpolated(first, [16] * dimension))
    assert network.get_parameter("segmentation.head.weight").requires_grad


def test_what_the_first_stage_has_learned_may_change_slowly() -> None:
    for more, rate in (({"low_rate": 0.1}, 1e-4), ({}, 1e-3), ({"low_rate": 0.1, "low_steps": 0}, 1e-3)):
        fine = stages(header(low_head=True), learning_rate=1e-3, **more)[-1]
        network, _ = fine.begin({}, [])
        assert isinstance(network, PFSegNetwork)
        rest, known = fine.parameters(network)
        assert "lr" not in rest
        assert known["lr"] == pytest.approx(rate)
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        assert sorted(id(p) for p in [*rest["params"], *known["params"]]) == sorted(names)
        slow = {".".join(names[id(parameter)].split(".")[:3]) for parameter in known["params"]}
        assert slow == {
            *("encoder.blocks.0", "encoder.blocks.1", "encoder.blocks.2"),
            *("segmentation.ups.0", "segmentation.ups.1", "segmentation.blocks.0", "segmentation.blocks.1"),
            *("segmentation.low_head.weight", "segmentation.low_head.bias"),
        }


@pytest.mark.parametrize(
    ("change", "message"), [({"block": "multi_kernel", "widths": [2, 4, 4], "guidance_widths": [2, 2]}, "multi_kernel")]
)
def test_networks_that_have_no_such_part(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=rf"low_steps: 3, which need plain blocks and a spacing, not {message} and"):
        stages(header(**change))
    bare = header()
    bare = bare.model_copy(update={"preprocessing": bare.preprocessing.model_copy(update={"spacing": None})})
    with pytest.raises(ModelError, match="not plain and None; set them, or low_steps to 0"):
        stages(bare)


def test_the_first_stage_looks_at_the_hardest_voxels_as_the_second_does() -> None:
    logits = torch.randn(1, 3, 4, 4, 4)
    drawn = torch.ones(1, 2, dtype=torch.bool)
    batch = {"image": logits, "label": torch.randint(3, (1, 4, 4, 4)), "annotated": drawn}
    each = torch.nn.functional.cross_entropy(logits, batch["label"], reduction="none").flatten().sort().values
    for hardest, expected in ((0.25, each[-16:].mean()), (1.0, each.mean())):
        low = stages(header(), hardest=hardest)[0]
        found = low.loss(torch.nn.Identity(), batch)
        torch.testing.assert_close(found["cross_entropy"], expected)
