"""The guidance crop of PFSeg as a ROI node: of a fixed size, where the search put it or where the user dragged it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib.Frames import SEARCHED

_COLOR = (0.25, 0.75, 1.0)
_MODEL = "HighResSegmentation.Model"
#: In mm; scene files keep fewer digits than nodes.
_SAME = 0.01


def showResult(
    crop: Mapping[str, Any], volume: Any, model: str, node: Any = None, given: bool = False, moved: bool = False
) -> Any:
    """The ROI node of the crop that a run used.

    Args:
        crop: of the worker: "center", "size", "axes" in the volume's frame.
        volume: what was segmented.
        model: name of the model.
        node: of an earlier run, which is taken again.
        given: the user had chosen the place; the one that the search had found stays known.
        moved: the user has dragged ``node`` since the run began; it stays there.

    Raises:
        InputError: no volume, or a nonlinear transform above it.
    """
    from HighResSegmentationLib.Boxes import placeRoi, roiFromBox
    from HighResSegmentationLib.Frames import setSource

    box = _box(crop)
    if node is None:
        node = roiFromBox(box, volume, slicer.mrmlScene.GenerateUniqueName(_("Guidance crop")))
        _fixSize(node.GetDisplayNode())
    elif not moved:
        placeRoi(node, box, volume)
    if not given or not belongsTo(node, volume, model):
        node.SetAttribute(SEARCHED, json.dumps({key: crop[key] for key in ("center", "size", "axes")}))
    node.SetAttribute(_MODEL, model)
    setSource(node, volume)
    return node


def belongsTo(node: Any, volume: Any, model: str) -> bool:
    """Whether a crop was found by this model in this volume; of others neither place nor size would mean anything."""
    from HighResSegmentationLib.Frames import sourceOf

    return node is not None and volume is not None and node.GetAttribute(_MODEL) == model and sourceOf(node) is volume


def isMoved(node: Any) -> bool:
    """Whether it lies elsewhere than where the search put it."""
    return liesElsewhere(node, _searched(node).center)


def liesElsewhere(node: Any, center: Sequence[float]) -> bool:
    """Whether its centre, below its transform, is another one."""
    return _distance(node.GetCenter(), center) > _SAME


def reset(node: Any) -> None:
    """Puts it back to where the search put it."""
    node.SetCenter(*_searched(node).center)


def keepSize(node: Any) -> None:
    """Undoes what the user may have done to its size; only the centre matters."""
    box = _searched(node)
    if _distance(node.GetSize(), box.size) > _SAME:
        center = list(node.GetCenter())
        node.SetSize(*box.size)
        node.SetCenter(*center)


def centerOf(node: Any, volume: Any) -> tuple[float, float, float]:
    """Its centre in RAS mm of the volume's frame.

    Raises:
        InputError: a nonlinear transform above the crop or the volume.
    """
    from HighResSegmentationLib.Boxes import boxFromRoi

    r, a, s = boxFromRoi(node, volume).center.tolist()
    return r, a, s


def show(node: Any, on: bool) -> None:
    """Shows or hides it."""
    if node is not None and bool(node.GetDisplayVisibility()) != on:
        node.SetDisplayVisibility(on)


def _fixSize(display: Any) -> None:
    """It can be dragged, but neither turned nor resized."""
    display.SetColor(*_COLOR)
    display.SetSelectedColor(*_COLOR)
    display.SetFillOpacity(0.05)
    display.SetTranslationHandleVisibility(True)
    display.SetRotationHandleVisibility(False)
    display.SetScaleHandleVisibility(False)


def _searched(node: Any) -> Any:
    return _box(json.loads(node.GetAttribute(SEARCHED)))


def _box(crop: Mapping[str, Any]) -> Any:
    import numpy as np

    from hrseg.prompts import RegionBox

    return RegionBox(*(np.array(crop[key], dtype=float) for key in ("center", "size", "axes")), "guidance crop")


def _distance(one: Any, other: Any) -> float:
    return max(float(abs(a - b)) for a, b in zip(one, other, strict=True))
