from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from hrseg.crop_cascade.boxes import (
    JOIN,
    components,
    crop_around,
    divided,
    jittered,
    joined,
    object_boxes,
    paper_crop,
    paper_jittered,
    share,
)
from hrseg.crop_cascade.settings import InferenceSettings
from hrseg.geometry import Box

OURS = InferenceSettings(size=[32, 32])
PAPER = InferenceSettings(size=[32, 32], variant="paper")
FLAT = (1.0, 1.0, 1.0)


def mask(shape: tuple[int, int, int], *blocks: tuple[slice, slice, slice]) -> np.ndarray:
    result = np.zeros(shape, dtype=bool)
    for block in blocks:
        result[block] = True
    return result


def test_components_are_tight_and_the_largest_comes_first() -> None:
    two = mask((1, 20, 30), np.s_[:, 2:4, 3:5], np.s_[:, 10:15, 20:26])
    assert components(two) == [(Box((0, 10, 20), (1, 15, 26)), 30), (Box((0, 2, 3), (1, 4, 5)), 4)]


def test_touching_corners_are_one_component() -> None:
    assert len(components(mask((1, 8, 8), np.s_[:, 2:4, 2:4], np.s_[:, 4:6, 4:6]))) == 1


def test_no_foreground_has_no_components() -> None:
    assert components(np.zeros((4, 4, 4), dtype=bool)) == []


def test_paper_crop_is_squared_padded_and_moved_inside() -> None:
    # 10 x 20 becomes 20 x 20, and 28 x 28 with a padding of 4; at the border it moves inside.
    assert paper_crop(Box((0, 50, 40), (1, 60, 60)), [32, 32], (1, 100, 100)) == Box((0, 41, 36), (1, 69, 64))
    assert paper_crop(Box((0, 90, 40), (1, 100, 60)), [32, 32], (1, 100, 100)) == Box((0, 72, 36), (1, 100, 64))


def test_paper_crop_rejects_a_square_larger_than_the_image() -> None:
    # The sheet's example: a box of 520 x 300 in an image of 640 x 512 with a padding of 16.
    assert paper_crop(Box((0, 100, 50), (1, 400, 570)), [128, 128], (1, 512, 640)) is None


def test_our_crop_is_never_smaller_than_the_input_nor_without_context() -> None:
    assert crop_around(Box((0, 50, 50), (1, 54, 54)), OURS, FLAT) == Box((0, 36, 36), (1, 68, 68))
    # 100 long: 15 % of it on both sides.
    assert crop_around(Box((0, 0, 0), (1, 60, 100)), OURS, FLAT).shape == (1, 130, 130)


def test_our_crop_of_a_large_object_reaches_outside_instead_of_being_dropped() -> None:
    large = mask((1, 64, 64), np.s_[:, 2:62, 2:62])
    assert object_boxes(large, PAPER, FLAT) == []
    (found,) = object_boxes(large, OURS, FLAT)
    assert found.crop.start[1] < 0
    assert found.crop.stop[1] > 64


def test_our_crop_is_a_cube_in_millimetres() -> None:
    settings = InferenceSettings(size=[16, 16, 16])
    crop = crop_around(Box((0, 0, 0), (10, 40, 40)), settings, (4.0, 1.0, 1.0))
    assert crop.shape[1] == crop.shape[2] == 52  # 40 mm and 15 % on both sides
    assert crop.shape[0] == 16  # 52 mm would be 13 slices, the input has 16


def test_stray_components_are_ignored_and_overlapping_boxes_joined() -> None:
    both = mask((1, 64, 64), np.s_[:, 1:3, 1:3], np.s_[:, 20:40, 20:22], np.s_[:, 20:22, 24:40], np.s_[:, 28:36, 28:36])
    # The 2 x 2 speck is too small; the 8 x 8 block shares nothing with the bars' boxes.
    tight = {found.tight for found in object_boxes(both, OURS, FLAT)}
    assert tight == {Box((0, 20, 20), (1, 40, 22)), Box((0, 20, 24), (1, 22, 40)), Box((0, 28, 28), (1, 36, 36))}
    ring = mask((1, 64, 64), np.s_[:, 10:40, 10:13], np.s_[:, 37:40, 10:40], np.s_[:, 20:28, 20:28])
    # The block lies within the box of the corner.
    (found,) = object_boxes(ring, OURS, FLAT)
    assert found.tight == Box((0, 10, 10), (1, 40, 40))


def test_a_large_object_is_covered_by_overlapping_boxes_whose_crops_are_small_enough() -> None:
    cluster = mask((1, 300, 400), np.s_[:, 20:60, 10:390], np.s_[:, 20:280, 10:60])
    settings = InferenceSettings(size=[32, 32], shrink=3, context=0.1)
    (whole,) = components(cluster)
    parts = divided(whole[0], cluster, settings)
    assert all(max(crop_around(part, settings, FLAT).shape[1:]) <= 97 for part in parts)
    covered = np.zeros_like(cluster)
    for part in parts:
        assert cluster[part.slices].any()
        covered[part.slices] = True
    assert covered[cluster].all()
    # The corner of the L where nothing is has no boxes.
    assert not covered[:, 150:, 200:].any()
    assert {entry.tight for entry in object_boxes(cluster, settings, FLAT)} == set(parts)


