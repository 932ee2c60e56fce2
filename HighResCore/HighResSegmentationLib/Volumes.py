"""Volume nodes as images of the core.

"RAS" here is the volume's own frame, before its parent transform: results are placed under the same transform.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import vtk
from slicer.i18n import tr as _

import slicer
from hrseg.errors import InputError
from hrseg.geometry import Floats, Grid
from hrseg.image import Image


def imageFromVolume(volumeNode: Any) -> Image:
    """The volume as an image; the array (C, K, J, I) is a view of the node's voxels, an alpha channel left out.

    Raises:
        InputError: as :func:`checkVolume`.
    """
    checkVolume(volumeNode)
    array = slicer.util.arrayFromVolume(volumeNode)
    channels = np.moveaxis(array, -1, 0)[:3] if array.ndim == 4 else array[None]
    return Image(channels, gridOfVolume(volumeNode), volumeNode.GetName())


def gridOfVolume(volumeNode: Any) -> Grid:
    """Shape and geometry of a volume.

    Raises:
        InputError: no volume, an empty one, or a geometry that is not invertible.
    """
    _checkFilled(volumeNode)
    i, j, k = volumeNode.GetImageData().GetDimensions()
    return Grid((k, j, i), ijkToRas(volumeNode))


def ijkToRas(volumeNode: Any) -> Floats:
    """4x4 from (i, j, k, 1) to RAS mm of the volume's own frame."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return np.array(slicer.util.arrayFromVTKMatrix(matrix))


def volumeKey(volumeNode: Any) -> str:
    """Changes whenever the voxels or the geometry of the volume do; safe in file names.

    Raises:
        InputError: no volume, or an empty one.
    """
    _checkFilled(volumeNode)
    geometry = hashlib.sha256(ijkToRas(volumeNode).tobytes()).hexdigest()[:16]
    return f"{volumeNode.GetID()}-{volumeNode.GetImageData().GetMTime()}-{geometry}"


def checkVolume(volumeNode: Any) -> None:
    """Refuses what cannot be segmented.

    Raises:
        InputError: no volume, an empty one, a label map, a frame of a sequence (4D), neither grey nor colour.
    """
    _checkFilled(volumeNode)
    name, components = volumeNode.GetName(), volumeNode.GetImageData().GetNumberOfScalarComponents()
    colored = components == 3 or (components == 4 and _isRgba(volumeNode))
    if components != 1 and not colored:
        text = _(
            'The volume "{name}" has {count} values per voxel; gray (1) and color (3) images can be segmented. '
            "Extract one of them as a volume."
        )
        raise InputError(text.format(name=name, count=components))
    frames = _numberOfFrames(volumeNode)
    if frames > 1:
        text = _(
            'The volume "{name}" is one of {count} frames of a sequence; clone it (Data module) and choose the clone.'
        )
        raise InputError(text.format(name=name, count=frames))


def _checkFilled(volumeNode: Any) -> None:
    if volumeNode is None:
        raise InputError(_("No volume is chosen; choose the image to segment."))
    name = volumeNode.GetName()
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode") or volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        text = _('"{name}" is a {kind}, not an image; choose a volume with an image.')
        raise InputError(text.format(name=name, kind=volumeNode.GetNodeTagName()))
    if volumeNode.GetScene() is None:
        raise InputError(_('The volume "{name}" is not in the scene any more; choose another one.').format(name=name))
    image = volumeNode.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        text = _('The volume "{name}" is empty; load an image into it or choose another one.')
        raise InputError(text.format(name=name))


def _isRgba(volumeNode: Any) -> bool:
    """Four values per voxel are a colour with opacity in pictures, four frames or directions elsewhere."""
    return (
        volumeNode.GetClassName() == "vtkMRMLVectorVolumeNode" and volumeNode.GetImageData().GetScalarTypeMax() <= 255
    )


def _numberOfFrames(volumeNode: Any) -> int:
    """Of the sequence that the volume shows a frame of; 0 if there is none."""
    sequences = (
        browser.GetSequenceNode(volumeNode)
        for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", volumeNode.GetScene())
    )
    return max((sequence.GetNumberOfDataNodes() for sequence in sequences if sequence is not None), default=0)
