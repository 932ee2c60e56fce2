"""Inference: resolutions, orientations, the super-resolved image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hrseg.errors import InputError, ModelError
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, method_of, segment_on
from hrseg.runtime import CPU, Run
from hrseg.sasr.method import _PROBE, Sasr
from image_helpers import picture_grid
from model_helpers import tiny_header
from sasr_helpers import FINE, Threshold, header_fields, random_model, steps, threshold_method


def seen_by(method: Sasr) -> list[torch.Size]:
    """Shapes of what the network was given, without the small one that memory is measured with."""
    network = method.model.network
    assert isinstance(network, Threshold)
    small = _PROBE[len(network.seen[0]) - 2]
    return [shape for shape in network.seen if set(shape[2:]) not in ({small}, {2 * small})]


def labels_of(image: Image) -> Any:
    return (image.array[0] > 30).astype(int) + (image.array[0] > 60)


# ---- resolutions ----


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "IRA"])
def test_fine_label_maps_in_any_orientation(orientation: str) -> None:
    image = steps((6, 9, 10))
    image = image.reoriented(image.grid.reorientation(orientation))
    result = threshold_method().segment(image, FINE, Run())
    expected = labels_of(image).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert np.array_equal(result.label_map.array, expected)
    assert result.label_map.grid.matches(image.grid.finer(2))


def test_factors_follow_the_axes_that_they_were_trained_on() -> None:
    model = random_model(network={"widths": [2, 3, 4], "factors": [1, 2, 4]})
    image = steps((6, 9, 10))
    image = image.reoriented(image.grid.reorientation("RSA"))
    result = method_of(model).segment(image, FINE, Run())
    # j of the image runs along k of the model, k along j.
    assert result.label_map.grid.shape == (image.grid.shape[0] * 2, image.grid.shape[1], image.grid.shape[2] * 4)
    assert result.label_map.grid.matches(image.grid.finer((2, 1, 4)))


def test_a_native_network_answers_at_the_image_resolution_by_averaging() -> None:
    model, image = random_model(2), steps((1, 9, 14))
    keep = Options(keep_probability=True)
    method = method_of(model)
    fine = method.segment(image, Options(keep_probability=True, resolution="fine"), Run()).probability
    found = method.segment(image, keep, Run())
    assert fine is not None
    assert found.label_map.grid is image.grid
    mean = fine.reshape(2, 1, 9, 2, 14, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(found.probability, mean, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 9, 14), (5, 6, 7)])
def test_all_of_four_finer_voxels_count(shape: tuple[int, int, int]) -> None:
    dimension, image = (2 if shape[0] == 1 else 3), steps(shape)
    factors = [4, 4] if dimension == 2 else [1, 4, 2]
    method = method_of(random_model(dimension, network={"widths": [2, 3, 4], "factors": factors}))
    fine = method.segment(image, Options(keep_probability=True, resolution="fine"), Run()).probability
    found = method.segment(image, Options(keep_probability=True), Run())
    assert fine is not None
    k, j, i = [1] * (3 - dimension) + factors
    mean = fine.reshape(2, shape[0], k, shape[1], j, shape[2], i).mean(axis=(2, 4, 6))
    np.testing.assert_allclose(found.probability, mean, atol=1e-6)
    sharp = method.segment(image, Options(super_resolved=True), Run()).super_resolved
    assert sharp is not None
    assert sharp.array.shape[1:] == (shape[0] * k, shape[1] * j, shape[2] * i)


@pytest.mark.parametrize("shape", [(1, 16, 24), (1, 15, 21)])
def test_a_network_of_shrunk_images_sees_them_shrunk(shape: tuple[int, int, int]) -> None:
    method = threshold_method(2, inference={"window": [16, 16], "feeds": "shrunk"})
    image = replace(steps(shape), grid=picture_grid(shape))
    result = method.segment(image, Options(), Run())
    assert np.array_equal(result.label_map.array, labels_of(image))
    assert result.label_map.grid is image.grid
    # 8 x 12, the odd sides being filled up.
    assert seen_by(method) == [(1, 1, 8, 12)]
    method.segment(image, FINE, Run())
    assert seen_by(method)[1] == (1, 1, 16, 24)


def test_pictures_are_resized_to_what_the_network_knows() -> None:
    method = threshold_method(2, inference={"window": [16, 16], "size": [8, 12]})
    image = Image(np.repeat([10, 90], 12)[None, None, None].repeat(16, axis=2), Grid.from_spacing((1, 16, 24)))
    result = method.segment(image, Options(), Run())
    assert seen_by(method) == [(1, 1, 8, 12)]
    # Shrinking blurs the edge by a pixel.
    assert result.label_map.array[0, :, :11].max() == 0
    assert result.label_map.array[0, :, 13:].min() == 2
    assert method.segment(image, FINE, Run()).label_map.grid.shape == (1, 32, 48)


def test_compared_on_the_grid_of_a_finer_truth() -> None:
    method, image = threshold_method(2), steps((1, 10, 12))
    result, found = segment_on(method, image, image.grid.finer((1, 2, 2)), Options(), Run())
    assert result.label_map.grid.shape == (1, 20, 24)
    assert np.array_equal(found, labels_of(image).repeat(2, 1).repeat(2, 2))
    # Four times as fine is enlarged from twice.
    _, found = segment_on(method, image, image.grid.finer((1, 4, 4)), Options(), Run())
    assert np.array_equal(found, labels_of(image).repeat(4, 1).repeat(4, 2))
    result, found = segment_on(method, image, image.grid, Options(), Run())
    assert result.label_map.grid is image.grid
    assert found is result.label_map.array


def test_a_network_at_the_image_s_resolution_is_compared_with_finer_truth() -> None:
    plain, image = random_model(2, network={"widths": [2, 3], "factors": [1, 1], "sr": False}), steps((1, 10, 12))
    method = method_of(plain)
    assert not method.makes_finer
    assert method_of(random_model(2)).makes_finer
    result, found = segment_on(method, image, image.grid.finer((1, 2, 2)), Options(), Run())
    assert result.label_map.grid is image.grid
    assert np.array_equal(found, result.label_map.array.repeat(2, 1).repeat(2, 2))


# ---- the super-resolved image ----


@pytest.mark.parametrize("feeds", ["native", "shrunk"])
def test_super_resolved_image_has_the_greys_and_the_place_of_the_image(feeds: str) -> None:
    image = steps((6, 8, 10))
    image = image.reoriented(image.grid.reorientation("IRA"))
    method = threshold_method(inference={"window": [16] * 3, "feeds": feeds})
    result = method.segment(image, Options(super_resolved=True), Run())
    sharp = result.super_resolved
    assert sharp is not None
    assert sharp.array.dtype == np.int16
    expected = image.array if feeds == "shrunk" else image.array.repeat(2, 1).repeat(2, 2).repeat(2, 3)
    assert np.array_equal(sharp.array, expected)
    assert sharp.grid.matches(image.grid if feeds == "shrunk" else image.grid.finer(2))


def test_grey_pictures_become_colour_where_the_model_has_colour() -> None:
    model = random_model(2, channels=["red", "green", "blue"])
    result = method_of(model).segment(steps((1, 8, 8)), Options(super_resolved=True), Run())
    assert result.super_resolved is not None
    assert result.super_resolved.array.shape == (3, 1, 16, 16)


@pytest.mark.parametrize(("side", "told"), [(12, False), (40, True)])
def test_a_super_resolved_picture_with_fewer_pixels_than_the_picture_is_noted(side: int, told: bool) -> None:
    method = threshold_method(2, inference={"window": [16, 16], "size": [8, 8]})
    result = method.segment(steps((1, side, side)), Options(super_resolved=True), Run())
    assert result.super_resolved is not None
    assert result.super_resolved.grid.shape == (1, 16, 16)
    assert any(f"fewer than the image, which has {side} x {side} x 1" in text for text in result.notices) == told


def test_the_sharp_image_is_made_only_on_request() -> None:
    method = method_of(random_model(2))
    network: Any = method.model.network
    calls: list[int] = []
    network.image_head.register_forward_hook(lambda *_: calls.append(1))
    plain = method.segment(steps((1, 8, 8)), Options(), Run())
    assert plain.super_resolved is None
    assert calls == []
    asked = method.segment(steps((1, 8, 8)), Options(super_resolved=True), Run())
    # Twice to measure memory on a few pixels, once for the image.
    assert calls == [1, 1, 1]
    assert np.array_equal(plain.label_map.array, asked.label_map.array)


def test_what_a_model_cannot_do() -> None:
    image = steps((1, 8, 8))
    plain = random_model(2, network={"widths": [2, 3], "factors": [1, 1], "sr": False})
    with pytest.raises(InputError, match='"tiny" makes no masks finer than the image; use the resolution "input"'):
        method_of(plain).segment(image, FINE, Run())
    with pytest.raises(InputError, match='"tiny" was trained without super-resolving images'):
        method_of(plain).forecast(image, Options(super_resolved=True), CPU)
    assert method_of(plain).segment(image, Options(), Run()).label_map.grid is image.grid


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"widths": [2]}},
        {"network": {"widths": [2, 3], "factors": [2]}},
        {"inference": {"window": [15, 16]}},
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match='settings of the model "tiny" do not fit its method'):
        Sasr.build(tiny_header(**header_fields(2, **changes)))
