from __future__ import annotations

import pytest
import torch

from field_models import TINY, ball_image, random_model
from hrseg.errors import Cancelled
from hrseg.methods import Options
from hrseg.oss_net.encoding import WHOLE, FieldEncoding, Windows, encode
from hrseg.oss_net.method import OssNet
from hrseg.oss_net.network import FieldNetwork
from hrseg.runtime import CPU, Run

#: TINY's sides must be multiples of 4: along k, two rows of voxels are added.
SHAPE = (18, 12, 16)


def network(**changes: object) -> FieldNetwork:
    found = random_model(**changes).network
    assert isinstance(found, FieldNetwork)
    return found


def maps(network: FieldNetwork, image: torch.Tensor, windows: Windows = WHOLE) -> torch.Tensor:
    encoding = encode(network, image, (1, 1, 1), windows)
    assert isinstance(encoding, FieldEncoding)
    return encoding.tensors()["maps"]


def test_windows_beside_each_other_are_encoded_as_images_of_their_own() -> None:
    net, image = network(), torch.rand(1, 16, 12, 16)
    found = maps(net, image, Windows((8, 12, 8), 0))
    for k in (0, 1):
        for i in (0, 1):
            part = image[:, 8 * k : 8 * k + 8, :, 8 * i : 8 * i + 8]
            torch.testing.assert_close(found[:, 4 * k : 4 * k + 4, :, 4 * i : 4 * i + 4], maps(net, part))
    assert not torch.allclose(found, maps(net, image), atol=0.01)


def test_what_does_not_depend_on_the_window_is_not_changed_by_blending(monkeypatch: pytest.MonkeyPatch) -> None:
    net, image = network(), torch.rand(1, *SHAPE)
    monkeypatch.setattr(net, "maps", lambda nodes: nodes.repeat(1, 3, 1, 1, 1))
    whole = net.nodes(image[None])[0].half().repeat(3, 1, 1, 1)
    for overlap in (0, 0.5, 0.75):
        torch.testing.assert_close(maps(net, image, Windows((8, 8, 8), overlap)), whole)


def test_a_window_as_large_as_the_image_is_the_whole_image() -> None:
    net, image = network(), torch.rand(1, *SHAPE)
    assert torch.equal(maps(net, image, Windows((24, 12, 40), 0.5)), maps(net, image))


def test_flat_images_in_windows() -> None:
    net = network(dimension=2, network={"field": {**TINY["field"], "strides": [2, 2]}})
    image = torch.rand(1, 1, 16, 24)
    found = maps(net, image, Windows((1, 8, 8), 0))
    torch.testing.assert_close(found[:, :, 4:, 8:], maps(net, image[:, :, 8:, 16:]))


def test_windows_are_progress_and_can_be_cancelled() -> None:
    method = OssNet(random_model(inference={"window": [8, 8, 8], "overlap": 0.5}))
    told: list[tuple[str, int, int]] = []
    run = Run(progress=lambda *step: told.append(step))
    method.segment(ball_image(SHAPE, 4), Options(), run)
    # 4 windows of 8 voxels cover 20, 2 cover 12, 3 cover 16.
    assert [step[1:] for step in told if step[0] == "encoding"] == [(n, 24) for n in range(25)]
    cancelled = Run(progress=lambda stage, done, total: cancelled.cancel.set() if (done, total) == (2, 24) else None)
    with pytest.raises(Cancelled):
        method.segment(ball_image(SHAPE, 4), Options(), cancelled)


def test_windows_bound_what_encoding_needs() -> None:
    image, wide = ball_image((96, 96, 96), 40), {"field": {**TINY["field"], "strides": [1, 1, 1], "widths": [32, 32]}}
    whole, windows = (
        OssNet(random_model(network=wide, inference=inference)).forecast(image, Options(), CPU)
        for inference in ({}, {"window": [32, 32, 32]})
    )
    assert windows < whole / 2
