from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from Testing.model_helpers import cascade_header

from hrseg.crop_cascade.network import MONAI_NETWORKS, NetworkChoice, UNet
from hrseg.errors import ModelError
from hrseg.methods import method_class
from hrseg.model_file import Header, load_model, save_model
from hrseg.model_header import read_tensor_table


@pytest.mark.parametrize(("channels", "parameters"), [(3, 7_763_041), (1, 7_762_465)])
def test_the_published_u_net_has_the_published_parameters(channels: int, parameters: int) -> None:
    assert sum(p.numel() for p in UNet(2, channels, 1).parameters()) == parameters


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("kind", ["unet", *MONAI_NETWORKS])
def test_every_network_keeps_the_size(kind: str, dimension: int) -> None:
    choice = NetworkChoice(kind=kind, width=4)  # type: ignore[arg-type]
    network = choice.build(dimension, 3, 2).eval()
    shape = [32] * dimension
    with torch.no_grad():
        assert network(torch.rand(1, 3, *shape)).shape == (1, 2, *shape)


def test_only_listed_networks_can_be_named() -> None:
    with pytest.raises(ValueError, match="Input should be"):
        NetworkChoice(kind="os.system")  # type: ignore[arg-type]


def used(head: Header) -> torch.nn.Module:
    """A network whose batch norm has seen a batch."""
    torch.manual_seed(0)
    network = method_class("crop_cascade").build(head)
    x = torch.rand(2, 1, *[32] * head.dimension)
    for part in ("coarse", "fine"):
        network.get_submodule(part).train()(x)
    return network.eval()


NARROW = {"width": 2, "depth": 1}


@pytest.mark.parametrize(
    ("coarse", "dimension"), [(NARROW, 2), (NARROW, 3), ({"kind": "AttentionUnet"}, 2), ({"kind": "UNet"}, 2)]
)
def test_a_model_file_gives_the_cascade_back(tmp_path: Path, coarse: dict[str, Any], dimension: int) -> None:
    head = cascade_header(coarse, NARROW, dimension, size=[32] * dimension)
    network = used(head)
    save_model(tmp_path / "a.safetensors", head, network, half=False)
    assert "num_batches_tracked" not in str(read_tensor_table(tmp_path / "a.safetensors")[0])
    model = load_model(tmp_path / "a.safetensors")
    assert model.header.network == head.network
    assert not model.network.training
    x = torch.rand(1, 1, *[32] * dimension)
    with torch.no_grad():
        for part in ("coarse", "fine"):
            torch.testing.assert_close(
                model.network.get_submodule(part)(x), network.get_submodule(part)(x), atol=0, rtol=0
            )


def test_networks_of_monai_need_more_than_a_voxel_at_their_coarsest_level() -> None:
    with pytest.raises(ModelError, match=r"the size \[16, 16\] must have 2 sides that are multiples of 32"):
        method_class("crop_cascade").build(cascade_header({"kind": "UNet"}, NARROW))


def test_statistics_of_batch_norm_are_kept(tmp_path: Path) -> None:
    head = cascade_header(NARROW, NARROW)
    network = used(head)
    save_model(tmp_path / "a.safetensors", head, network, half=False)
    one, two = (net.state_dict() for net in (network, load_model(tmp_path / "a.safetensors").network))
    assert one.keys() == two.keys()
    means = [key for key in one if key.endswith("running_mean")]
    assert means
    assert all(one[key].any() and torch.equal(one[key], two[key]) for key in means)


def test_weights_without_version_notes_can_be_loaded() -> None:
    """As they come from a checkpoint."""
    head = cascade_header(NARROW, NARROW)
    network, other = used(head), method_class("crop_cascade").build(head)
    other.load_state_dict(dict(network.state_dict()))
    copy.deepcopy(other).load_state_dict(dict(network.state_dict()))
    assert torch.equal(other.fine.head.weight, network.fine.head.weight)


def test_other_networks_do_not_fit_a_model_file(tmp_path: Path) -> None:
    network = used(cascade_header(NARROW, NARROW))
    save_model(tmp_path / "a.safetensors", cascade_header(NARROW, {"width": 3, "depth": 1}), network)
    with pytest.raises(ModelError):
        load_model(tmp_path / "a.safetensors")
