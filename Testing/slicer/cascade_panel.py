"""What the tests of the CropCascade panel do again and again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import panel_env
from fake_worker import FakeClient, found
from slicer_env import slicer

if TYPE_CHECKING:
    from CropCascadeLib.Widget import CropCascadePanel

CropCascade, qt = panel_env.load_module("CropCascade"), panel_env.qt
#: Pictures of the panel are kept here, for people to look at.
PICTURES = os.environ.get("HRSEG_TEST_PICTURES")


def volume(name: str = "CT chest") -> Any:
    array = np.zeros((16, 16, 16), np.int16)
    array[6:10, 6:10, 6:10] = 100
    return slicer.util.addVolumeFromArray(array, np.eye(4), name)


def roi(name: str, size: float = 4) -> Any:
    from HighResSegmentationLib.Boxes import roiFromBox
    from hrseg.prompts import RegionBox

    node = slicer.util.getFirstNodeByClassByName("vtkMRMLScalarVolumeNode", "CT chest")
    return roiFromBox(RegionBox(np.full(3, 8.0), np.array([size, size, size]), np.eye(3), name), node)


def answer(panel: Any) -> None:
    """Lets the worker's answers arrive."""
    panel = getattr(panel, "panel", panel)
    for _ in range(3):
        panel.run.tick()
    panel_env.spin()


def picture(panel: CropCascadePanel, name: str) -> None:
    panel_env.spin(5)
    if PICTURES:
        window = panel.ui.CropCascade.window()
        window.resize(440, max(760, window.sizeHint().height()))
        panel_env.spin(5)
        window.grab().save(str(Path(PICTURES) / f"{name}.png"))


def status(panel: CropCascadePanel) -> str:
    return panel.run.statusLabel.text


def labels(client: FakeClient, value: int = 1) -> Any:
    array = np.zeros((16, 16, 16), np.uint8)
    array[6:10, 6:10, 6:10] = value
    client.arrays["labels"] = array
    return found(array, np.eye(4).tolist())


def tick(panel: CropCascadePanel, row: int, on: bool) -> None:
    panel.ui.boxTable.item(row, 0).setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)
