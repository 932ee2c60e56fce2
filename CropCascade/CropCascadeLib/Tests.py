"""The self-test of the module: its logic and its worker on a small phantom of which everything is known.

The same class runs inside Slicer and, on Slicer's scene alone, in pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from CropCascadeLib.Phantom import BLOCKS, dice, phantomBox, phantomVolume
from HighResSegmentationLib.PhantomGeometries import GEOMETRIES
from HighResSegmentationLib.RunSelfTests import RunSelfTests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from CropCascadeLib.Logic import CropCascadeLogic, Settings


class CropCascadeTests(RunSelfTests):
    """To be mixed with Slicer's base class of self-tests."""

    # ---- without inference ----

    def test_choicesSurviveTheScene(self) -> None:
        """Saved, cleared and loaded, the scene has the choices, the boxes and the volume."""
        from CropCascadeLib.ParameterNode import Merge

        logic, volume = self.makeLogic(), phantomVolume()
        parameters = logic.getParameterNode()
        parameters.inputVolume, parameters.model, parameters.device = volume, "nuclei-crop-cascade", "cpu"
        parameters.boxes = [phantomBox(volume, "first"), phantomBox(volume, "second")]
        parameters.addProposals, parameters.instances = True, True
        parameters.context, parameters.threshold, parameters.merge = 30.0, 0.25, Merge.max
        self.saveAndLoad()
        loaded = logic.getParameterNode()
        self.assertEqual(loaded.inputVolume.GetName(), "phantom")
        self.assertEqual([roi.GetName() for roi in loaded.boxes], ["first", "second"])
        self.assertEqual((loaded.model, loaded.device), ("nuclei-crop-cascade", "cpu"))
        self.assertEqual((loaded.addProposals, loaded.instances), (True, True))
        self.assertEqual((loaded.context, loaded.threshold, loaded.merge), (30.0, 0.25, Merge.max))

    def test_boxesFollowTheVolume(self) -> None:
        """A box around a block has its voxels, whatever the geometry."""
        from HighResSegmentationLib.Boxes import boxFromRoi
        from HighResSegmentationLib.Volumes import gridOfVolume

        for kind in GEOMETRIES:
            with self.subTest(kind):
                volume = phantomVolume(kind)
                box = boxFromRoi(phantomBox(volume, "first"), volume).hull(gridOfVolume(volume))
                self.assertEqual(list(zip(box.start, box.stop, strict=True)), list(BLOCKS["first"]))

    def test_refusals(self) -> None:
        """What cannot be segmented is refused in words, and nothing is added to the scene."""
        from CropCascadeLib.Logic import Settings
        from hrseg.errors import HrsegError

        logic = self.makeLogic()
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        for volume, words in ((None, "No volume is chosen"), (empty, '"empty" is empty')):
            with self.assertRaisesRegex(HrsegError, words):
                logic.segment(volume, Settings("none.safetensors"))
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    # ---- with inference ----

    def test_proposeEditSegment(self) -> None:
        """Boxes are proposed, one is deleted, one moved off and another drawn; what they hold is found."""
        logic, volume, settings = self.makeLogic(), phantomVolume(), self._settings()
        rois = logic.proposeBoxes(volume, settings)
        self.assertEqual(len(rois), 2)
        outcome = logic.segment(volume, settings, rois)
        self.assertGreater(dice(outcome.segmentation, volume, "first", "second"), 0.97)
        first = min(rois, key=lambda roi: roi.GetCenter()[2])
        self.assertGreater(dice(logic.segment(volume, settings, [first]).segmentation, volume, "first"), 0.97)
        first.SetCenter(40, 6, 4)
        moved = logic.segment(volume, settings, [first])
        self.assertIsNone(moved.segmentation)
        self.assertIn("No object found in the boxes", moved.message)
        drawn = logic.segment(volume, settings, [first, phantomBox(volume, "second")])
        self.assertGreater(dice(drawn.segmentation, volume, "second"), 0.97)

    def test_onlyTheEditedBoxIsComputed(self) -> None:
        """A second run with one box moved has one crop to compute."""
        logic, volume, settings = self.makeLogic(), phantomVolume(), self._settings()
        rois = [phantomBox(volume, "first"), phantomBox(volume, "second")]
        logic.segment(volume, settings, rois)
        rois[1].SetSize(*(side + 1 for side in rois[1].GetSize()))
        totals: set[tuple[str, int]] = set()
        told = self._started(
            logic, volume, settings, rois, lambda stage, done, total, seconds: totals.add((stage, total))
        )
        logic.jobs.wait()
        self.assertEqual({total for stage, total in totals if stage == "crops"}, {1})
        self.assertGreater(dice(told[0].segmentation, volume, "first", "second"), 0.97)

    def test_proposingAgain(self) -> None:
        """Proposals that nobody edited are replaced, edited ones stay and get no double."""
        logic, volume, settings = self.makeLogic(), phantomVolume(), self._settings()
        edited, untouched = logic.proposeBoxes(volume, settings)
        edited.SetSize(*(side + 1 for side in edited.GetSize()))
        (new,) = logic.proposeBoxes(volume, settings, [edited, untouched])
        self.assertIsNone(untouched.GetScene())
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLMarkupsROINode"), [edited, new])

    def test_geometries(self) -> None:
        """Under a translated, rotated and oblique volume the result lies where the objects are."""
        logic, settings = self.makeLogic(), self._settings()
        for kind in GEOMETRIES:
            with self.subTest(kind):
                volume = phantomVolume(kind)
                rois = [phantomBox(volume, "first"), phantomBox(volume, "second")]
                segmentation = logic.segment(volume, settings, rois).segmentation
                self.assertEqual(segmentation.GetTransformNodeID(), volume.GetTransformNodeID())
                self.assertGreater(dice(segmentation, volume, "first", "second"), 0.97)

    def test_resultSurvivesTheScene(self) -> None:
        """Saved, cleared and loaded, the segmentation is the same and says where it comes from."""
        logic, volume = self.makeLogic(), phantomVolume("rotated")
        name = logic.segment(volume, self._settings(), [phantomBox(volume, "first")]).segmentation.GetName()
        self.saveAndLoad()
        segmentation, volume = slicer.util.getNode(name), slicer.util.getNode("phantom")
        self.assertGreater(dice(segmentation, volume, "first"), 0.97)
        self.assertTrue(segmentation.GetAttribute("HighResSegmentation.Model"))
        self.assertEqual(segmentation.GetTransformNodeID(), volume.GetTransformNodeID())

    def test_addedToASegmentation(self) -> None:
        """The segment that a user had before stays as it was."""
        logic, volume = self.makeLogic(), phantomVolume()
        outcome = logic.segment(volume, self._settings(), [phantomBox(volume, "first")])
        again = logic.segment(volume, self._settings(), [phantomBox(volume, "second")], outcome.segmentation)
        self.assertIs(again.segmentation, outcome.segmentation)
        self.assertEqual(again.segmentation.GetSegmentation().GetNumberOfSegments(), 2)
        for number, block in enumerate(("first", "second")):
            self.assertGreater(dice(again.segmentation, volume, block, number=number), 0.97)

    def test_oneSegmentPerBox(self) -> None:
        """Instances are named after the boxes."""
        from dataclasses import replace

        logic, volume = self.makeLogic(), phantomVolume()
        rois = [phantomBox(volume, "second"), phantomBox(volume, "first")]
        objects = logic.segment(volume, replace(self._settings(), instances=True), rois).objects
        names = [objects.GetSegmentation().GetNthSegment(number).GetName() for number in range(2)]
        self.assertEqual(names, ["second", "first"])
        self.assertGreater(dice(objects, volume, "second", number=0), 0.97)

    def test_nothingThere(self) -> None:
        """An image without objects is explained, and no empty segmentation is left."""
        logic, volume = self.makeLogic(), phantomVolume()
        array = slicer.util.arrayFromVolume(volume) * 0
        array[::2] = 3
        slicer.util.updateVolumeFromArray(volume, array)
        outcome = logic.segment(volume, self._settings())
        self.assertIsNone(outcome.segmentation)
        self.assertIn('No object found in "phantom"', outcome.message)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    # ---- helpers ----

    def makeLogic(self) -> CropCascadeLogic:
        """The logic of the module."""
        from CropCascadeLib.Logic import CropCascadeLogic

        return CropCascadeLogic()

    def makeVolume(self) -> Any:
        """A new volume node in which something is found."""
        return phantomVolume()

    def startRun(self, logic: CropCascadeLogic, volume: Any) -> list[Any]:
        """A run under way; the list receives its outcome or error."""
        return self._started(logic, volume, self._settings())

    def _settings(self) -> Settings:
        """A model that finds what is bright. Skips where no Python can run it."""
        from CropCascadeLib.Logic import Settings
        from CropCascadeLib.ThresholdModel import writeThresholdModel

        self.requireInference()
        return Settings(str(writeThresholdModel(self.folder / "threshold.safetensors", size=32)), "cpu")

    def _started(
        self,
        logic: CropCascadeLogic,
        volume: Any,
        settings: Settings,
        rois: Sequence[Any] = (),
        onProgress: Callable[[str, int, int, float], None] | None = None,
    ) -> list[Any]:
        """A run under way; the list receives its outcome or error."""
        told: list[Any] = []
        logic.startSegment(volume, settings, rois, told.append, told.append, onProgress)
        return told
