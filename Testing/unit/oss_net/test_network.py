from __future__ import annotations

from typing import Any

import pytest
import torch

from field_models import TINY, random_model
from hrseg.errors import ModelError
from hrseg.oss_net.bricks import SIDE
from hrseg.oss_net.method import OssNet
from hrseg.oss_net.network import FieldNetwork
from hrseg.oss_net.settings import FieldSettings
from model_helpers import tiny_header


def network(**changes: Any) -> FieldNetwork:
    found = random_model(**changes).network
    assert isinstance(found, FieldNetwork)
    return found


def test_a_point_costs_little() -> None:
    for classes in (2, 6):
        decoder = FieldNetwork(3, 1, classes, FieldSettings()).decoder
        # Published: 4.2 million.
        assert decoder.multiplications <= 30_000
    assert FieldNetwork(3, 1, 3, FieldSettings()).decoder.multiplications == 43 * 64 + 4 * 64 * 64 + 64 * 3


def test_prediction_has_the_shapes_of_the_points() -> None:
    model, image = network(), torch.rand(2, 1, 9, 12, 7)
    found = model(image, torch.rand(2, 5, 3) * 6, torch.ones(2, 3))
    assert found.logits.shape == (2, 3, 5)
    assert found.prior is not None
    assert found.prior.shape == (2, 3, 5, 6, 4)


def test_volumes_of_any_size_and_nodes_in_the_middle_of_their_voxels() -> None:
    model = network()
    assert model.encode(torch.rand(1, 1, 5, 8, 9)).shape == (1, 6, 4, 4, 6)
    assert model.to_nodes(torch.tensor([[0.5, 2.5, 0.0]])).tolist() == [[0, 1, -0.25]]


def test_stem_in_slabs_is_the_stem() -> None:
    model, image = network(), torch.rand(1, 1, 70, 8, 8)
    whole = model.stem(torch.cat([image, image[:, :, -1:].expand(-1, -1, 2, -1, -1)], dim=2))
    torch.testing.assert_close(model.nodes(image), whole)


def test_bricks_and_whole_volumes_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = network(), torch.rand(2, 1, 50, 40, 60)
    near = torch.rand(2, 30, 3) * 10 + torch.tensor([17.0, 3, 17])
    few = model(image, near, torch.ones(2, 3)).logits
    far = torch.cat([near, torch.rand(2, 4000, 3) * torch.tensor([49.0, 39, 59])], dim=1)
    every = model(image, far, torch.ones(2, 3)).logits
    torch.testing.assert_close(few, every[..., :30], atol=1e-5, rtol=1e-4)
    assert SIDE == 16


def test_field_is_continuous_between_voxels_and_bricks() -> None:
    model, image = network(), torch.rand(1, 1, 40, 12, 12)
    line = torch.tensor([[16.0, 5, 5], [16.0001, 5, 5], [3.9999, 5, 5], [4.0001, 5, 5]])[None]
    a = model(image, line, torch.ones(1, 3)).logits[0].T
    torch.testing.assert_close(a[0], a[1], atol=2e-3, rtol=0)
    torch.testing.assert_close(a[2], a[3], atol=2e-3, rtol=0)


def test_points_do_not_depend_on_each_other() -> None:
    model, image, points = network(), torch.rand(1, 1, 9, 9, 9), torch.rand(1, 20, 3) * 8
    together = model(image, points, torch.ones(1, 3)).logits
    alone = torch.cat([model(image, points[:, n : n + 1], torch.ones(1, 3)).logits for n in range(20)], dim=2)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_spacing_is_known() -> None:
    model, image, points = network(), torch.rand(1, 1, 9, 9, 9), torch.rand(1, 20, 3) * 8
    one, two = (model(image, points, torch.full((1, 3), mm)).logits for mm in (1.0, 2.0))
    assert (one - two).abs().max() > 1e-3


def test_fresh_decoder_says_what_the_context_says() -> None:
    model = FieldNetwork(3, 1, 3, FieldSettings(widths=[2, 3]))
    # Nodes of four voxels lie between voxels.
    points = 1.5 + 4 * torch.cartesian_prod(*[torch.arange(3.0)] * 3)
    found = model(torch.rand(1, 1, 12, 12, 12), points[None], torch.full((1, 3), 3.0))
    assert found.prior is not None
    torch.testing.assert_close(found.logits, found.prior.flatten(2))


def test_flat_images_and_anisotropic_strides() -> None:
    flat = network(dimension=2, network={"field": {**TINY["field"], "strides": [2, 2]}})
    assert flat(torch.rand(1, 1, 1, 20, 30), torch.zeros(1, 4, 3), torch.ones(1, 3)).logits.shape == (1, 3, 4)
    thick = network(network={"field": {**TINY["field"], "strides": [1, 4, 2]}})
    assert thick.encode(torch.rand(1, 1, 4, 16, 8)).shape[2:] == (4, 4, 4)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"network": {"field": {"strides": [2, 2]}}}, "strides .2, 2. must be 3 numbers"),
        ({"network": {"variant": "C", "published": {"sides": [24, 24, 20], "widths": [4, 8, 8]}}}, "multiples of 8"),
        ({"network": {"variant": "C"}, "dimension": 2}, "3D images only"),
        ({"network": {"variant": "E"}}, "variant"),
        ({"network": {}, "inference": {"strides": [3, 4, 4]}}, "strides"),
        ({"network": {}, "inference": {"window": [32, 32, 48]}}, "48. must have 3 sides that are multiples of .32, 32"),
        ({"network": {}, "inference": {"window": [32, 32]}}, "must have 3 sides"),
        ({"network": {"variant": "C"}, "inference": {"window": [32, 32, 32]}}, "sees volumes as wholes"),
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        OssNet.build(tiny_header(**{"method": "oss_net", "inference": {}, **changes}))
