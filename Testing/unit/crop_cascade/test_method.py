"""The whole cascade: what it finds, with which variants and settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from Testing.cascade_helpers import (
    FIVE,
    SIDE,
    WIDE,
    Above,
    FailsOnBright,
    Refuses,
    cascade,
    drawn,
    found,
    header,
    image,
    scene,
    segment,
)
from torch.nn import functional as F

from hrseg.crop_cascade.coarse import coarse_pass
from hrseg.crop_cascade.method import CropCascade
from hrseg.crop_cascade.network import CascadeNetwork
from hrseg.crop_cascade.settings import InferenceSettings
from hrseg.errors import InputError, ModelError
from hrseg.geometry import Box
from hrseg.image import Image
from hrseg.methods import Options
from hrseg.model_file import Intensity, Model, Preprocessing
from hrseg.runtime import CPU, Run
from image_helpers import picture_grid


@pytest.mark.parametrize("block", [np.s_[:, 30:40, 40:52], np.s_[:, :10, :9], np.s_[:, 54:, 90:], np.s_[:, 20:24, 88:]])
def test_an_identity_network_gives_the_object_back(block: tuple[slice, ...]) -> None:
    """Inside the image and at its borders; the image is not square."""
    array = scene(WIDE, block)
    result = segment(cascade(), array)
    assert np.array_equal(found(result), array // 100)
    assert result.notices == []
    (box,) = result.boxes
    assert box.name == "object 1"
    inside = box.inside(image(array).grid, Box.whole(WIDE))
    assert inside[array > 0].all()


def test_a_very_long_image() -> None:
    array = scene((1, 24, 400), np.s_[:, 6:14, 20:34], np.s_[:, 4:12, 370:380])
    assert np.array_equal(found(segment(cascade(), array)), array // 100)


@pytest.mark.parametrize("block", [np.s_[8:14, 10:16, 20:27], np.s_[:5, 26:, :6]])
@pytest.mark.parametrize("orientation", ["RAS", "LSP"])
def test_a_volume(block: tuple[slice, ...], orientation: str) -> None:
    volume = image(scene((24, 32, 40), block))
    volume = volume.reoriented(volume.grid.reorientation(orientation))
    result = cascade(dimension=3).segment(volume, Options(), Run())
    assert np.array_equal(found(result), volume.array[0] // 100)
    assert result.label_map.grid.matches(volume.grid)


def test_a_volume_of_thick_slices() -> None:
    array = scene((12, 40, 40), np.s_[5:7, 16:24, 14:22])
    volume = image(array, (4.0, 1.0, 1.0))
    fine = Above(0.5)
    result = cascade(fine=fine, dimension=3, size=[16, 32, 32]).segment(volume, Options(), Run())
    assert np.array_equal(found(result), array // 100)
    assert result.boxes[0].inside(volume.grid, Box.whole(array.shape))[array > 0].all()
    # More slices than there are: reflected ones.
    assert fine.seen == [(1, 1, 16, 32, 32)]


def test_a_long_object_in_thick_slices() -> None:
    """Crops of 36 x 9 voxels are cubes of 36 mm; resizing them rounds the object's edges."""
    array = scene((16, 64, 64), np.s_[6:10, 20:44, 24:40])
    volume = image(array, (4.0, 1.0, 1.0))
    mask = cascade(dimension=3).segment(volume, Options(), Run()).label_map.array
    overlap = (mask & (array > 0)).sum()
    assert 2 * overlap / (mask.sum() + (array > 0).sum()) > 0.85
    assert np.flatnonzero(mask.any(axis=(1, 2))).tolist() == [6, 7, 8, 9]


