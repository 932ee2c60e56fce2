from __future__ import annotations

import pytest
import torch

from hrseg.crop_cascade.network import MONAI_NETWORKS, NetworkChoice, UNet


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
