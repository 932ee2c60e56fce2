"""Boxes that users draw and edit (ROI nodes), and the boxes of the core.

A core box is in the volume's own frame, before its parent transform; a ROI may be under a transform of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib.Frames import matrixBetween, placeBeside, requireLinear
from HighResSegmentationLib.Volumes import gridOfVolume
from hrseg.errors import InputError
from hrseg.geometry import Floats
from hrseg.prompts import RegionBox

_COLOR = (1.0, 0.8, 0.2)


def boxFromRoi(roiNode: Any, volumeNode: Any) -> RegionBox:
    """The box of a ROI, in the volume's frame.

    Where the transforms between both leave no right angles (shear, unequal scaling of a turned box) it is the box
    around the sheared one.

    Raises:
        InputError: no ROI, not drawn, flat, inside out; a nonlinear transform above it or above the volume; no volume.
    """
    gridOfVolume(volumeNode)
    _checkRoi(roiNode)
    requireLinear(roiNode, _("box"))
    requireLinear(volumeNode, _("volume"))
    matrix = matrixBetween(roiNode, volumeNode) @ slicer.util.arrayFromVTKMatrix(roiNode.GetObjectToNodeMatrix())
    sides = matrix[:3, :3] * roiNode.GetSize()
    axes = _rightAngled(sides)
    return RegionBox(matrix[:3, 3], np.abs(axes.T @ sides).sum(axis=1), axes, roiNode.GetName())


def roiFromBox(box: RegionBox, volumeNode: Any, name: str | None = None) -> Any:
    """A new ROI node for a box in the volume's frame, under the volume's transform and beside it in the hierarchy.

    Raises:
        InputError: no volume, or a nonlinear transform above it.
    """
    roiNode = _addRoi(volumeNode, name or box.name, box.axes)
    _setBox(roiNode, box)
    return roiNode


def placeRoi(roiNode: Any, box: RegionBox, volumeNode: Any) -> None:
    """Makes a ROI node the box in the volume's frame, under the volume's transform and beside it in the hierarchy.

    Raises:
        InputError: no volume, or a nonlinear transform above it.
    """
    gridOfVolume(volumeNode)
    requireLinear(volumeNode, _("volume"))
    with slicer.util.NodeModify(roiNode):
        placeBeside(roiNode, volumeNode)
        _setAxes(roiNode, box.axes)
        _setBox(roiNode, box)


def newRoi(volumeNode: Any, name: str) -> Any:
    """A ROI node to be drawn by two clicks, with the volume's axes; see :func:`finishDrawing`.

    Raises:
        InputError: no volume, or a nonlinear transform above it.
    """
    return _addRoi(volumeNode, name, gridOfVolume(volumeNode).affine[:3, :3])


def finishDrawing(roiNode: Any, volumeNode: Any) -> None:
    """Gives a box its depth after the second click.

    Both corners lie in one slice. Slicer itself makes such a box as deep as its smaller side, but only where the depth
    is exactly zero: on a turned volume rounding leaves the box flat.
    """
    size = np.array(roiNode.GetSize())
    flat = size < 0.01 * min(volumeNode.GetSpacing())
    if flat.any() and not flat.all():
        size[flat] = size[~flat].min()
        roiNode.SetSize(*size)


def showHandles(roiNode: Any, on: bool) -> None:
    """Whether the box can be moved and resized in the views."""
    roiNode.GetDisplayNode().SetHandlesInteractive(on)


def sizeText(roiNode: Any) -> str:
    """The side lengths as users see them in space, such as "31 x 20 x 12 mm"."""
    size = [0.0, 0.0, 0.0]
    roiNode.GetSizeWorld(size)
    return " x ".join(f"{s:.0f}" if s >= 100 else f"{s:.2g}" for s in size) + " mm"


def _checkRoi(roiNode: Any) -> None:
    if roiNode is None:
        raise InputError(_("No box is chosen; draw or choose one."))
    name, size = roiNode.GetName(), roiNode.GetSize()
    if roiNode.GetNumberOfDefinedControlPoints() == 0:
        text = _('The box "{name}" is not drawn yet; click two of its corners in a slice view, or delete it.')
        raise InputError(text.format(name=name))
    if roiNode.GetInsideOut():
        text = _('The box "{name}" is inside out, which cannot be segmented; switch that off.')
        raise InputError(text.format(name=name))
    if min(size) <= 0:
        text = _('The box "{name}" is flat ({size}); make it larger or delete it.')
        raise InputError(text.format(name=name, size=sizeText(roiNode)))


def _addRoi(volumeNode: Any, name: str, axes: Floats) -> Any:
    gridOfVolume(volumeNode)
    requireLinear(volumeNode, _("volume"))
    roiNode = volumeNode.GetScene().AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
    placeBeside(roiNode, volumeNode)
    _setAxes(roiNode, axes)
    roiNode.CreateDefaultDisplayNodes()
    _setDisplay(roiNode.GetDisplayNode())
    return roiNode


def _setAxes(roiNode: Any, axes: Floats) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = _rightHanded(_rightAngled(axes))
    roiNode.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))


def _setBox(roiNode: Any, box: RegionBox) -> None:
    roiNode.SetSize(*box.size)
    roiNode.SetCenter(*box.center)


def _setDisplay(display: Any) -> None:
    display.SetColor(*_COLOR)
    display.SetSelectedColor(*_COLOR)
    display.SetFillOpacity(0.1)
    display.SetPropertiesLabelVisibility(False)
    display.SetPointLabelsVisibility(False)
    display.SetHandlesInteractive(True)


def _rightAngled(axes: Floats) -> Floats:
    """Unit axes at right angles nearest to the columns of a 3x3 matrix."""
    u, _sizes, v = np.linalg.svd(axes / np.linalg.norm(axes, axis=0))
    return u @ v


def _rightHanded(axes: Floats) -> Floats:
    """The same box: one axis turned round where they are left-handed, as Slicer's handles want it."""
    return axes * (1, 1, np.sign(np.linalg.det(axes)))
