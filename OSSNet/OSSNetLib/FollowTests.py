"""The part of the self-test that follows a slice view, and what all of it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from HighResSegmentationLib.RunSelfTests import RunSelfTests
from OSSNetLib.Phantom import RADIUS, phantomVolume, radii

if TYPE_CHECKING:
    from OSSNetLib.Logic import OSSNetLogic, Settings


class FollowTests(RunSelfTests):
    """See :class:`OSSNetLib.Tests.OSSNetTests`."""

    def test_followASlice(self) -> None:
        """What a slice view shows is looked at at its own pixels; the newest view wins, and nothing is left."""
        import numpy as np

        from OSSNetLib.SliceFollower import SliceFollower

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume("rotated")
        logic.sample(volume, settings)
        view, composite = self._sliceView()
        nodes, asked = slicer.mrmlScene.GetNumberOfNodes(), []
        follower = SliceFollower(logic.jobs, lambda: asked.append(1), asked.append)
        follower.start(view, volume, settings)
        for offset in range(5):
            view.SetSliceOffset(offset)
        view.SetFieldOfView(12, 9, 1)
        self._centre(view, volume)
        logic.jobs.wait()
        # The first view was under way; of all that came meanwhile only the last was asked for.
        self.assertEqual(asked, [1, 1])
        overlay = slicer.mrmlScene.GetNodeByID(composite.GetLabelVolumeID())
        array = slicer.util.arrayFromVolume(overlay)
        self.assertEqual(array.shape, (1, 48, 64))
        pixels = np.concatenate(
            [np.moveaxis(np.indices(array.shape), 0, -1)[..., ::-1], np.ones((*array.shape, 1))], -1
        )
        world = pixels @ slicer.util.arrayFromVTKMatrix(view.GetXYToRAS()).T
        inverse = np.linalg.inv(slicer.util.arrayFromTransformMatrix(volume.GetParentTransformNode()))
        truth = radii((world @ inverse.T)[..., :3], volume) < RADIUS
        self.assertGreater(2 * (truth & (array > 0)).sum() / (truth.sum() + (array > 0).sum()), 0.99)
        self.assertFalse(truth.all())
        follower.stop()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
        self.assertFalse(composite.GetLabelVolumeID())
        for node in (view, composite):
            slicer.mrmlScene.RemoveNode(node)

    # ---- helpers ----

    def makeLogic(self) -> OSSNetLogic:
        """See the base class."""
        from OSSNetLib.Logic import OSSNetLogic

        return OSSNetLogic()

    def _settings(self) -> Settings:
        """A model that finds what is bright. Skips where no Python can run it."""
        from OSSNetLib.BrightModel import writeBrightModel
        from OSSNetLib.Logic import Settings

        self.requireInference()
        return Settings(str(writeBrightModel(self.folder / "bright.safetensors")), "cpu")

    def _sliceView(self) -> tuple[Any, Any]:
        """A slice view of 64 x 48 pixels that no layout shows."""
        nodes = []
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = slicer.mrmlScene.CreateNodeByClass(kind)
            node.UnRegister(None)
            node.SetLayoutName("OSSNetTest")
            node.SetName(f"OSSNetTest {kind}")
            nodes.append(slicer.mrmlScene.AddNode(node))
        view, composite = nodes
        view.SetOrientation("Axial")
        view.SetDimensions(64, 48, 1)
        return view, composite

    def _centre(self, view: Any, volume: Any) -> None:
        """Moves the view to the border of the ball."""
        from HighResSegmentationLib.Volumes import gridOfVolume

        world = [0.0, 0.0, 0.0]
        volume.TransformPointToWorld(gridOfVolume(volume).to_world((13.5, 15.5, 17.5 + RADIUS)), world)
        view.JumpSliceByCentering(*world)
