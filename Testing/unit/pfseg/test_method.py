"""Inference: resolutions, orientations, the super-resolved image, the guidance crop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hrseg.errors import InputError, ModelError
from hrseg.methods import Options
from hrseg.model_file import Preprocessing
from hrseg.pfseg.network import Guidance
from hrseg.resample import resample
from hrseg.runtime import CPU, Run
from pfseg_helpers import WINDOW, method, probability, volume

# ---- at the image's resolution ----


def test_as_the_network_says() -> None:
    made, image = method(inference={"guidance": "center"}), volume((16, 16, 24))
    result = made.segment(image, Options(keep_probability=True), Run())
    grid = image.grid
    grey = (image.array / 100).astype(np.float32)
    low = torch.from_numpy(resample(grey, grid, grid.resized((8, 8, 12))))[None]
    crop = torch.from_numpy(grey[:, 6:10, 6:10, 9:15])[None]
    guidance = Guidance(crop, torch.full((1, 3), 0.5), torch.ones(1))
    expected = made.model.network(low, guidance)[0].softmax(1)[0]
    torch.testing.assert_close(probability(result), expected[1:], atol=1e-4, rtol=0)
    assert (result.label_map.array == expected.argmax(0).numpy()).all()
    assert result.label_map.grid.matches(grid)
    assert result.guidance is not None
    assert result.guidance.center.tolist() == [11.5, 7.5, 7.5]
    assert result.guidance.size.tolist() == [6, 4, 4]


@pytest.mark.parametrize("orientation", ["LPS", "SAR", "IRA"])
def test_volume_in_any_orientation(orientation: str) -> None:
    image, options = volume(), Options(keep_probability=True, resolution="fine", super_resolved=True)
    expected = method().segment(image, options, Run())
    change = image.grid.reorientation(orientation)
    found = method().segment(image.reoriented(change), options, Run())
    assert found.label_map.grid.matches(expected.label_map.grid.reoriented(change))
    turned = torch.from_numpy(change.apply(probability(expected).numpy()).copy())
    torch.testing.assert_close(probability(found), turned, atol=1e-5, rtol=0)
    assert found.super_resolved is not None
    assert expected.super_resolved is not None
    sharp = expected.super_resolved.reoriented(change)
    assert found.super_resolved.grid.matches(sharp.grid)
    np.testing.assert_allclose(found.super_resolved.array, sharp.array, atol=1e-3)


def test_any_shape_and_only_the_subject() -> None:
    image = volume((16, 25, 19))
    image.array[:, :, 14:] = 0
    preprocessing = Preprocessing(subject_above=5, subject_margin=1, intensity=WINDOW)
    result = method(preprocessing=preprocessing).segment(image, Options(keep_probability=True), Run())
    assert result.label_map.array.shape == image.grid.shape
    assert not probability(result)[:, :, 15:].any()
    assert probability(result)[:, :, :14].all()


def test_2d_image() -> None:
    made = method(dimension=2, preprocessing=Preprocessing(intensity=WINDOW))
    image = volume((1, 21, 34))
    result = made.segment(image, Options(keep_probability=True, super_resolved=True), Run())
    assert result.label_map.array.shape == (1, 21, 34)
    assert probability(result).min() > 0
    assert result.super_resolved is not None
    assert result.super_resolved.array.shape == (1, 1, 21, 34)
    assert made.segment(image, Options(resolution="fine"), Run()).label_map.array.shape == (1, 42, 68)


def test_thick_slices() -> None:
    made = method(network={"strides": [[1, 2, 2], [2, 2, 2]], "factor": [1, 2, 2]})
    image = volume((5, 20, 22), (4.0, 1.0, 1.0))
    fine = made.segment(image, Options(resolution="fine"), Run()).label_map
    assert fine.grid.spacing == (4, 0.5, 0.5)
    assert made.segment(image, Options(), Run()).label_map.grid.matches(image.grid)


# ---- finer ----


def test_a_finer_result_covers_the_same_field_of_view() -> None:
    image = volume((8, 12, 16), (3.0, 1.0, 2.0))
    result = method().segment(image, Options(resolution="fine"), Run())
    assert result.label_map.grid.matches(image.grid.finer(2))
    assert result.guidance is None
    assert not result.notices


def test_a_finer_result_is_the_networks_own() -> None:
    made, image = method(), volume((8, 8, 12))
    result = made.segment(image, Options(resolution="fine", keep_probability=True), Run())
    expected = made.model.network(torch.from_numpy(image.array / 100)[None].float())[0].softmax(1)[0]
    torch.testing.assert_close(probability(result), expected[1:], atol=1e-4, rtol=0)


def test_the_low_resolution_of_a_finer_result_is_the_models() -> None:
    made = method(preprocessing=Preprocessing(spacing=(1, 1, 1), intensity=WINDOW))
    coarse = made.segment(volume((8, 8, 8), 2.0), Options(resolution="fine"), Run())
    assert coarse.label_map.grid.spacing == (1, 1, 1)
    assert not coarse.notices
    (notice,) = made.segment(volume((16, 16, 16), 1.0), Options(resolution="fine"), Run()).notices
    assert notice.startswith("The image has voxels of 1 x 1 x 1 mm, finer than the 2 x 2 x 2 mm")


def test_an_image_of_the_low_resolution_is_not_blurred_for_a_mask_on_its_voxels() -> None:
    """The probabilities are those of the finer result, sampled on the image's voxels."""
    made = method(preprocessing=Preprocessing(spacing=(1, 1, 1), intensity=WINDOW), inference={"guidance": "none"})
    image, options = volume((8, 8, 12), 2.0), Options(keep_probability=True)
    found = made.segment(image, options, Run())
    assert found.label_map.grid.matches(image.grid)
    fine = made.segment(image, Options(keep_probability=True, resolution="fine"), Run())
    means = probability(fine).reshape(2, 8, 2, 8, 2, 12, 2).mean(dim=(2, 4, 6))
    torch.testing.assert_close(probability(found), means, atol=1e-4, rtol=0)
    made = method(preprocessing=Preprocessing(spacing=(1, 1, 1), intensity=WINDOW))
    guided = made.segment(image, Options(guidance_center=(11, 7, 7)), Run())
    assert guided.guidance is not None
    assert guided.guidance.size.tolist() == [6, 4, 4]


