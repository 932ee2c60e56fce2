"""The slice views: two images side by side, and jumping to a place. Where there are no views, nothing happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer


def showSideBySide(left: Any, right: Any) -> bool:
    """Shows two volumes in the two slice views of the side-by-side layout, which then move together.

    Returns:
        Whether there are views; without a window there are none.
    """
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is None:
        return False
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    views = [_sliceView(name) for name in ("Red", "Yellow")]
    if None in views:
        return False
    (slice0, composite0), (slice1, composite1) = views
    for composite, volume in ((composite0, left), (composite1, right)):
        composite.SetLinkedControl(False)
        composite.SetBackgroundVolumeID(volume.GetID())
    # The same plane, place and zoom, whatever the second view showed before.
    slice1.GetSliceToRAS().DeepCopy(slice0.GetSliceToRAS())
    slice1.SetFieldOfView(*slice0.GetFieldOfView())
    slice1.SetXYZOrigin(*slice0.GetXYZOrigin())
    slice1.UpdateMatrices()
    for composite in (composite0, composite1):
        composite.SetLinkedControl(True)
    return True


def jumpTo(point: Sequence[float], volumeNode: Any = None) -> None:
    """Centres the slice views on a point in RAS mm: of the volume's own frame, or of the world without a volume."""
    world = list(point)
    if volumeNode is not None:
        volumeNode.TransformPointToWorld(list(point), world)
    kind = slicer.vtkMRMLSliceNode
    kind.JumpAllSlices(slicer.mrmlScene, *world, kind.CenteredJumpSlice)


def _sliceView(name: str) -> tuple[Any, Any] | None:
    """The slice node and the composite node of a slice view, if there is one."""
    found = []
    for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
        nodes = [node for node in slicer.util.getNodesByClass(kind) if node.GetLayoutName() == name]
        found += nodes[:1]
    return (found[0], found[1]) if len(found) == 2 else None
