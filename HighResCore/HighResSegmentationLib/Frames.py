"""Where nodes are: the frames of parent transforms, and the place of a result beside its input."""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk
from slicer.i18n import tr as _

import slicer
from hrseg.errors import InputError
from hrseg.geometry import Floats

#: Attribute of ROI nodes that are guidance crops: where the search found them.
SEARCHED = "HighResSegmentation.Searched"
_SOURCE = "HighResSegmentation.Volume"


def requireLinear(node: Any, what: str) -> None:
    """Raises InputError if a transform above ``node``, which is a ``what`` for the user, is not linear."""
    warp = _warpAbove(node)
    if warp is not None:
        text = _(
            'The {what} "{name}" is under the transform "{transform}", which is not linear, so that boxes in space are '
            "none in the image; harden the transform or take the {what} out of it."
        )
        raise InputError(text.format(what=what, name=node.GetName(), transform=warp.GetName()))


def matrixBetween(sourceNode: Any, targetNode: Any) -> Floats:
    """4x4 from the frame of ``sourceNode``, before its parent transform, to that of ``targetNode``; RAS mm.

    Raises:
        InputError: they are under different transforms, one of which is not linear.
    """
    source, target = sourceNode.GetParentTransformNode(), targetNode.GetParentTransformNode()
    if source is target:
        return np.eye(4)
    warp = _warpAbove(sourceNode) or _warpAbove(targetNode)
    if warp is not None:
        text = _(
            '"{source}" and "{target}" are under different transforms, of which "{transform}" is not linear; put both '
            "under the same one."
        )
        names = {"source": sourceNode.GetName(), "target": targetNode.GetName(), "transform": warp.GetName()}
        raise InputError(text.format(**names))
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(source, target, matrix)
    return np.array(slicer.util.arrayFromVTKMatrix(matrix))


def _warpAbove(node: Any) -> Any | None:
    """The first transform above a node that is not linear."""
    transform = node.GetParentTransformNode()
    while transform is not None and transform.IsLinear():
        transform = transform.GetParentTransformNode()
    return transform


def placeBeside(node: Any, volumeNode: Any) -> None:
    """Puts ``node`` under the transform of the volume, and beside it in the subject hierarchy."""
    node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
    fileBeside(node, volumeNode)


def setSource(node: Any, volumeNode: Any) -> None:
    """Has ``node`` remember the volume that it was made from; the scene's files keep that."""
    node.SetNodeReferenceID(_SOURCE, volumeNode.GetID())


def sourceOf(node: Any) -> Any:
    """The volume that a node was made from; None where that is not known or gone."""
    return node.GetNodeReference(_SOURCE)


def fileBeside(node: Any, volumeNode: Any) -> None:
    """Puts ``node``, which need have no place in space, beside the volume in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volumeNode.GetScene())
    own, volumeItem = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(volumeNode)
    if own and volumeItem:
        hierarchy.SetItemParent(own, hierarchy.GetItemParent(volumeItem))