def test_an_object_that_fits_is_not_divided() -> None:
    square = mask((1, 200, 200), np.s_[:, 20:90, 10:80])
    (box, _) = components(square)[0]
    assert divided(box, square, InferenceSettings(size=[32, 32], shrink=3)) == [box]
    assert divided(box, square, OURS) == [box]
    assert len(divided(box, square, InferenceSettings(size=[32, 32], shrink=1))) > 1


def test_a_large_object_of_a_volume_is_divided_along_every_axis() -> None:
    block = mask((90, 100, 100), np.s_[5:85, 5:95, 6:98])
    (box, _) = components(block)[0]
    parts = divided(box, block, InferenceSettings(size=[32, 32, 32], shrink=2, context=0))
    # 64 voxels less an eighth of the input on either side: 56 for the object.
    assert {part.shape for part in parts} == {(56, 56, 56)}
    assert len(parts) == 8


def test_the_largest_box_comes_first_and_all_are_kept() -> None:
    """Where there are too many is for inference to say. A bar has the largest box, though not the most voxels."""
    blocks = np.s_[:, 2:8, 2:8], np.s_[:, 30:40, 30:40], np.s_[:, 44:60, 2:4], np.s_[:, 58:60, 4:18]
    found = object_boxes(mask((1, 64, 64), *blocks), OURS.model_copy(update={"most": 1}), FLAT)
    tight = [entry.tight for entry in found]
    assert tight == [Box((0, 44, 2), (1, 60, 18)), Box((0, 30, 30), (1, 40, 40)), Box((0, 2, 2), (1, 8, 8))]
    assert all(entry.drawn is None and entry.region is None for entry in found)


@pytest.mark.parametrize("voxels", [15, 16])
def test_components_below_the_least_are_ignored(voxels: int) -> None:
    row = mask((1, 40, 40), np.s_[:, 5, 2 : 2 + voxels])
    assert len(object_boxes(row, OURS, FLAT)) == (voxels == 16)
    # A hundredth of 1,600 is 16; a tenth more is 17.
    assert len(object_boxes(row, OURS.model_copy(update={"smallest": 0.011}), FLAT)) == 0


def test_the_published_rules_ignore_nothing() -> None:
    speck = mask((1, 64, 64), np.s_[:, 30:31, 20:21])
    for variant in ("paper", "paper_plain"):
        (found,) = object_boxes(speck, PAPER.model_copy(update={"variant": variant}), FLAT)
        assert found.tight == Box((0, 30, 20), (1, 31, 21))
        assert found.crop == Box((0, 26, 16), (1, 35, 25))
    assert object_boxes(speck, OURS.model_copy(update={"variant": "plain"}), FLAT) == []


def test_the_share_is_of_the_smaller_box() -> None:
    large, small = Box((0, 0, 0), (1, 10, 10)), Box((0, 8, 0), (1, 12, 5))
    assert share(large, small) == share(small, large) == 0.5
    assert share(large, Box((0, 10, 0), (1, 12, 5))) == 0
    assert share(large, Box((0, 3, 3), (1, 3, 9))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_jitter_moves_each_face_by_at_most_its_share(seed: int) -> None:
    box = Box((0, 10, 20), (1, 30, 60))
    moved = jittered(box, 0.25, np.random.RandomState(seed))
    for face in ("start", "stop"):
        assert (np.abs(np.subtract(getattr(moved, face), getattr(box, face))) <= [0, 5, 10]).all()
    assert min(moved.shape) >= 1
    assert jittered(box, 0.0, np.random.RandomState(seed)) == box


@pytest.mark.parametrize("seed", range(20))
def test_the_published_jitter_moves_start_and_sides_by_up_to_16_pixels(seed: int) -> None:
    box = Box((0, 10, 20), (1, 30, 90))
    moved = paper_jittered(box, np.random.RandomState(seed))
    assert (np.abs(np.subtract(moved.start, box.start)) <= [0, 16, 16]).all()
    assert (np.abs(np.subtract(moved.shape, box.shape)) <= [0, 16, 16]).all()
    assert moved == paper_jittered(box, np.random.RandomState(seed))
    # A side of 3 pixels may not vanish.
    assert min(paper_jittered(Box((0, 0, 0), (1, 3, 3)), np.random.RandomState(seed)).shape) >= 1


def test_joined_until_none_share_more_than_half() -> None:
    rng = np.random.default_rng(0)
    start, sides = rng.integers(0, 90, (60, 3)), rng.integers(9, 40, (60, 3))
    boxes = [Box(tuple(a), tuple(a + n)) for a, n in zip(start.tolist(), sides, strict=True)]
    found = joined([Box(box.start, tuple(map(int, box.stop))) for box in boxes])
    assert 1 < len(found) < len(boxes)
    assert all(share(a, b) <= JOIN for a, b in combinations(found, 2))
    assert all(any(share(box, other) == 1 for other in found) for box in boxes)
    assert joined([]) == []
