"""What users see: slice and 3D views with boxes and results, drawn without a screen.

Colours at places where they must be, not pixels: those differ between drivers. The pictures stay in pytest's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scene_helpers import TURN, add_volume, affine, put_under, shift, show_surface
from views import SliceView, ThreeDView

from HighResSegmentationLib.Boxes import roiFromBox
from HighResSegmentationLib.Segmentations import segmentationFromResult
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.geometry import Box
from hrseg.prompts import RegionBox

SHAPE = (20, 60, 80)
OBJECT = Box((6, 20, 30), (14, 40, 50))
RED, GREEN, YELLOW = (255, 0, 0), (0, 255, 0), (255, 204, 51)


def _scene(kind: str = "oblique") -> tuple[Any, NDArray[np.uint8]]:
    """A grey volume with a bright object, turned and under a transform; the object's label map."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[OBJECT.slices] = 1
    volume = add_volume((60 + 100 * labels).astype(np.int16), affine(kind, (1.0, 1.0, 2.0)))
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 255)
    put_under(volume, shift(20, -10, 5) @ TURN)
    return volume, labels


def _segmented(volume: Any, labels: NDArray, factor: int = 1) -> Any:
    grid = gridOfVolume(volume).finer((1, factor, factor))
    fine = labels.repeat(factor, axis=1).repeat(factor, axis=2)
    label = {"value": 1, "name": "lesion", "color": list(RED), "terminology": None}
    return segmentationFromResult({"affine": grid.affine.tolist(), "labels": [label]}, fine, volume)


def _reddish(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return red - np.maximum(green, blue) > 30


def _yellowish(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return (red - blue > 60) & (green - blue > 40)


def _pixels(view: SliceView, volume: Any, index: NDArray) -> NDArray[np.int64]:
    """Rows and columns of (k, j, i) points of the volume in the picture."""
    places = []
    for point in gridOfVolume(volume).to_world(index):
        world = [0.0, 0.0, 0.0]
        volume.TransformPointToWorld(point, world)
        places.append(view.pixel(world))
    columns, rows = np.array(places).T
    return np.stack([view.window.GetSize()[1] - 1 - rows, columns], axis=1)


def test_result_lies_on_the_object(slice_view: SliceView, tmp_path: Path) -> None:
    for factor in (1, 2):
        volume, labels = _scene()
        node = _segmented(volume, labels, factor)
        slice_view.show(volume, k=10)
        picture = slice_view.picture(tmp_path / f"slice{factor}.png")
        middle, outside = _pixels(slice_view, volume, np.array([[10, 30, 40], [10, 10, 15]]))
        assert _reddish(picture)[tuple(middle)]
        assert not _reddish(picture)[tuple(outside)]
        rows, columns = np.nonzero(_reddish(picture))
        corners = _pixels(slice_view, volume, np.array([[10, j, i] for j in (19.5, 39.5) for i in (29.5, 49.5)]))
        np.testing.assert_allclose([rows.min(), rows.max()], [corners[:, 0].min(), corners[:, 0].max()], atol=3)
        np.testing.assert_allclose([columns.min(), columns.max()], [corners[:, 1].min(), corners[:, 1].max()], atol=3)
        slice_view.logic.GetMRMLScene().RemoveNode(node)


def test_no_result_beside_the_object(slice_view: SliceView, tmp_path: Path) -> None:
    volume, labels = _scene()
    _segmented(volume, labels)
    slice_view.show(volume, k=17)
    assert not _reddish(slice_view.picture(tmp_path / "beside.png")).any()


def test_box_is_drawn_round_the_object(slice_view: SliceView, tmp_path: Path) -> None:
    volume, _ = _scene()
    roiFromBox(RegionBox.of_voxels(OBJECT, gridOfVolume(volume), "lesion"), volume)
    slice_view.show(volume, k=10)
    picture = slice_view.picture(tmp_path / "box.png")
    edges = [[10, 19.5, i] for i in (32, 36, 44, 47)] + [[10, j, 49.5] for j in (22, 26, 34, 37)]
    for row, column in _pixels(slice_view, volume, np.array(edges)):
        assert _yellowish(picture[row - 2 : row + 3, column - 2 : column + 3]).any()


def test_surface_and_box_in_3d(three_d_view: ThreeDView, tmp_path: Path) -> None:
    volume, labels = _scene()
    node = _segmented(volume, labels)
    show_surface(node)
    three_d_view.fit(node)
    picture = three_d_view.picture(tmp_path / "surface.png")
    assert 0.05 < _reddish(picture).mean() < 0.9
    assert _reddish(picture)[200, 200]
    assert not _yellowish(picture).any()
    roi = roiFromBox(RegionBox.of_voxels(OBJECT.expand(4), gridOfVolume(volume), "lesion"), volume)
    three_d_view.fit(roi)
    both = three_d_view.picture(tmp_path / "surface-and-box.png")
    assert _yellowish(both).any()
    assert 0.01 < _reddish(both).mean() < _reddish(picture).mean()
