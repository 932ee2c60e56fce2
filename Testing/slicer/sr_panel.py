"""What the tests of the SRSegmentation panel do again and again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import panel_env
from fake_worker import FakeClient, box, found
from module_panel import answer
from slicer_env import slicer

from HighResSegmentationLib.Models import ModelEntry
from SRSegmentationLib.TinyModels import writePFSeg, writeSasr

SRSegmentation = panel_env.load_module("SRSegmentation")
GUIDANCE = {**box("guidance", (9.5, 7.5, 7.5), (6.0, 4.0, 4.0))}


def models(folder: Path) -> list[ModelEntry]:
    """One model of each method, as the list shows them."""
    facts: dict[str, Any] = {"dimension": 3, "channels": ("CT",), "licence": "Apache-2.0"}
    return [
        ModelEntry(
            writePFSeg(folder / "pfseg.safetensors"),
            "tiny-pfseg-3d",
            "Head and neck in CT (PFSeg)",
            "pfseg",
            labels=("spinal cord", "mandible"),
            accuracy="Dice 0.84 on 20 held-out images",
            **facts,
        ),
        ModelEntry(
            writeSasr(folder / "sasr.safetensors"),
            "tiny-sasr-3d",
            "Lesions (SASR-Net)",
            "sasr",
            labels=("lesion",),
            accuracy="Dice 0.81 on 20 held-out images",
            **facts,
        ),
    ]


def choose(panel: Any, name: str) -> None:
    """Chooses a model as a user does."""
    number = [entry.name for entry in panel.models.entries].index(name)
    panel.models.comboBox.setCurrentIndex(number)
    panel.models.comboBox.activated.emit(number)


def cube(start: int = 6, stop: int = 10) -> Any:
    array = np.zeros((16, 16, 16), np.uint8)
    array[start:stop, start:stop, start:stop] = 1
    return array


def result(client: FakeClient, array: Any = None, method: str = "pfseg", **changes: Any) -> dict[str, Any]:
    """What the worker answers: a label map on the image's voxels, and what a method adds."""
    array = cube() if array is None else array
    client.arrays["labels"] = array
    answer = found(array, np.eye(4).tolist(), [])
    answer["model"] |= {"name": f"tiny-{method}-3d", "method": method}
    answer |= {"guidance": GUIDANCE if method == "pfseg" else None, "lesions": None, "super_resolved": None}
    return {**answer, **changes}


def sharp(client: FakeClient) -> dict[str, Any]:
    """A super-resolved image of twice the resolution."""
    client.arrays["sharp"] = np.arange(32**3, dtype=np.float32).reshape(1, 32, 32, 32) / 300
    affine = np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] = -0.25
    return {"file": "sharp", "shape": [1, 32, 32, 32], "dtype": "float32", "affine": affine.tolist()}


def lesion(number: int, size: float = 64.0, center: tuple[float, ...] = (7.0, 8.0, 9.0)) -> dict[str, Any]:
    return {
        "name": f"lesion {number}",
        "value": 1,
        "voxels": int(size),
        "size": size,
        "diameter": 6.2,
        "probability": 0.934,
        "center": list(center),
    }


def run(panel: Any, client: FakeClient, answered: dict[str, Any]) -> None:
    """Apply, up to its end."""
    panel.run.applyButton.click()
    client.end(answered)
    answer(panel)


def drag(panel: Any, center: tuple[float, float, float]) -> None:
    """Moves the crop, as a drag in a view ends."""
    crop = panel.parameters.crop
    crop.SetCenter(*center)
    crop.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)


def cells(table: Any) -> list[list[str]]:
    return [[table.item(row, column).text() for column in range(table.columnCount)] for row in range(table.rowCount)]
