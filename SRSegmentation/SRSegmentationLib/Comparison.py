"""How a mask has changed between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer.i18n import tr as _

import slicer

#: Voxels that are compared at once.
_PIECE = 2**20
#: Colours of what came and went.
_GAINED, _LOST, _OTHER = [70, 190, 90], [220, 60, 60], [240, 200, 60]


@dataclass(frozen=True)
class Result:
    """Segments of one run: a segmentation node and the identifiers in the order of the model's labels.

    Where the run found nothing there are none.
    """

    segmentation: Any
    segments: Sequence[str]

    @property
    def isThere(self) -> bool:
        """Whether nothing of it was deleted."""
        if not self.segments:
            return True
        if self.segmentation is None or self.segmentation.GetScene() is None:
            return False
        segmentation = self.segmentation.GetSegmentation()
        return all(segmentation.GetSegment(identifier) is not None for identifier in self.segments)

    def labels(self, volume: Any) -> NDArray[np.uint8]:
        """Label map (K, J, I) on the volume's voxels: 1 for the first segment, and so on."""
        array = np.zeros(slicer.util.arrayFromVolume(volume).shape[:3], np.uint8)
        for value, identifier in enumerate(self.segments, start=1):
            place, mask = self._mask(identifier, volume)
            np.copyto(array[place], value, where=mask)
        return array

    def _mask(self, identifier: str, volume: Any) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
        """A block of the volume's voxels, and where in it the segment is."""
        image = self.segmentation.GetBinaryLabelmapInternalRepresentation(identifier)
        i0, i1, j0, j1, k0, k1 = image.GetExtent()
        shape = slicer.util.arrayFromVolume(volume).shape[:3]
        inside = min(i0, j0, k0) >= 0 and all(last < n for last, n in zip((k1, j1, i1), shape, strict=True))
        if inside and min(i1 - i0, j1 - j0, k1 - k0) >= 0 and self._isOnGridOf(image, volume):
            # Resampled to the volume, as below, each segment of a large volume takes a second.
            label = self.segmentation.GetSegmentation().GetSegment(identifier).GetLabelValue()
            block = slicer.util.arrayFromSegmentInternalBinaryLabelmap(self.segmentation, identifier)
            return (slice(k0, k1 + 1), slice(j0, j1 + 1), slice(i0, i1 + 1)), block == label
        whole = slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, identifier, volume)
        return (slice(None),) * 3, whole != 0

    def _isOnGridOf(self, image: Any, volume: Any) -> bool:
        from HighResSegmentationLib.Volumes import ijkToRas

        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        return self.segmentation.GetTransformNodeID() == volume.GetTransformNodeID() and np.allclose(
            slicer.util.arrayFromVTKMatrix(matrix), ijkToRas(volume), atol=1e-4
        )


@dataclass(frozen=True)
class Change:
    """Of one label.

    Attributes:
        name: of the label.
        before, after: voxels.
        dice: overlap of both masks; 1 where both are empty.
    """

    name: str
    before: int
    after: int
    dice: float


def changes(earlier: Result, now: Result, volume: Any) -> list[Change]:
    """What has changed, label by label; both results are of the same labels, on any grid."""
    known = now if now.segments else earlier
    names = [_segment(known, identifier).GetName() for identifier in known.segments]
    return changesOf(earlier.labels(volume), now.labels(volume), names)


def changesOf(before: NDArray, after: NDArray, names: Sequence[str]) -> list[Change]:
    """The same of two label maps (K, J, I) whose values 1, 2 ... have these names."""
    found, counts = [], _countsOf(before, after, len(names))
    for value, name in enumerate(names, start=1):
        sizes, common = (int(counts[value].sum()), int(counts[:, value].sum())), int(counts[value, value])
        found.append(Change(name, *sizes, dice=2 * common / sum(sizes) if any(sizes) else 1.0))
    return found


def _countsOf(before: NDArray, after: NDArray, most: int) -> NDArray[np.int64]:
    """How many voxels had the value of the row and have that of the column; values above ``most`` may be among them.

    In pieces, as label maps are large.
    """
    values = 1 + max(most, int(before.max()), int(after.max()))
    counts = np.zeros(values**2, np.int64)
    before, after = before.reshape(-1), after.reshape(-1)
    for start in range(0, before.size, _PIECE):
        piece = slice(start, start + _PIECE)
        counts += np.bincount(before[piece].astype(np.intp) * values + after[piece], minlength=values**2)
    return counts.reshape(values, values)


def differenceOf(before: NDArray, after: NDArray) -> NDArray[np.uint8]:
    """1 where only ``after`` has a label, 2 where only ``before`` has one, 3 where they have different ones."""
    result = np.zeros(before.shape, np.uint8)
    result[(before == 0) & (after != 0)] = 1
    result[(before != 0) & (after == 0)] = 2
    result[(before != 0) & (after != 0) & (before != after)] = 3
    return result


def differenceSegmentation(earlier: Result, now: Result, volume: Any) -> Any:
    """A new segmentation node that shows where the results differ; the results stay as they are."""
    from HighResSegmentationLib.Segmentations import segmentationFromResult
    from HighResSegmentationLib.Volumes import ijkToRas

    array = differenceOf(earlier.labels(volume), now.labels(volume))
    kinds = ((1, _("gained"), _GAINED), (2, _("lost"), _LOST), (3, _("other label"), _OTHER))
    labels = [
        {"value": value, "name": name, "color": color, "terminology": None}
        for value, name, color in kinds
        if value < 3 or (array == 3).any()
    ]
    name = _("{name} difference").format(name=volume.GetName())
    return segmentationFromResult({"affine": ijkToRas(volume).tolist(), "labels": labels}, array, volume, name)


def _segment(result: Result, identifier: str) -> Any:
    return result.segmentation.GetSegmentation().GetSegment(identifier)
