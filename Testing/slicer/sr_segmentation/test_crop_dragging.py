"""The guidance crop under the mouse, on Slicer's own ROI widget, and as it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scene_helpers import TURN, add_volume, affine, put_under
from slicer_env import slicer
from views import SliceView

from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.geometry import Box
from hrseg.prompts import RegionBox
from SRSegmentationLib import GuidanceCrop

CROP = Box((6, 20, 30), (14, 40, 50))


def _shown(kind: str, view: SliceView) -> tuple[Any, Any]:
    """A grey volume under a transform, and its crop."""
    volume = add_volume(np.full((20, 60, 80), 60, np.int16), affine(kind, (1.0, 1.0, 2.0)))
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 255)
    put_under(volume, TURN)
    box = RegionBox.of_voxels(CROP, gridOfVolume(volume))
    roi = GuidanceCrop.showResult({key: getattr(box, key).tolist() for key in ("center", "size", "axes")}, volume, "m")
    view.show(volume, k=10)
    view.picture()
    return volume, roi


def _center(roi: Any) -> list[float]:
    center = [0.0, 0.0, 0.0]
    roi.GetCenterWorld(center)
    return center


@pytest.mark.parametrize("kind", ["plain", "oblique"])
def test_dragged_by_its_centre(kind: str, slice_view: SliceView) -> None:
    volume, roi = _shown(kind, slice_view)
    ended: list[str] = []
    roi.AddObserver(roi.PointEndInteractionEvent, lambda *_: ended.append("drag"))
    x, y = slice_view.pixel(_center(roi))
    before = GuidanceCrop.centerOf(roi, volume)
    slice_view.drag((x, y), (x + 40, y + 20))
    step = np.subtract(slice_view.ras(x + 40, y + 20), slice_view.ras(x, y))
    moved = np.subtract(GuidanceCrop.centerOf(roi, volume), before)
    np.testing.assert_allclose(TURN[:3, :3] @ moved, step, atol=0.05)
    assert ended == ["drag"]
    assert GuidanceCrop.isMoved(roi)
    np.testing.assert_allclose(roi.GetSize(), [20, 20, 16], atol=1e-4)


def test_its_faces_cannot_be_dragged(slice_view: SliceView) -> None:
    _, roi = _shown("plain", slice_view)
    center = roi.GetCenter()
    x, y = slice_view.pixel(np.add(_center(roi), TURN[:3, :3] @ (10, 0, 0)))
    for inward in (-3, 3):
        slice_view.drag((x + inward, y), (x + 10 * inward, y))
    assert list(roi.GetSize()) == [20, 20, 16]
    assert list(roi.GetCenter()) == list(center)


def test_it_is_seen_and_hidden(slice_view: SliceView, tmp_path: Path) -> None:
    _, roi = _shown("oblique", slice_view)

    def bluish() -> int:
        red, _, blue = slice_view.picture(tmp_path / "crop.png").astype(int).transpose(2, 0, 1)
        return int((blue - red > 60).sum())

    assert bluish() > 100
    GuidanceCrop.show(roi, False)
    assert bluish() == 0
    slicer.mrmlScene.RemoveNode(roi)