# ---- the super-resolved image ----


def test_the_super_resolved_image_has_grey_values_and_place_of_the_image() -> None:
    made, image = method(), volume((8, 8, 12), 2.0)
    decoder = made.model.network.super_resolution
    decoder.head.weight.zero_()  # type: ignore[union-attr, operator]
    decoder.head.bias.fill_(0.25)  # type: ignore[union-attr, operator]
    result = made.segment(image, Options(super_resolved=True, resolution="fine"), Run())
    assert result.super_resolved is not None
    assert result.super_resolved.grid.matches(image.grid.finer(2))
    np.testing.assert_allclose(result.super_resolved.array, 25, atol=1e-4)
    assert made.segment(image, Options(), Run()).super_resolved is None


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [(np.uint8, 0.256, 26), (np.uint8, -1, 0), (np.uint8, 9, 255), (np.float32, 0.5, 50), (np.float64, 2.25, 225)],
)
def test_it_has_the_type_of_the_image(kind: type, value: float, expected: int) -> None:
    made, image = method(), volume((8, 8, 12), 2.0)
    decoder = made.model.network.super_resolution
    decoder.head.weight.zero_()  # type: ignore[union-attr, operator]
    decoder.head.bias.fill_(value)  # type: ignore[union-attr, operator]
    sharp = made.segment(replace(image, array=image.array.astype(kind)), Options(super_resolved=True), Run())
    assert sharp.super_resolved is not None
    assert sharp.super_resolved.array.dtype == (np.uint8 if kind == np.uint8 else np.float32)
    assert np.unique(sharp.super_resolved.array).tolist() == [expected]


def test_a_model_without_the_decoder() -> None:
    made = method(network={"super_resolution": False})
    for call in (made.segment, made.forecast):
        with pytest.raises(InputError, match='The model "tiny" cannot rebuild the image'):
            call(volume(), Options(super_resolved=True), Run() if call == made.segment else CPU)  # type: ignore[operator]


# ---- the guidance crop ----


def test_the_crop_lies_where_it_is_put() -> None:
    made, image = method(), volume((24, 24, 24))
    # 24 voxels: the crop has 6. From 15 to 21 its centre is at 17.5.
    result = made.segment(image, Options(guidance_center=(17.4, 9.8, 6.6)), Run())
    assert result.guidance is not None
    assert result.guidance.center.tolist() == [17.5, 9.5, 6.5]
    assert not result.notices
    border = made.segment(image, Options(guidance_center=(23, 10, 6)), Run())
    assert border.guidance is not None
    assert border.guidance.center[0] == 20.5
    assert border.notices == ["The guidance crop was moved to stay inside the image."]


def test_the_place_of_the_crop_matters() -> None:
    made, image = method(), volume((24, 24, 24))
    image.array[:, :12] //= 4
    here, there, none = (
        probability(made.segment(image, Options(keep_probability=True, **options), Run()))
        for options in ({"guidance_center": (6, 6, 4)}, {"guidance_center": (6, 6, 19)}, {})
    )
    assert (here - there).abs().max() > 1e-4
    assert (none - here).abs().max() > 1e-4
    without = method(inference={"guidance": "none"}).segment(image, Options(keep_probability=True), Run())
    assert without.guidance is None
    assert (probability(without) - none).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("options", "network", "message"),
    [
        (
            {"guidance_center": (60, 1, 1)},
            {},
            r'The guidance center \[60, 1, 1\] \(R, A, S in mm\) lies outside the image "volume"',
        ),
        ({"guidance_center": (1, 1, 1), "resolution": "fine"}, {}, "A result finer than the image has no guidance"),
        ({"guidance_center": (1, 1, 1)}, {"guidance_widths": []}, 'The model "tiny" uses no guidance crop'),
    ],
)
def test_crops_that_cannot_be(options: dict[str, Any], network: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        method(network).segment(volume(), Options(**options), Run())


def test_what_is_remembered_is_not_made_again() -> None:
    made, image = method(), volume((24, 24, 24))
    first = Run()
    made.segment(image, Options(remember=True), first)
    again = Run()
    moved = made.segment(image, Options(remember=True, guidance_center=(6, 6, 6)), again)
    assert "preparing" in first.seconds
    assert list(again.seconds) == ["guidance", "inference"]
    fresh = method().segment(image, Options(guidance_center=(6, 6, 6)), Run())
    assert np.array_equal(moved.label_map.array, fresh.label_map.array)
    for other in (Options(resolution="fine"), Options()):
        run = Run()
        made.segment(image, other, run)
        assert "preparing" in run.seconds


# ---- settings, memory, cancelling ----


@pytest.mark.parametrize(
    ("network", "message"),
    [({"factor": [1, 1, 1]}, "factor"), ({"guidance_widths": [4]}, "guidance_widths"), ({"depth": 3}, "depth")],
)
def test_settings_that_do_not_fit(network: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        method(network)
