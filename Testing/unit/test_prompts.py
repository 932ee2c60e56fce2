from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hrseg import prompts
from hrseg.errors import InputError
from hrseg.geometry import Box, Grid
from hrseg.prompts import RegionBox, read_boxes, write_boxes

GRID = Grid.from_spacing((20, 30, 40), (2.0, 1.0, 1.0))
OBLIQUE = Grid((10, 12, 14), np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -3], [0, 0, -2.0, 9], [0, 0, 0, 1.0]]))


@pytest.mark.parametrize("grid", [GRID, OBLIQUE])
@pytest.mark.parametrize("box", [Box((2, 3, 4), (7, 9, 12)), Box((0, 0, 0), (10, 12, 14))])
def test_voxels_to_space_and_back(grid: Grid, box: Box) -> None:
    region = RegionBox.of_voxels(box, grid)
    assert region.hull(grid) == box
    assert region.inside(grid, box).all()
    assert region.voxels(grid) == (box, None)


def test_partly_covered_voxels_belong_to_the_box() -> None:
    # From 4.4 to 6.6 mm: the voxels 4, 5, 6 and 7 of 1 mm reach from 3.5 to 7.5; in 2 mm slices 2 and 3.
    region = RegionBox(np.array([5.5, 5.5, 5.5]), np.array([2.2, 2.2, 2.2]), np.eye(3))
    assert region.hull(GRID) == Box((2, 4, 4), (4, 8, 8))


def test_a_rotated_box_is_smaller_than_its_hull() -> None:
    c = np.sqrt(0.5)
    axes = np.array([[c, -c, 0], [c, c, 0], [0, 0, 1]])
    region = RegionBox(np.array([20.0, 15.0, 20.0]), np.array([10.0, 10.0, 10.0]), axes)
    hull = region.hull(GRID)
    inside = region.inside(GRID, hull)
    assert hull.shape == (5, 15, 15)
    assert 0.5 < inside.mean() < 0.75
    assert inside[2, 7, 7]
    assert not inside[2, 0, 0]


def turned(box: Box, grid: Grid, angles: tuple[float, float]) -> RegionBox:
    """A box around ``box``, turned in its first plane, then in its last one."""
    first, last = (np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles)
    one, two = np.eye(3), np.eye(3)
    one[:2, :2], two[1:, 1:] = first, last
    straight = RegionBox.of_voxels(box, grid)
    return RegionBox(straight.center, straight.size, straight.axes @ one @ two)


@pytest.mark.parametrize("grid", [GRID, OBLIQUE])
@pytest.mark.parametrize("angles", [(0.0, 0.0), (0.5, 0.0), (0.4, -0.3)])
@pytest.mark.parametrize("at_once", [1, 30, 2**16])
def test_each_voxel_is_judged_by_its_place(
    monkeypatch: pytest.MonkeyPatch, grid: Grid, angles: tuple[float, float], at_once: int
) -> None:
    monkeypatch.setattr(prompts, "_AT_ONCE", at_once)
    region, box = turned(Box((2, 3, 4), (7, 9, 12)), grid, angles), Box((-1, 0, 1), (9, 14, 15))
    index = np.moveaxis(np.indices(box.shape), 0, -1) + box.start
    own = (grid.to_world(index) - region.center) @ region.axes
    reach = np.abs(region.axes.T @ grid.affine[:3, :3]).max(axis=1) / 2
    expected = (np.abs(own) <= region.size / 2 + reach - 1e-3).all(axis=-1)
    assert 100 < expected.sum() < 0.6 * expected.size
    np.testing.assert_array_equal(region.inside(grid, box), expected)


@pytest.mark.parametrize("shape", [(16, 512, 512), (1, 2048, 2048)])
def test_voxels_of_a_large_box_need_little_memory(shape: tuple[int, int, int]) -> None:
    grid, box = Grid.from_spacing(shape), Box.whole(shape)
    region = RegionBox.of_voxels(box, grid)
    tracemalloc.start()
    assert region.inside(grid, box).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * grid.size


def test_clipping_is_told_and_outside_is_an_error() -> None:
    box, notice = RegionBox(np.zeros(3), np.full(3, 10.0), np.eye(3), "lesion").voxels(GRID)
    assert box == Box((0, 0, 0), (3, 6, 6))
    assert notice is not None
    assert '"lesion"' in notice
    with pytest.raises(InputError, match=r'"far" lies wholly outside'):
        RegionBox(np.full(3, 500.0), np.full(3, 10.0), np.eye(3), "far").voxels(GRID)


def test_thin_boxes_are_an_error_but_a_single_slice_is_not() -> None:
    thin = RegionBox(np.array([10.0, 10.0, 10.0]), np.array([0.5, 10, 10]), np.eye(3), "thin")
    with pytest.raises(InputError, match=r'"thin" \(0.5 x 10 x 10 mm\) covers less than two voxels'):
        thin.voxels(GRID)
    flat = Grid.from_spacing((1, 30, 40))
    assert RegionBox(np.array([10.0, 10, 0]), np.array([4.0, 4, 50]), np.eye(3)).voxels(flat)[1] is None


@pytest.mark.parametrize(
    ("size", "axes", "text"),
    [
        ([0, 1, 1], np.eye(3), "every side must be positive"),
        ([np.nan, 1, 1], np.eye(3), "must be"),
        ([1, 1, 1], np.ones((3, 3)), "not at right angles"),
    ],
)
def test_impossible_boxes(size: list[float], axes: np.ndarray, text: str) -> None:
    with pytest.raises(InputError, match=text):
        RegionBox(np.zeros(3), np.array(size), axes)


def test_markups_round_trip(tmp_path: Path) -> None:
    boxes = [RegionBox.of_voxels(Box((2, 3, 4), (7, 9, 12)), OBLIQUE, f"box {n}") for n in range(3)]
    write_boxes(tmp_path / "boxes.mrk.json", boxes)
    again = read_boxes(tmp_path / "boxes.mrk.json", GRID)
    assert [box.name for box in again] == ["box 0", "box 1", "box 2"]
    for a, b in zip(boxes, again, strict=True):
        np.testing.assert_allclose(a.center, b.center)
        np.testing.assert_allclose(a.axes, b.axes)
        np.testing.assert_allclose(a.size, b.size)


def test_ras_markups_and_plain_lists(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(
        json.dumps({"markups": [{"type": "ROI", "coordinateSystem": "RAS", "center": [1, 2, 3], "size": [4, 5, 6]}]})
    )
    (box,) = read_boxes(path, GRID)
    assert box.center.tolist() == [1, 2, 3]
    path.write_text(json.dumps([{"start": [4, 3, 2], "stop": [12, 9, 7]}, {"center": [1, 2, 3], "size": [4, 5, 6]}]))
    first, second = read_boxes(path, GRID)
    assert first.hull(GRID) == Box((2, 3, 4), (7, 9, 12))
    assert second.size.tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "no box"),
        ("[1]", "neither a markups file"),
        ('{"markups": [{"type": "Fiducial"}]}', "no box"),
        ('{"markups": [{"type": "ROI", "size": [1, 1, 1]}]}', "neither a markups file"),
        ('[{"start": [4, 4, 4], "stop": [4, 8, 8]}]', "has no voxel"),
        ('{"markups": [{"type": "ROI", "insideOut": true, "size": [1, 1, 1], "center": [0, 0, 0]}]}', "inside out"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_boxes(path, GRID)
    with pytest.raises(InputError, match="Cannot read the boxes"):
        read_boxes(tmp_path / "none.json", GRID)
