from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hrseg.pfseg.network import Guidance, PFSegNetwork
from hrseg.pfseg.settings import NetworkSettings

SMALL: dict[str, Any] = {"widths": [2, 3, 4], "guidance_widths": [2, 3], "tail_width": 2}


def parameters(module: nn.Module | None) -> int:
    return 0 if module is None else sum(p.numel() for p in module.parameters())


def network(dimension: int = 3, channels: int = 1, classes: int = 1, **settings: Any) -> PFSegNetwork:
    torch.manual_seed(0)
    return PFSegNetwork(dimension, channels, classes, NetworkSettings(**settings))


def guidance(shape: list[int], batch: int = 1, place: float = 0.5, present: bool = True) -> Guidance:
    crop = torch.rand(batch, 1, *shape)
    return Guidance(crop, torch.full((batch, len(shape)), place), torch.full((batch,), present))


@pytest.mark.parametrize(
    ("settings", "total", "encoder", "branch", "decoder"),
    [
        ({}, 14_655_042, 3_612_544, 442_912, 5_299_793),
        ({"block": "multi_kernel"}, 29_161_426, 16_301_760, 2_260_080, 5_299_793),
        ({"block": "multi_kernel", "guidance_widths": []}, 25_852_770, 16_301_760, 0, 4_775_505),
    ],
)
def test_parameters_of_the_published_networks(
    settings: dict[str, Any], total: int, encoder: int, branch: int, decoder: int
) -> None:
    with torch.device("meta"):
        built = network(**settings)
    assert parameters(built) == total
    assert parameters(built.encoder) == encoder
    assert parameters(built.guidance) == branch
    assert parameters(built.segmentation) == parameters(built.super_resolution) == decoder


