"""Slice and 3D views without a screen, of Slicer's own displayable managers; they take pictures and mouse events."""

from __future__ import annotations

import ctypes.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from slicer_env import slicer
from vtk.util.numpy_support import vtk_to_numpy

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
_VIEW_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)
#: Where VTK may draw without a screen, best first: library, class of the render window.
_OFF_SCREEN = {"OSMesa": "vtkOSOpenGLRenderWindow", "EGL": "vtkEGLRenderWindow"}


def can_draw() -> bool:
    """Chooses how to draw without a screen. Before the first window is made."""
    kind = next((window for library, window in _OFF_SCREEN.items() if ctypes.util.find_library(library)), None)
    if kind:
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", kind)
    return kind is not None


class _View:
    def __init__(self, factory: Any, managers: tuple[str, ...], size: tuple[int, int]) -> None:
        self.renderer, self.window, self.interactor = (
            vtk.vtkRenderer(),
            vtk.vtkRenderWindow(),
            vtk.vtkRenderWindowInteractor(),
        )
        self.window.SetOffScreenRendering(1)
        self.window.SetShowWindow(False)
        self.window.SetMultiSamples(0)
        self.window.AddRenderer(self.renderer)
        self.window.SetSize(*size)
        self.interactor.SetRenderWindow(self.window)
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for name in managers:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.group.Initialize(factory, self.renderer)

    def picture(self, file: Path | None = None) -> NDArray[np.uint8]:
        """What the view shows, (rows from the top, columns, RGB); written to ``file`` as PNG, too."""
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        if file:
            writer = vtk.vtkPNGWriter()
            writer.SetFileName(str(file))
            writer.SetInputConnection(grab.GetOutputPort())
            writer.Write()
        image = grab.GetOutput()
        columns, rows, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1]

    def mouse(self, event: str, x: int, y: int) -> None:
        """A VTK mouse event; ``x``, ``y`` in pixels from the lower left corner."""
        self.interactor.SetEventInformation(x, y, 0, 0, chr(0), 0, None)
        self.interactor.InvokeEvent(event)

    def click(self, x: int, y: int) -> None:
        """Moves there, presses and releases the left button."""
        for event in ("MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
            self.mouse(event, x, y)

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Presses the left button at ``start`` and releases it at ``end``."""
        self.mouse("MouseMoveEvent", *start)
        self.mouse("LeftButtonPressEvent", *start)
        self.mouse("MouseMoveEvent", *end)
        self.mouse("LeftButtonReleaseEvent", *end)


class SliceView(_View):
    """A slice view of its own: those named as in Slicer's layouts are left to the tests that want them."""

    def __init__(
        self, orientation: str = "Axial", size: tuple[int, int] = (400, 400), name: str = "Test slice"
    ) -> None:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        super().__init__(factory, _SLICE_MANAGERS, size)
        # Without parallel projection and a second layer the handles are drawn in the wrong place.
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.overlay = vtk.vtkRenderer()
        self.overlay.SetLayer(1)
        self.overlay.GetActiveCamera().ParallelProjectionOn()
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(self.overlay)
        application = slicer.app.applicationLogic()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application)
        application.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)
        self.mapper, self.actor = vtk.vtkImageMapper(), vtk.vtkActor2D()
        self.mapper.SetColorWindow(255)
        self.mapper.SetColorLevel(127.5)
        self.actor.SetMapper(self.mapper)
        self.actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(self.actor)
        self.group.SetMRMLDisplayableNode(self.node)
        self.style = slicer.vtkMRMLSliceViewInteractorStyle()
        self.style.SetSliceLogic(self.logic)
        self.style.SetDisplayableManagers(self.group)
        self.style.SetInteractor(self.interactor)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.interactor.Initialize()
        self.logic.ResizeSliceNode(*size)

    def show(self, volume: Any, k: float | None = None) -> None:
        """Fits an axial slice to a volume; with ``k`` the slice at that index, parallel to the volume's own slices."""
        self.logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        self.node.SetOrientation("Axial")
        self.logic.FitSliceToBackground()
        if k is not None:
            middle = np.array(volume.GetImageData().GetDimensions()) / 2 - 0.5
            place = self._world(volume, (middle[0], middle[1], k))
            along = self._world(volume, (middle[0] + 1, middle[1], k)) - place
            normal = self._world(volume, (middle[0], middle[1], k + 1)) - place
            self.node.SetSliceToRASByNTP(*normal, *along, *place, 0)

    @staticmethod
    def _world(volume: Any, ijk: tuple[float, float, float]) -> NDArray[np.float64]:
        """The place of a voxel (i, j, k), by Slicer's own transforms."""
        matrix, world = vtk.vtkMatrix4x4(), [0.0, 0.0, 0.0]
        volume.GetIJKToRASMatrix(matrix)
        volume.TransformPointToWorld(matrix.MultiplyPoint((*ijk, 1.0))[:3], world)
        return np.array(world)

    def pixel(self, ras: Any) -> tuple[int, int]:
        """Where a RAS point is in the picture, (x, y) from the lower left corner."""
        matrix = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), matrix)
        x, y = matrix.MultiplyPoint((*ras, 1.0))[:2]
        return round(x), round(y)

    def ras(self, x: int, y: int) -> tuple[float, float, float]:
        """The RAS point of a pixel."""
        return self.node.GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))[:3]

    def picture(self, file: Path | None = None) -> NDArray[np.uint8]:
        self.logic.UpdatePipeline()
        if self.logic.GetImageDataConnection():
            self.mapper.SetInputConnection(self.logic.GetImageDataConnection())
        return super().picture(file)


class ThreeDView(_View):
    """A 3D view of its own."""

    def __init__(self, size: tuple[int, int] = (400, 400)) -> None:
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        super().__init__(factory, _VIEW_MANAGERS, size)
        application = slicer.app.applicationLogic()
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(application)
        application.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddViewNode("Test view")
        self.node.SetMappedInLayout(1)
        self.group.SetMRMLDisplayableNode(self.node)
        self.style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self.style.SetDisplayableManagers(self.group)
        self.style.SetInteractor(self.interactor)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyle3D())
        self.interactor.Initialize()

        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)

    def fit(self, node: Any) -> None:
        """Moves the camera so that a node fills the view."""
        bounds = [0.0] * 6
        node.GetRASBounds(bounds)
        self.renderer.ResetCamera(bounds)
