from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hrseg.pfseg.forward import PLANS, Plan, decode, encode, units
from hrseg.pfseg.network import Guidance, PFSegNetwork
from hrseg.pfseg.settings import NetworkSettings
from hrseg.pfseg.slabs import Keep

THIN = [Plan(keep, 5) for keep in Keep]


def network(dimension: int = 3, **settings: Any) -> PFSegNetwork:
    torch.manual_seed(0)
    return PFSegNetwork(dimension, 1, 3, NetworkSettings(**settings)).eval().requires_grad_(False)


def in_slabs(built: PFSegNetwork, x: Tensor, guidance: Guidance | None, plan: Plan) -> tuple[Tensor, Tensor, int]:
    """Logits, super-resolved image, and how often it was told."""
    told: list[int] = []
    maps = encode(built, x, guidance, plan, told.append)
    kept = list(maps)
    logits = torch.cat([rows for _, rows in decode(built.segmentation, maps, plan, told.append)], dim=1)
    assert not maps
    count = len(told)
    assert built.super_resolution is not None
    rebuilt = decode(built.super_resolution, kept, plan, told.append, built.first_image(x))
    image = torch.cat([rows for _, rows in rebuilt], dim=1)
    assert len(told) - count == units(built, x.shape[2], plan, encoding=False)
    return logits, image, count


@pytest.mark.parametrize("plan", [*PLANS, *THIN], ids=str)
def test_probabilities_are_those_of_the_network_at_once(plan: Plan) -> None:
    built, x = network(widths=[8, 8, 16, 32], guidance_widths=[4, 8, 16], tail_width=8), torch.rand(1, 1, 24, 16, 32)
    guidance = Guidance(torch.rand(1, 1, 12, 8, 16), torch.full((1, 3), 0.4), torch.ones(1))
    expected, image = built(x, guidance, super_resolve=True)
    found, restored, told = in_slabs(built, x, guidance, plan)
    torch.testing.assert_close(found.softmax(0), expected[0].softmax(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(restored, image[0], atol=1e-4, rtol=0)
    assert told == units(built, 24, plan)


@pytest.mark.parametrize("plan", THIN, ids=str)
@pytest.mark.parametrize(
    ("dimension", "settings", "shape"),
    [
        (3, {"factor": [1, 2, 4]}, (8, 8, 8)),
        (3, {"factor": [4, 4, 2], "block": "multi_kernel"}, (8, 8, 8)),
        (3, {"strides": [[1, 2, 2], [2, 2, 2]]}, (6, 8, 8)),
        (2, {}, (16, 12)),
        (3, {"guidance_widths": [], "tail_width": 3}, (4, 8, 8)),
        (3, {"low_head": True}, (8, 8, 8)),
        (3, {"low_head": True, "factor": [4, 1, 2]}, (8, 8, 8)),
        (2, {"low_head": True, "factor": [4, 4]}, (16, 12)),
        (3, {"image_widths": [3, 5], "residual_image": True}, (8, 8, 8)),
        (2, {"residual_image": True, "factor": [4, 4]}, (16, 12)),
    ],
)
def test_other_shapes_of_the_network(
    dimension: int, settings: dict[str, Any], shape: tuple[int, ...], plan: Plan
) -> None:
    built = network(dimension, **{"widths": [4, 6, 8], "guidance_widths": [2, 4], "tail_width": 4, **settings})
    assert built.super_resolution is not None
    for head in (built.segmentation.head, built.segmentation.low_head, built.super_resolution.head):
        if head is not None:
            head.weight.normal_()
    x = torch.rand(1, 1, *shape)
    expected, image = built(x, super_resolve=True)
    found, restored, _ = in_slabs(built, x, None, plan)
    torch.testing.assert_close(found.softmax(0), expected[0].softmax(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(restored, image[0], atol=1e-4, rtol=0)


def test_a_dry_run_takes_few_slabs() -> None:
    assert Plan(Keep.ALL, 2, dry=True).slabs(16) == [(0, 2), (2, 4), (14, 16)]
    assert Plan(Keep.ALL, 8, dry=True).slabs(16) == [(0, 8), (8, 16)]
