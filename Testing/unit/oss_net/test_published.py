from __future__ import annotations

from pathlib import Path

import pytest
import torch

from field_models import random_model
from hrseg.model_file import load_model, save_model
from hrseg.oss_net.published import PublishedNetwork
from hrseg.oss_net.settings import PublishedSettings

LITS = PublishedSettings(sides=[256, 256, 256], widths=[8, 16, 32, 64, 128])
SMALL = PublishedSettings(sides=[16, 16, 16], widths=[4, 8], hidden=16)


@pytest.mark.parametrize(
    ("variant", "brats", "lits"),
    [
        ("O-Net", 6_890_753, 9_057_237),
        ("A", 7_245_438, 9_409_177),
        ("B", 7_254_358, 9_409_520),
        ("C", 8_695_733, 10_866_490),
        ("D", 8_704_653, 10_866_833),
    ],
)
def test_numbers_of_parameters_are_the_published_ones(variant: str, brats: int, lits: int) -> None:
    with torch.device("meta"):
        networks = PublishedNetwork(variant, 4, 2, PublishedSettings()), PublishedNetwork(variant, 1, 2, LITS)
    assert [sum(p.numel() for p in network.parameters()) for network in networks] == [brats, lits]


def test_narrow_o_net_and_latents() -> None:
    with torch.device("meta"):
        network = PublishedNetwork("O-Net", 4, 2, PublishedSettings(hidden=256))
        latents, auxiliary = PublishedNetwork("C", 4, 2, PublishedSettings()).encoder(torch.rand(1, 4, 128, 128, 80))
    assert sum(p.numel() for p in network.parameters()) == 3_309_313
    assert latents.shape == (1, 6, 320)
    assert auxiliary is not None
    assert auxiliary.shape == (1, 1, 8, 8, 5)


@pytest.mark.parametrize("variant", ["O-Net", "A", "B", "C", "D"])
@pytest.mark.parametrize("classes", [2, 4])
def test_logits_of_points(variant: str, classes: int) -> None:
    network = PublishedNetwork(variant, 2, classes, SMALL)
    found = network(torch.rand(2, 2, 11, 9, 8), torch.rand(2, 5, 3) * 7, torch.ones(2, 3))
    assert found.logits.shape == (2, classes, 5)
    if variant in ("C", "D"):
        assert found.prior.shape == (2, classes, 4, 4, 4)
    else:
        assert found.prior is None
    if classes == 2:
        assert not found.logits[:, 0].any()


def test_windows_at_the_corner_have_zeros_beyond_it() -> None:
    network = PublishedNetwork("A", 1, 2, SMALL)
    image = torch.arange(1.0, 126).reshape(1, 1, 5, 5, 5)
    window = network.windows(network.padded(image)[0], torch.tensor([[0.0, 0, 0], [2.2, 1.9, 2]]))
    assert window.shape == (2, 1, 7, 7, 7)
    assert not window[0, 0, :3].any()
    torch.testing.assert_close(window[0, 0, 3:, 3:, 3:], image[0, 0, :4, :4, :4])
    torch.testing.assert_close(window[1, 0, 1:6, 1:6, 1:6], image[0, 0])


def test_wide_windows_are_means() -> None:
    network = PublishedNetwork("B", 1, 2, SMALL)
    image = torch.rand(1, 1, 20, 20, 20)
    window = network.windows(network.padded(image)[0], torch.tensor([[9.0, 10, 11]]))
    assert window.shape == (1, 2, 7, 7, 7)
    # 14 voxels from 7 before on, two by two.
    block = image[0, 0, 2:16, 3:17, 4:18]
    expected = block.reshape(7, 2, 7, 2, 7, 2).mean(dim=(1, 3, 5))
    torch.testing.assert_close(window[0, 1], expected)


def test_saved_and_loaded_with_its_running_statistics(tmp_path: Path) -> None:
    published = {"sides": [16, 16, 16], "widths": [4, 8], "hidden": 16}
    model = random_model(network={"variant": "C", "published": published})
    network = model.network.train()
    with torch.no_grad():
        network(torch.rand(2, 1, 11, 9, 8), torch.rand(2, 50, 3) * 7, torch.ones(2, 3))
    save_model(tmp_path / "c.safetensors", model.header, network.eval(), half=False)
    again = load_model(tmp_path / "c.safetensors").network
    inputs = torch.rand(1, 1, 9, 9, 9), torch.rand(1, 6, 3) * 8, torch.ones(1, 3)
    with torch.no_grad():
        torch.testing.assert_close(again(*inputs).logits, network(*inputs).logits)
    assert not any("batches" in name for name in network.state_dict())
