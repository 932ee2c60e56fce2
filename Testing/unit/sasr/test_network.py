"""The network: the released network's numbers, shapes, what runs for masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hrseg.model_file import Header, Intensity, Preprocessing
from hrseg.sasr.network import SasrNetwork
from hrseg.sasr.settings import InferenceSettings, NetworkSettings
from model_helpers import tiny_header


def header(dimension: int = 2, spacing: tuple[float, float, float] | None = None, **network: Any) -> Header:
    preprocessing = Preprocessing(spacing=spacing, intensity=Intensity(kind="window", low=0, high=1))
    inference = {"window": [16] * dimension}
    fields = {"method": "sasr", "dimension": dimension, "preprocessing": preprocessing, "inference": inference}
    return tiny_header(**fields, network={"widths": [2, 4, 6], **network})


def network(dimension: int = 2, **settings: Any) -> SasrNetwork:
    made = header(dimension, **settings)
    torch.manual_seed(0)
    net = SasrNetwork.of(made, NetworkSettings(**made.network))
    for tensor in net.state_dict().values():
        tensor.uniform_(-0.5, 0.5) if tensor.ndim > 1 else tensor.uniform_(0.5, 1)
    return net.eval()


def parameters(*modules: nn.Module | None) -> int:
    return sum(p.numel() for module in modules if module for p in module.parameters())


# ---- the released network ----


def released(dimension: int, channels: int) -> SasrNetwork:
    settings = NetworkSettings(head="interpolate", dropout=0.5)
    with torch.device("meta"):
        return SasrNetwork(dimension, channels, 1, settings, [[[d] * dimension for d in (1, 2, 5)]] * 4)


def test_parameters_of_the_released_3d_network() -> None:
    net = released(3, 1)
    assert parameters(net.encoder) == 3_515_040
    assert parameters(net.mask_decoder, net.mask_head) == 4_826_349
    assert parameters(net.image_decoder) == 4_826_316
    # The released head has a second up-sampler of 18,224 parameters that is never used.
    assert parameters(net.image_decoder, net.image_head) == 4_909_181 - 18_224
    assert parameters(net.encoder, net.mask_decoder, net.mask_head) == 8_341_389
    assert [parameters(block) for block in net.mask_decoder.blocks] == [2_782_084, 702_916, 179_428]


def test_parameters_in_two_dimensions() -> None:
    net = released(2, 3)
    assert parameters(net.encoder) == 1_174_176
    assert parameters(net.mask_decoder, net.mask_head) == 1_697_517
    assert parameters(net) - parameters(net.project) == 4_592_924


def test_shapes_of_the_released_3d_network() -> None:
    net = released(3, 1)
    out = net.outputs(torch.zeros(1, 1, 48, 48, 48, device="meta"))
    assert out.logits.shape == (1, 1, 96, 96, 96)
    assert out.image is not None
    assert out.image.shape == (1, 1, 96, 96, 96)
    assert [tuple(gate.shape) for gate in out.mask_gates] == [(1, 4, n, n, n) for n in (12, 24, 48)]
    assert [gate.shape for gate in out.image_gates] == [gate.shape for gate in out.mask_gates]
    assert out.mask_features.shape == (1, 16, 48, 48, 48)
    assert out.image_features is not None
    assert out.image_features.shape == (1, 32, 48, 48, 48)


# ---- settings ----


@pytest.mark.parametrize(
    ("dimension", "factors", "fine"),
    [(2, [2, 2], (16, 24)), (2, [4, 4], (32, 48)), (3, [1, 2, 2], (4, 16, 24)), (3, [1, 4, 4], (4, 32, 48))],
)
@pytest.mark.parametrize("head", ["learned", "interpolate"])
def test_factors(dimension: int, factors: list[int], fine: tuple[int, ...], head: str) -> None:
    strides = [[1, 2, 2], [2, 2, 2]] if dimension == 3 else None
    net = network(dimension, factors=factors, strides=strides, head=head)
    x = torch.rand(2, 1, *([4, 8, 12] if dimension == 3 else [8, 12]))
    out = net.outputs(x)
    assert out.logits.shape == (2, 3, *fine)
    assert out.image is not None
    assert out.image.shape == (2, 1, *fine)


def test_dilations_are_smaller_along_coarse_axes_until_strides_make_voxels_even() -> None:
    settings = NetworkSettings(widths=[2, 4, 6], strides=[[1, 2, 2], [1, 2, 2]])
    thick = header(3, spacing=(4.0, 1.0, 1.0), strides=settings.strides)
    assert settings.level_dilations(thick) == [
        [[1, 1, 1], [1, 2, 2], [1, 5, 5]],
        [[1, 1, 1], [1, 2, 2], [2, 5, 5]],
        [[1, 1, 1], [2, 2, 2], [5, 5, 5]],
    ]
    assert settings.multiple(3) == [1, 4, 4]
    net = SasrNetwork.of(thick, settings)
    assert [path.conv.dilation for path in net.mask_decoder.blocks[-1].paths[1:]] == [(1, 1, 1), (1, 2, 2), (1, 5, 5)]  # type: ignore[union-attr]
    # Coarsest of the decoder: one level below, where slices are two voxels thick.
    assert net.mask_decoder.blocks[0].paths[3].conv.dilation == (2, 5, 5)  # type: ignore[union-attr,index]


def test_thin_paths() -> None:
    block = network(path_divisor=2).mask_decoder.blocks[0]
    assert [path.conv.weight.shape[:2] for path in block.paths] == [(2, 8)] * 4  # type: ignore[union-attr]
    assert block.fuse.conv.weight.shape[:2] == (4, 8)  # type: ignore[union-attr]


def test_without_the_image_decoder_or_gates() -> None:
    out = network(sr=False).outputs(torch.rand(1, 1, 8, 8))
    assert out.image is None
    assert out.image_features is None
    assert out.image_gates == []
    assert len(out.mask_gates) == 2
    assert network(sdc=False).outputs(torch.rand(1, 1, 8, 8)).mask_gates == []
    assert parameters(network(sr=False)) < parameters(network())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strides": [[2, 2]]}, "strides [[2, 2]] must be 2 lists of 2 numbers"),
        ({"factors": [2, 2, 2]}, "factors [2, 2, 2] must be 2 numbers"),
        ({"factors": [1, 1]}, "sr and early must be false"),
    ],
)
def test_what_does_not_fit(settings: dict[str, Any], words: str) -> None:
    assert words in (NetworkSettings(widths=[2, 4, 6], **settings).problem(2) or "")


def test_windows_and_sizes_that_do_not_fit() -> None:
    net = NetworkSettings(widths=[2, 4, 6])
    assert InferenceSettings(window=[16, 16]).problem(net, 2) is None
    assert "window [16, 18] must have 2 sides" in (InferenceSettings(window=[16, 18]).problem(net, 2) or "")
    assert "size [8, 8, 8]" in (InferenceSettings(window=[16, 16], size=[8, 8, 8]).problem(net, 2) or "")


# ---- behaviour ----


def test_the_mask_needs_no_image_decoder() -> None:
    net, x = network(), torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        before = net(x)
        assert net.image_decoder is not None
        assert net.image_head is not None
        for p in (*net.image_decoder.parameters(), *net.image_head.parameters(), *net.project.parameters()):
            p.fill_(float("nan"))
        assert torch.equal(net(x), before)
        logits, image = net.with_image(x)
    assert torch.equal(logits, before)
    assert image.isnan().all()


def test_dropout_is_off_at_test_and_on_in_training() -> None:
    net, x = network(dropout=0.5), torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(net(x), net(x))
        net.train()
        assert not torch.equal(net(x), net(x))


def test_both_ways_of_running_agree() -> None:
    net, x = network(), torch.rand(1, 1, 8, 8)
    slow = net.outputs(x)
    with torch.no_grad():
        torch.testing.assert_close(net(x), slow.logits)
        torch.testing.assert_close(net.with_image(x)[1], slow.image)
        torch.testing.assert_close(net.gates(x)[-1], slow.mask_gates[-1])


def test_fresh_heads_interpolate() -> None:
    torch.manual_seed(0)
    made = header()
    net, x = SasrNetwork.of(made, NetworkSettings(**made.network)).eval(), torch.rand(1, 1, 8, 8)
    out = net.outputs(x)
    enlarged = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(out.image, enlarged)
    features, _ = net.mask_decoder(net._encoded(x))
    coarse = net.mask_head.logits(features)
    expected = nn.functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(out.logits, expected)


def test_volumes_begin_with_background_and_pictures_do_not() -> None:
    for dimension, begins in ((2, False), (3, True)):
        net = SasrNetwork.of(header(dimension), NetworkSettings(widths=[2, 4]))
        background = net.mask_head(torch.zeros(1, 2, *[4] * dimension)).softmax(dim=1)[:, 0].mean().item()
        assert (background == pytest.approx(0.98)) == begins


def test_early_networks_work_at_the_fine_grid() -> None:
    net = network(early=True, sr=False)
    assert net(torch.rand(1, 1, 8, 8)).shape == (1, 3, 16, 16)
    assert net.gates(torch.rand(1, 1, 8, 8))[-1].shape == (1, 4, 16, 16)
    assert net.mask_head.correction is None