def test_a_color_image_and_a_gray_one_for_a_color_model() -> None:
    array = scene(WIDE, np.s_[:, 30:40, 40:52])
    for channels in (np.stack([array] * 3), array):
        coarse = Above(0.1)
        assert np.array_equal(found(segment(cascade(coarse, channels=3), channels)), array // 100)
        assert coarse.seen == [(1, 3, SIDE, SIDE)]


def test_several_labels() -> None:
    array = scene(WIDE, np.s_[:, 30:40, 40:52], value=50)
    array[:, 33:37, 44:48] = 100
    fine = Above(0.25, 0.75)
    result = segment(cascade(Above(0.1, 0.9), fine, labels=2), array, keep_probability=True)
    assert np.array_equal(found(result), array // 50)
    assert result.probability is not None
    assert result.probability.shape == (2, *WIDE)
    np.testing.assert_allclose(result.probability[1], array == 100, atol=1e-3)


def test_an_object_larger_than_the_image_minus_padding_is_not_dropped_but_by_the_published_rules() -> None:
    array = scene((1, 64, 64), np.s_[:, 2:62, 2:62])
    mask = found(segment(cascade(), array))
    overlap = (mask & (array > 0)).sum()
    assert 2 * overlap / (mask.sum() + (array > 0).sum()) > 0.96
    assert not found(segment(cascade(variant="paper"), array)).any()


def test_nothing_found_is_an_empty_result_that_says_so() -> None:
    array = scene(WIDE, np.s_[:, 30:40, 40:52], value=5)
    result = segment(cascade(fine=Refuses()), array, keep_probability=True, instances=True)
    assert not found(result).any()
    assert result.boxes == []
    assert result.notices == ["The coarse network found no object."]
    assert result.probability is not None
    assert not result.probability.any()
    assert result.instances is not None
    assert not result.instances.any()


def test_overlapping_objects_are_seen_in_one_crop() -> None:
    """An angle, and a block that lies within its box."""
    array = scene((1, SIDE, SIDE), np.s_[:, 4:20, 4:6], np.s_[:, 18:20, 4:20], np.s_[:, 8:14, 10:16])
    fine = Above(0.5)
    result = segment(cascade(fine=fine), array)
    assert fine.seen == [(1, 1, SIDE, SIDE)]
    (box,) = result.boxes
    # With a margin of a coarse voxel, which is one of the image here.
    assert box.hull(image(array).grid) == Box((0, 3, 3), (1, 21, 21))
    assert np.array_equal(found(result), array // 100)


def test_stray_components_are_ignored() -> None:
    array = scene((1, 128, 128), np.s_[:, 20:40, 20:40], np.s_[:, 110:113, 110:113])
    result = segment(cascade(smallest=0.01), array)
    assert len(result.boxes) == 1
    assert found(result)[:, :64, :64].any()
    assert not found(result)[:, 64:].any()
    assert len(segment(cascade(smallest=0), array).boxes) == 2


def test_too_many_objects_keep_the_coarse_result() -> None:
    fine = Above(0.5)
    result = segment(cascade(fine=fine, most=1), FIVE)
    assert result.notices == ["There are 5 objects; the smallest 4 have the coarse result."]
    assert len(result.boxes) == 5
    assert [shape[0] for shape in fine.seen] == [1]
    truth, labels = FIVE // 100, found(result)
    largest = np.s_[:, 130:, 130:]
    assert np.array_equal(labels[largest], truth[largest])
    # Coarse pixels are 5 x 5, and the coarse network takes those that are bright in part.
    rest = labels[:, :120] > 0
    assert rest[truth[:, :120] > 0].all()
    assert rest.sum() > truth[:, :120].sum()


def test_crops_that_fail_keep_the_coarse_result() -> None:
    array = scene(WIDE, np.s_[:, 10:20, 10:20])
    array[:, 40:50, 80:90] = 80
    result = segment(cascade(fine=FailsOnBright(0.5)), array)
    assert len(result.notices) == 1
    assert result.notices[0].startswith("The fine network failed in 1 crop")
    labels = found(result)
    assert np.array_equal(labels[:, 32:], array[:, 32:] // 80)
    assert (labels[:, :32] > 0)[array[:, :32] > 0].all()
    assert np.isin(labels, (0, 1)).all()


def test_a_coarse_grid_of_work() -> None:
    """At a spacing of 2 mm the objects are half as large; the result is on the image's own grid."""
    array = scene(WIDE, np.s_[:, 20:36, 40:60])
    preprocessing = Preprocessing(spacing=(2, 2, 2), intensity=Intensity(kind="window", low=0, high=100))
    model = Model(
        header().model_copy(update={"preprocessing": preprocessing}), CascadeNetwork(Above(0.1), Above(0.5)).eval()
    )
    result = CropCascade(model).segment(image(array), Options(), Run())
    assert np.array_equal(found(result), array // 100)
    assert result.boxes[0].inside(image(array).grid, Box.whole(WIDE))[array > 0].all()


# ---- variants ----


def test_plain_is_the_coarse_network_alone() -> None:
    array = scene(WIDE, np.s_[:, 10:20, 10:20], np.s_[:, 41:49, 81:89])
    coarse = Above(0.5)
    result = segment(cascade(coarse, Refuses(), variant="plain"), array)
    prepared = array[None].astype(np.float32) / 100
    settings = InferenceSettings(size=[SIDE, SIDE], variant="plain")
    assert np.array_equal(found(result), coarse_pass(coarse, prepared, settings, CPU).mask(0.5))
    assert found(result)[0, 15, 15] == 1
    assert result.boxes == []


def test_plain_has_no_use_for_boxes() -> None:
    array = scene(WIDE, np.s_[:, 30:40, 40:52])
    with pytest.raises(InputError, match=r'The variant "plain" of the model .* leave the boxes out'):
        segment(cascade(variant="plain"), array, drawn(array, (0, 20, 30), (1, 45, 60)))


def test_plain_knows_several_labels() -> None:
    array = scene((1, SIDE, SIDE), np.s_[:, 4:20, 4:20], value=50)
    array[:, 8:12, 8:12] = 100
    result = segment(cascade(Above(0.25, 0.75), Refuses(), labels=2, variant="plain"), array)
    assert np.array_equal(found(result), array // 50)


def test_published_plain_takes_and_repeats_single_pixels() -> None:
    array = scene((1, 64, 64), np.s_[:, 11:20, 10:21])
    picture = Image(array[None], picture_grid(array.shape))
    result = cascade(Above(0.5), Refuses(), variant="paper_plain").segment(picture, Options(), Run())
    expected = (array[0, ::2, ::2] // 100).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(found(result)[0], expected)


def test_the_published_cascade() -> None:
    """Box 10 to 20, padded by 32 // 8 to 6 ... 24, resized to 32 and back by nearest neighbours, joined by OR."""
    array = scene((1, 64, 64), np.s_[:, 10:20, 10:20])
    array[:, 13:15, 16] = 0
    picture = Image(array[None], picture_grid(array.shape))
    result = cascade(Above(0.5), Above(0.5), variant="paper").segment(picture, Options(), Run())
    crop = torch.from_numpy(array[:, 6:24, 6:24].astype(np.float32))[None]
    expected = np.zeros_like(array)
    expected[:, 6:24, 6:24] = F.interpolate(F.interpolate(crop, (32, 32)), (18, 18))[0].numpy() / 100
    assert np.array_equal(found(result), expected)
    assert expected.any()


# ---- settings ----


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"size": [33, 32]}, r"the size \[33, 32\] must have 2 sides that are multiples of 2"),
        ({"size": [32, 32, 32]}, r"the size \[32, 32, 32\] must have 2 sides"),
        ({"labels": 2, "variant": "paper"}, 'the variant "paper" knows one label, not 2'),
        ({"variant": "best"}, "variant: Input should be 'cascade'"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ModelError, match=f'The settings of the model "stand-in" do not fit its method: {problem}'):
        CropCascade.build(header(**settings))
