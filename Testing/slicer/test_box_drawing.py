"""Boxes drawn and dragged with the mouse, on Slicer's own ROI widget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scene_helpers import KINDS, TURN, add_volume, affine, put_under
from slicer_env import slicer
from views import SliceView

from HighResSegmentationLib.Boxes import boxFromRoi, finishDrawing, newRoi, roiFromBox
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.errors import InputError
from hrseg.geometry import Box
from hrseg.prompts import RegionBox

SHAPE = (20, 60, 80)
SPACING = (1.0, 1.0, 2.0)


def _volume(kind: str, parent: NDArray | None = None) -> Any:
    volume = add_volume(np.zeros(SHAPE, np.int16), affine(kind, SPACING))
    if parent is not None:
        put_under(volume, parent)
    return volume


def _place(roi: Any) -> Any:
    """Place mode for one box, as the button "Draw box" switches it on; the interaction node."""
    logic = slicer.app.applicationLogic()
    selection, interaction = logic.GetSelectionNode(), logic.GetInteractionNode()
    selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsROINode")
    selection.SetActivePlaceNodeID(roi.GetID())
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(interaction.Place)
    return interaction


def _index(volume: Any, ras: tuple[float, float, float]) -> NDArray[np.float64]:
    """(k, j, i) in the volume of a point of the world, by Slicer's own transforms."""
    local = [0.0, 0.0, 0.0]
    volume.TransformPointFromWorld(ras, local)
    return gridOfVolume(volume).to_index(local)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moved", [None, "turned", "scaled"])
def test_two_clicks_make_a_box_along_the_voxels(kind: str, moved: str | None, slice_view: SliceView) -> None:
    parents = {None: None, "turned": TURN, "scaled": np.diag([2.0, 2, 2, 1])}
    volume = _volume(kind, parents[moved])
    slice_view.show(volume, k=10)
    roi = newRoi(volume, "lesion")
    interaction = _place(roi)
    slice_view.click(150, 150)
    slice_view.click(250, 230)
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    finishDrawing(roi, volume)
    corners = np.array([_index(volume, slice_view.ras(*xy)) for xy in ((150, 150), (250, 230))])
    box = boxFromRoi(roi, volume)
    hull = box.hull(gridOfVolume(volume))
    thin = int(np.ptp(corners, axis=0).argmin())
    for axis in {0, 1, 2} - {thin}:
        # The first and the last voxel are those that the clicks lie in.
        assert hull.start[axis] == pytest.approx(corners[:, axis].min(), abs=0.501)
        assert hull.stop[axis] - 1 == pytest.approx(corners[:, axis].max(), abs=0.501)
    # As deep as the smaller side, about the slice in view.
    assert np.sort(box.size)[0] == pytest.approx(np.sort(box.size)[1])
    assert (hull.start[thin] + hull.stop[thin] - 1) / 2 == pytest.approx(corners[0, thin], abs=0.6)


def test_a_box_that_is_only_begun_is_refused(slice_view: SliceView) -> None:
    volume = _volume("plain")
    slice_view.show(volume)
    roi = newRoi(volume, "lesion")
    interaction = _place(roi)
    slice_view.click(150, 150)
    finishDrawing(roi, volume)
    with pytest.raises(InputError, match=r'"lesion" is flat \(0 x 0 x 0 mm\)'):
        boxFromRoi(roi, volume)
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)


def _proposal(volume: Any) -> Any:
    return roiFromBox(RegionBox.of_voxels(Box((6, 20, 30), (14, 40, 50)), gridOfVolume(volume), "proposal"), volume)


@pytest.mark.parametrize("kind", ["plain", "oblique"])
def test_proposed_box_is_dragged_by_its_center(kind: str, slice_view: SliceView) -> None:
    volume = _volume(kind, TURN)
    slice_view.show(volume, k=10)
    roi = _proposal(volume)
    slice_view.picture()
    center = [0.0, 0.0, 0.0]
    roi.GetCenterWorld(center)
    x, y = slice_view.pixel(center)
    before = boxFromRoi(roi, volume)
    slice_view.drag((x, y), (x + 40, y + 20))
    moved = boxFromRoi(roi, volume)
    step = np.subtract(slice_view.ras(x + 40, y + 20), slice_view.ras(x, y))
    np.testing.assert_allclose(TURN[:3, :3] @ (moved.center - before.center), step, atol=0.05)
    np.testing.assert_allclose(moved.size, before.size, atol=1e-4)


def test_proposed_box_is_resized_by_a_face(slice_view: SliceView) -> None:
    volume = _volume("plain")
    slice_view.show(volume, k=10)
    roi = _proposal(volume)
    slice_view.picture()
    before = boxFromRoi(roi, volume)
    x, y = slice_view.pixel(np.add(before.center, (before.size[0] / 2, 0, 0)))
    inward = 3 if slice_view.ras(x + 3, y)[0] < slice_view.ras(x, y)[0] else -3
    slice_view.drag((x + inward, y), (x + inward - 10 * inward, y))
    after = boxFromRoi(roi, volume)
    step = abs(slice_view.ras(x + 30, y)[0] - slice_view.ras(x, y)[0])
    np.testing.assert_allclose(after.size - before.size, [step, 0, 0], atol=0.2)
    np.testing.assert_allclose(after.center - before.center, [step / 2, 0, 0], atol=0.1)
