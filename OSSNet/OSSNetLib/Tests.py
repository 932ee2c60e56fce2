"""The self-test of the module: its logic and its worker on a small phantom of which everything is known.

The same class runs inside Slicer and, on Slicer's scene alone, in pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from HighResSegmentationLib.PhantomGeometries import GEOMETRIES
from OSSNetLib.FollowTests import FollowTests
from OSSNetLib.Phantom import RADIUS, dice, phantomRegion, phantomVolume, radii, segmentDice

if TYPE_CHECKING:
    from OSSNetLib.Logic import OSSNetLogic, Settings

#: Around the lower half of the ball.
_LOWER = (4, 6, 8), (13, 26, 28)


class OSSNetTests(FollowTests):
    """To be mixed with Slicer's base class of self-tests."""

    # ---- without inference ----

    def test_choicesSurviveTheScene(self) -> None:
        """Saved, cleared and loaded, the scene has the choices, the region and the volume."""
        logic, volume = self.makeLogic(), phantomVolume()
        parameters = logic.getParameterNode()
        parameters.inputVolume, parameters.model, parameters.device = volume, "hippocampus-mr-oss-net", "cpu"
        parameters.region = phantomRegion(volume, *_LOWER)
        parameters.factor, parameters.equalSpacing = 3.0, True
        parameters.ownLevel, parameters.level, parameters.label = True, 0.3, "anterior"
        self.saveAndLoad()
        loaded = logic.getParameterNode()
        self.assertEqual(loaded.inputVolume.GetName(), "phantom")
        self.assertEqual(loaded.region.GetName(), "region")
        self.assertEqual((loaded.model, loaded.device), ("hippocampus-mr-oss-net", "cpu"))
        self.assertEqual((loaded.factor, loaded.equalSpacing), (3.0, True))
        self.assertEqual((loaded.ownLevel, loaded.level, loaded.label), (True, 0.3, "anterior"))

    def test_regionsFollowTheVolume(self) -> None:
        """A region has the voxels that it covers, twice as fine, whatever the geometry."""
        from HighResSegmentationLib.Volumes import gridOfVolume
        from hrseg.geometry import Box
        from OSSNetLib.Sampling import Sampling, gridOf

        for kind in GEOMETRIES:
            with self.subTest(kind):
                volume = phantomVolume(kind)
                grid = gridOf(volume, Sampling(2, region=phantomRegion(volume, *_LOWER)))
                self.assertTrue(grid.matches(gridOfVolume(volume).crop(Box(*_LOWER)).finer(2)))

    def test_refusals(self) -> None:
        """What cannot be segmented is refused in words, and nothing is added to the scene."""
        from hrseg.errors import HrsegError
        from OSSNetLib.Logic import Settings
        from OSSNetLib.Sampling import Sampling

        logic, volume = self.makeLogic(), phantomVolume()
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        far = phantomRegion(volume, (100, 0, 0), (120, 9, 9))
        for node, sampling, words in (
            (None, Sampling(), "No volume is chosen"),
            (empty, Sampling(), '"empty" is empty'),
            (volume, Sampling(region=far), '"region" lies wholly outside'),
            (volume, Sampling(0.0), "factor 0.0 must be positive"),
        ):
            with self.assertRaisesRegex(HrsegError, words):
                logic.sample(node, Settings("none.safetensors"), sampling)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    # ---- with inference ----

    def test_geometries(self) -> None:
        """Under a translated, rotated and oblique volume the result lies where the object is."""
        from OSSNetLib.Logic import Output
        from OSSNetLib.Sampling import Sampling

        logic, settings = self.makeLogic(), self._settings()
        for kind in GEOMETRIES:
            with self.subTest(kind):
                volume = phantomVolume(kind)
                segmentation = logic.sample(volume, settings).node
                self.assertEqual(segmentation.GetTransformNodeID(), volume.GetTransformNodeID())
                self.assertGreater(segmentDice(segmentation, volume), 0.99)
                region = Sampling(3, region=phantomRegion(volume, *_LOWER))
                labels = logic.sample(volume, settings, region, Output.labelMap).node
                self.assertEqual(labels.GetTransformNodeID(), volume.GetTransformNodeID())
                self.assertEqual(slicer.util.arrayFromVolume(labels).shape, (27, 60, 60))
                self.assertGreater(dice(labels, volume), 0.99)

    def test_finerThanTheInput(self) -> None:
        """Four times as fine, the boundary is better than that of the input's voxels; coarser, it is still right."""
        from OSSNetLib.Logic import Output
        from OSSNetLib.Sampling import Sampling

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume("oblique")
        found = {
            factor: dice(logic.sample(volume, settings, Sampling(factor), Output.labelMap).node, volume)
            for factor in (0.5, 1, 4)
        }
        self.assertGreater(found[0.5], 0.96)
        self.assertGreater(found[1], 0.98)
        self.assertGreater(found[4], 0.995)

    def test_theNetworkRunsOnce(self) -> None:
        """After the first look the image is not encoded again, until its voxels change."""
        from OSSNetLib.Sampling import Sampling

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume()
        self.assertIn("encoding", self._stages(logic, volume, settings, Sampling()))
        self.assertNotIn("encoding", self._stages(logic, volume, settings, Sampling(2, level=0.3)))
        slicer.util.updateVolumeFromArray(volume, slicer.util.arrayFromVolume(volume) // 2)
        self.assertIn("encoding", self._stages(logic, volume, settings, Sampling(2)))

    def test_probability(self) -> None:
        """A volume from 0 to 1, a half at the boundary."""
        import numpy as np

        from OSSNetLib.Logic import Output
        from OSSNetLib.Sampling import Sampling

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume("rotated")
        node = logic.sample(volume, settings, Sampling(), Output.probability).node
        self.assertEqual(node.GetName(), "phantom probability of bright object")
        self.assertEqual(node.GetTransformNodeID(), volume.GetTransformNodeID())
        grey = slicer.util.arrayFromVolume(volume) / 100
        expected = 1 / (1 + np.exp(40 * (0.5 - grey)))
        np.testing.assert_allclose(slicer.util.arrayFromVolume(node), expected, atol=0.01)

    def test_surface(self) -> None:
        """The corners lie on the boundary, between the voxels, and the normals point outwards."""
        import numpy as np

        from OSSNetLib.Logic import Output
        from OSSNetLib.Sampling import Sampling

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume("rotated")
        for level, radius in ((None, RADIUS), (0.9, RADIUS - 8 * np.log(9) / 40)):
            node = logic.sample(volume, settings, Sampling(level=level), Output.surface).node
            self.assertEqual(node.GetTransformNodeID(), volume.GetTransformNodeID())
            points = slicer.util.arrayFromModelPoints(node)
            self.assertLess(np.abs(radii(points, volume) - radius).max(), 0.15)
            normals = slicer.util.arrayFromModelPointData(node, "Normals")
            self.assertGreater(radii(points + 0.1 * normals, volume).mean(), radius + 0.05)
            self.assertEqual(node.GetName()[: len("phantom bright object")], "phantom bright object")

    def test_level(self) -> None:
        """A lower level finds more; none finds what is more probable than not."""
        from OSSNetLib.Logic import Output
        from OSSNetLib.Sampling import Sampling

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume()
        counts = [
            int(
                (
                    slicer.util.arrayFromVolume(
                        logic.sample(volume, settings, Sampling(2, level=level), Output.labelMap).node
                    )
                    > 0
                ).sum()
            )
            for level in (0.1, None, 0.9)
        ]
        self.assertGreater(counts[0], counts[1])
        self.assertGreater(counts[1], counts[2])

    def test_resultSurvivesTheScene(self) -> None:
        """Saved, cleared and loaded, the results are the same and say where they come from."""
        from OSSNetLib.Logic import Output
        from OSSNetLib.Sampling import Sampling

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume("rotated")
        made = [
            logic.sample(volume, settings, Sampling(3), output).node.GetName()
            for output in (Output.segmentation, Output.labelMap)
        ]
        self.saveAndLoad()
        segmentation, labels = (slicer.util.getNode(name) for name in made)
        volume = slicer.util.getNode("phantom")
        self.assertGreater(segmentDice(segmentation, volume), 0.99)
        self.assertGreater(dice(labels, volume), 0.99)
        for node in (segmentation, labels):
            self.assertEqual(node.GetAttribute("HighResSegmentation.Method"), "oss_net")
        self.assertEqual(labels.GetDisplayNode().GetColorNode().GetColorName(1), "bright object")

    def test_addedToASegmentation(self) -> None:
        """The segment that a user had before stays as it was."""
        from OSSNetLib.Sampling import Sampling

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume()
        first = logic.sample(volume, settings).node
        again = logic.sample(volume, settings, Sampling(3), segmentation=first)
        self.assertIs(again.node, first)
        self.assertEqual(first.GetSegmentation().GetNumberOfSegments(), 2)
        for number in range(2):
            self.assertGreater(segmentDice(first, volume, number), 0.98)

    def test_nothingThere(self) -> None:
        """An image without objects is explained, and no empty node is left."""
        from OSSNetLib.Logic import Output
        from OSSNetLib.Sampling import Sampling

        logic, settings, volume = self.makeLogic(), self._settings(), phantomVolume()
        array = slicer.util.arrayFromVolume(volume) * 0
        array[::2] = 3
        slicer.util.updateVolumeFromArray(volume, array)
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        for output in (Output.segmentation, Output.labelMap, Output.surface):
            outcome = logic.sample(volume, settings, Sampling(), output)
            self.assertEqual(list(outcome.nodes), [])
            self.assertIn('Nothing was found in "phantom"', outcome.message)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)

    # ---- helpers ----

    def makeVolume(self) -> Any:
        """See the base class."""
        return phantomVolume()

    def startRun(self, logic: OSSNetLogic, volume: Any) -> list[Any]:
        """See the base class."""
        from OSSNetLib.Logic import Output
        from OSSNetLib.Sampling import Sampling

        told: list[Any] = []
        logic.startSample(volume, self._settings(), Sampling(), Output.segmentation, told.append, told.append)
        return told

    def madeBy(self, outcome: Any) -> Any:
        """See the base class."""
        return outcome.node

    def _stages(self, logic: OSSNetLogic, volume: Any, settings: Settings, sampling: Any) -> list[str]:
        """The stages of a run."""
        from OSSNetLib.Logic import Output

        stages: list[str] = []
        errors: list[Exception] = []
        logic.startSample(
            volume,
            settings,
            sampling,
            Output.labelMap,
            lambda outcome: None,
            errors.append,
            lambda stage, done, total, seconds: stages.append(stage),
        )
        logic.jobs.wait()
        self.assertEqual(errors, [])
        return stages
