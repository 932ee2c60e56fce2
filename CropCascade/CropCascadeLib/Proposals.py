"""Boxes that the coarse network proposes, as nodes that a user edits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import slicer

if TYPE_CHECKING:
    from hrseg.geometry import Grid
    from hrseg.prompts import RegionBox

#: More boxes than anyone edits by hand slow the views down.
MOST = 200
#: A proposal that shares more than this of itself, or of a box that is there, is the same object.
_SAME = 0.5
_ATTRIBUTE = "HighResSegmentation.Proposed"


def addProposals(entries: Sequence[dict[str, Any]], volume: Any, kept: Iterable[Any]) -> list[Any]:
    """New ROI nodes for proposed boxes, but where one of the ``kept`` ones is.

    Args:
        entries: of the worker, the largest first: "name", "center", "size", "axes" in the volume's frame.
        volume: they were found in it.
        kept: ROI nodes that stay; those that cannot be compared, as under a nonlinear transform, hide nothing.
    """
    from HighResSegmentationLib.Boxes import roiFromBox
    from HighResSegmentationLib.Volumes import gridOfVolume
    from hrseg.prompts import RegionBox

    grid, there = gridOfVolume(volume), _boxes(kept, volume)
    boxes = [
        RegionBox(*(np.array(entry[key]) for key in ("center", "size", "axes")), entry["name"]) for entry in entries
    ]
    new = [box for box in boxes if not any(_same(box, other, grid) for other in there)]
    nodes = []
    for box in new[:MOST]:
        roi = roiFromBox(box, volume)
        roi.SetAttribute(_ATTRIBUTE, _geometry(roi))
        nodes.append(roi)
    return nodes


def untouched(roi: Any) -> bool:
    """Whether a box was proposed and not edited since."""
    return bool(roi.GetAttribute(_ATTRIBUTE)) and roi.GetAttribute(_ATTRIBUTE) == _geometry(roi)


def _boxes(rois: Iterable[Any], volume: Any) -> list[RegionBox]:
    from HighResSegmentationLib.Boxes import boxFromRoi
    from hrseg.errors import InputError

    boxes = []
    for roi in rois:
        try:
            boxes.append(boxFromRoi(roi, volume))
        except InputError:
            continue
    return boxes


def _same(a: RegionBox, b: RegionBox, grid: Grid) -> bool:
    """Judged by the voxels of the boxes around them."""
    one, other = a.hull(grid), b.hull(grid)
    shared = np.minimum(one.stop, other.stop) - np.maximum(one.start, other.start)
    return bool((shared > 0).all() and shared.prod() > _SAME * min(one.size, other.size))


def _geometry(roi: Any) -> str:
    """Six digits: what a scene file keeps."""
    numbers = [*slicer.util.arrayFromVTKMatrix(roi.GetObjectToNodeMatrix()).ravel(), *roi.GetSize()]
    return " ".join(f"{round(number, 3) + 0.0:.3f}" for number in numbers)
