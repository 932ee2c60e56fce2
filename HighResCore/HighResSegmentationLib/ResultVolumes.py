"""Images that come out of the worker, as volume nodes that lie where they belong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import slicer
from HighResSegmentationLib.Frames import placeBeside, setSource
from HighResSegmentationLib.Volumes import checkVolume


def volumeFromResult(
    array: NDArray,
    affine: Sequence[Sequence[float]],
    volumeNode: Any,
    name: str,
    node: Any = None,
    sameGreys: bool = False,
) -> Any:
    """A volume node with an image of the worker, under the transform of the volume that it was made from.

    Args:
        array: (C, K, J, I), one channel or three.
        affine: 4x4, (i, j, k, 1) to RAS mm of the volume's frame.
        volumeNode: what the image was made from.
        name: of a new node; made unique.
        node: takes the image instead of a new node; one of the wrong kind is replaced.
        sameGreys: the image has the volume's grey values: it gets their type, and is shown with the same window.

    Raises:
        InputError: no volume.
    """
    checkVolume(volumeNode)
    scene, kind = volumeNode.GetScene(), "vtkMRMLVectorVolumeNode" if len(array) == 3 else "vtkMRMLScalarVolumeNode"
    if node is not None and node.GetClassName() != kind:
        scene.RemoveNode(node)
        node = None
    if node is None:
        node = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))
    if sameGreys:
        array = _ofType(array, slicer.util.arrayFromVolume(volumeNode).dtype)
    with slicer.util.NodeModify(node):
        placeBeside(node, volumeNode)
        setSource(node, volumeNode)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(affine, dtype=float)))
        slicer.util.updateVolumeFromArray(node, np.moveaxis(array, 0, -1) if len(array) == 3 else array[0])
    node.CreateDefaultDisplayNodes()
    if sameGreys:
        _copyWindow(volumeNode.GetDisplayNode(), node.GetDisplayNode())
    return node


def _ofType(array: NDArray, kind: np.dtype) -> NDArray:
    """Rounded and clipped where the type has whole numbers, so that a colour image stays one of bytes."""
    if kind.kind not in "iu" or array.dtype == kind:
        return array
    limits = np.iinfo(kind)
    return np.clip(np.rint(array), limits.min, limits.max).astype(kind)


def _copyWindow(source: Any, target: Any) -> None:
    if source is None or not hasattr(source, "GetWindow"):
        return
    target.SetAutoWindowLevel(False)
    target.SetWindowLevel(source.GetWindow(), source.GetLevel())
