"""What the tests of the OSSNet panel do again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import panel_env
from fake_worker import FakeClient, found
from module_panel import answer
from slicer_env import slicer

if TYPE_CHECKING:
    from OSSNetLib.Widget import OSSNetPanel

OSSNet = panel_env.load_module("OSSNet")


def volume(name: str = "T1 brain") -> Any:
    array = np.zeros((16, 16, 16), np.int16)
    array[6:10, 6:10, 6:10] = 100
    return slicer.util.addVolumeFromArray(array, np.diag([0.5, 0.5, 2.0, 1.0]), name)


def labels(client: FakeClient, value: int = 1) -> Any:
    """The answer to a request for a label map."""
    array = np.zeros((16, 16, 16), np.uint8)
    array[6:10, 6:10, 6:10] = value
    client.arrays["labels"] = array
    return found(array, np.diag([0.5, 0.5, 2.0, 1.0]).tolist())


def apply(panel: OSSNetPanel, client: FakeClient) -> Any:
    """A run from Apply to its result."""
    panel.run.applyButton.click()
    client.end(labels(client))
    answer(panel)
    return panel.parameters.result


def add_view(name: str = "TestView2", size: tuple[int, int] = (60, 40)) -> tuple[Any, Any]:
    """Slice node and composite node of a view that nothing draws."""
    nodes = []
    for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
        node = slicer.mrmlScene.CreateNodeByClass(kind)
        node.UnRegister(None)
        node.SetLayoutName(name)
        node.SetName(name)
        nodes.append(slicer.mrmlScene.AddNode(node))
    view, composite = nodes
    view.SetOrientation("Axial")
    view.SetDimensions(*size, 1)
    view.SetFieldOfView(30, 20, 1)
    return view, composite
