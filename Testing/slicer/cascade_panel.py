"""What the tests of the CropCascade panel do again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import panel_env
from fake_worker import FakeClient, found
from module_panel import answer, picture, qt, status, volume
from slicer_env import slicer

if TYPE_CHECKING:
    from CropCascadeLib.Widget import CropCascadePanel

__all__ = ["CropCascade", "answer", "labels", "picture", "qt", "roi", "status", "tick", "volume"]

CropCascade = panel_env.load_module("CropCascade")


def roi(name: str, size: float = 4) -> Any:
    from HighResSegmentationLib.Boxes import roiFromBox
    from hrseg.prompts import RegionBox

    node = slicer.util.getFirstNodeByClassByName("vtkMRMLScalarVolumeNode", "CT chest")
    return roiFromBox(RegionBox(np.full(3, 8.0), np.array([size, size, size]), np.eye(3), name), node)


def labels(client: FakeClient, value: int = 1) -> Any:
    array = np.zeros((16, 16, 16), np.uint8)
    array[6:10, 6:10, 6:10] = value
    client.arrays["labels"] = array
    return found(array, np.eye(4).tolist())


def tick(panel: CropCascadePanel, row: int, on: bool) -> None:
    panel.ui.boxTable.item(row, 0).setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)