def recording(shapes: dict[str, tuple[int, ...]], key: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
        shapes[key] = tuple(output.shape[1:])

    return hook


def test_parameters_needed_for_the_mask() -> None:
    with torch.device("meta"):
        built = network(super_resolution=False)
    assert parameters(built) == 9_355_249


def test_shapes_of_the_published_stages() -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        built = network()
        for prefix, part, first in (("E", built.encoder, 1), ("G", built.guidance, 1), ("D", built.segmentation, 6)):
            for number, block in enumerate(part.blocks, first):  # type: ignore[union-attr, arg-type]
                block.register_forward_hook(recording(shapes, f"{prefix}{number}"))
        crop = guidance(NetworkSettings().guidance_shape([64, 96, 96]))
        logits, image = built(torch.rand(1, 1, 64, 96, 96), crop, super_resolve=True)
    assert tuple(crop.crop.shape[2:]) == (32, 48, 48)
    assert shapes == {
        "E1": (32, 64, 96, 96),
        "E2": (32, 32, 48, 48),
        "E3": (64, 16, 24, 24),
        "E4": (128, 8, 12, 12),
        "E5": (256, 4, 6, 6),
        "G1": (16, 32, 48, 48),
        "G2": (32, 16, 24, 24),
        "G3": (64, 8, 12, 12),
        "G4": (64, 4, 6, 6),
        "D6": (128, 8, 12, 12),
        "D7": (64, 16, 24, 24),
        "D8": (32, 32, 48, 48),
        "D9": (32, 64, 96, 96),
        "D10": (16, 128, 192, 192),
    }
    assert logits.shape == image.shape == (1, 1, 128, 192, 192)


@pytest.mark.parametrize(
    ("dimension", "factor", "low", "high"),
    [
        (3, [1, 2, 2], [8, 4, 4], [8, 8, 8]),
        (3, [2, 2, 4], [4, 4, 8], [8, 8, 32]),
        (2, [2, 2], [8, 4], [16, 8]),
        (2, [4, 1], [4, 8], [16, 8]),
    ],
)
def test_factor_per_axis(dimension: int, factor: list[int], low: list[int], high: list[int]) -> None:
    settings = NetworkSettings(**SMALL, factor=factor)
    built = network(dimension, 2, 3, **SMALL, factor=factor)
    crop = torch.rand(1, 2, *settings.guidance_shape(low))
    seen = Guidance(crop, torch.zeros(1, dimension), torch.ones(1))
    logits, image = built(torch.rand(1, 2, *low), seen, super_resolve=True)
    assert logits.shape == (1, 3, *high)
    assert image.shape == (1, 2, *high)


def test_anisotropic_pooling() -> None:
    strides = [[1, 2, 2], [2, 2, 2]]
    settings = NetworkSettings(**SMALL, strides=strides)
    assert settings.multiple(3) == [2, 4, 4]
    assert settings.guidance_shape([6, 8, 12]) == [6, 4, 6]
    logits, _ = network(**SMALL, strides=strides)(torch.rand(1, 1, 6, 8, 12), guidance([6, 4, 6]))
    assert logits.shape == (1, 1, 12, 16, 24)


def test_no_image_unless_asked_for() -> None:
    built, x = network(**SMALL), torch.rand(1, 1, 8, 8, 8)
    calls: list[int] = []
    built.super_resolution.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
    assert built(x)[1] is None
    assert not calls
    assert built(x, super_resolve=True)[1] is not None


@pytest.mark.parametrize("parts", [None, [[(slice(0, 8), slice(0, 12))]]])
def test_the_residual_image_begins_with_the_enlarged_input(parts: list[list[tuple[slice, slice]]] | None) -> None:
    made, image = network(2, **SMALL, residual_image=True), torch.rand(1, 1, 8, 12)
    _, restored = made(image, super_resolve=True, parts=parts)
    enlarged = nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(restored, enlarged)


def test_the_decoder_of_the_image_may_be_narrower() -> None:
    wide, narrow = network(**SMALL), network(**SMALL, image_widths=[1, 2])
    assert parameters(narrow.segmentation) == parameters(wide.segmentation)
    assert parameters(narrow.super_resolution) < parameters(wide.super_resolution)


def test_a_crop_that_is_not_present_is_no_crop() -> None:
    built, x = network(**SMALL, tell_place=True), torch.rand(1, 1, 8, 8, 8)
    with torch.no_grad():
        without = built(x)[0]
        dropped = built(x, guidance([4, 4, 4], present=False))[0]
        seen = built(x, guidance([4, 4, 4]))[0]
    torch.testing.assert_close(without, dropped)
    assert (without - seen).abs().max() > 1e-3


@pytest.mark.parametrize("told", [False, True])
def test_the_place_of_the_crop_counts_where_the_network_is_told(told: bool) -> None:
    built, x = network(**SMALL, tell_place=told), torch.rand(1, 1, 8, 8, 8)
    crop = guidance([4, 4, 4])
    with torch.no_grad():
        here, there = (built(x, crop._replace(place=torch.full((1, 3), p)))[0] for p in (0.3, 0.8))
    assert ((here - there).abs().max() > 1e-4) == told


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"strides": [[2, 2, 2]]}, "strides"),
        ({"factor": [1, 1, 1]}, "factor"),
        ({"factor": [2, 2]}, "factor"),
        ({"guidance_widths": [4]}, "guidance_widths"),
        ({"image_widths": [4]}, "image_widths"),
        ({"widths": [3, 4], "guidance_widths": [], "block": "multi_kernel"}, "even"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    assert problem in (NetworkSettings(**settings).problem(3) or "")
    assert NetworkSettings().problem(3) is None


@pytest.mark.parametrize("dimension", [2, 3])
def test_parts_of_all_there_is_change_nothing(dimension: int) -> None:
    made = network(dimension, **SMALL)
    image = torch.rand(2, 1, *[16] * dimension)
    whole = made(image, super_resolve=True)
    rest = (slice(0, 16),) * (dimension - 1)
    for mine in ([(slice(0, 16), *rest)], [(slice(0, 6), *rest), (slice(6, 16), *rest)]):
        parts = made(image, super_resolve=True, parts=[mine] * 2)
        for expected, found in zip(whole, parts, strict=True):
            torch.testing.assert_close(found, expected)


def test_parts_of_a_sample_are_normalised_together() -> None:
    made = network(2, **SMALL)
    image = torch.cat([torch.rand(1, 1, 16, 8), 4 + torch.rand(1, 1, 16, 8)], dim=3)
    left, right = (slice(0, 16), slice(0, 8)), (slice(0, 16), slice(8, 16))
    whole, alone, both = (made(image, parts=parts)[0] for parts in (None, [[left]], [[left, right]]))
    assert both.shape == (1, 1, 64, 16)
    inner, top = (0, 0, slice(3, 29), slice(3, 13)), both[:, :, :32]
    assert (top - whole[..., :16])[inner].abs().mean() < 0.2 * (alone - whole[..., :16])[inner].abs().mean()


def test_parts_differ_between_samples() -> None:
    made = network(2, **SMALL)
    image = torch.rand(1, 1, 16, 16).repeat(2, 1, 1, 1)
    left, right = (slice(0, 16), slice(0, 8)), (slice(0, 16), slice(8, 16))
    found, _ = made(image, parts=[[left], [right]])
    swapped, _ = made(image, parts=[[right], [left]])
    assert found.shape == (2, 1, 32, 16)
    torch.testing.assert_close(found, swapped.flip(0))
    assert (found[0] - found[1]).abs().max() > 0.01
