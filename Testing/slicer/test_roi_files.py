from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from slicer_env import slicer

from hrseg.geometry import Grid
from hrseg.prompts import RegionBox, read_boxes, write_boxes

ANGLE = np.deg2rad(30)
AXES = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])


def test_slicer_reads_our_boxes(scene: Any, tmp_path: Path) -> None:
    write_boxes(tmp_path / "lesion.mrk.json", [RegionBox(np.array([10, 20, 30]), np.array([4, 6, 8]), AXES, "lesion")])
    roi = slicer.util.loadMarkups(str(tmp_path / "lesion.mrk.json"))
    matrix = slicer.util.arrayFromVTKMatrix(roi.GetObjectToNodeMatrix())
    np.testing.assert_allclose(roi.GetSize(), [4, 6, 8])
    np.testing.assert_allclose(matrix[:3, 3], [10, 20, 30], atol=1e-9)
    np.testing.assert_allclose(matrix[:3, :3], AXES, atol=1e-9)


def test_we_read_slicers_boxes(scene: Any, tmp_path: Path) -> None:
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "lesion")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = AXES, (10, 20, 30)
    roi.SetSize(4, 6, 8)
    roi.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    slicer.util.saveNode(roi, str(tmp_path / "lesion.mrk.json"))
    (box,) = read_boxes(tmp_path / "lesion.mrk.json", Grid.from_spacing((4, 4, 4)))
    np.testing.assert_allclose(box.center, [10, 20, 30], atol=1e-9)
    np.testing.assert_allclose(box.axes, AXES, atol=1e-9)
    np.testing.assert_allclose(box.size, [4, 6, 8])
