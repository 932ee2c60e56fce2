"""The self-test of the module: its logic and its worker on a small phantom of which everything is known.

The same class runs inside Slicer and, on Slicer's scene alone, in pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from HighResSegmentationLib.PhantomGeometries import GEOMETRIES
from HighResSegmentationLib.RunSelfTests import RunSelfTests
from SRSegmentationLib.Phantom import (
    BLOCKS,
    boundsOf,
    darkPlace,
    dice,
    maskOf,
    phantomCrop,
    phantomPicture,
    phantomVolume,
    truth,
)

if TYPE_CHECKING:
    from SRSegmentationLib.Logic import Settings, SRSegmentationLogic


class SRSegmentationTests(RunSelfTests):
    """To be mixed with Slicer's base class of self-tests."""

    # ---- without inference ----

    def test_choicesSurviveTheScene(self) -> None:
        """Saved, cleared and loaded, the scene has the choices and the crop, which still belongs to the volume."""
        from SRSegmentationLib import GuidanceCrop
        from SRSegmentationLib.ParameterNode import Resolution

        logic, volume = self.makeLogic(), phantomVolume("rotated")
        parameters = logic.getParameterNode()
        parameters.inputVolume, parameters.model, parameters.device = volume, "headneck-ct-pfseg", "cpu"
        parameters.resolution, parameters.superResolve, parameters.showCrop = Resolution.fine, True, False
        parameters.crop = GuidanceCrop.showResult(phantomCrop(volume), volume, "headneck-ct-pfseg")
        center = list(parameters.crop.GetCenter())
        self.saveAndLoad()
        loaded = logic.getParameterNode()
        self.assertEqual(loaded.inputVolume.GetName(), "phantom")
        self.assertEqual((loaded.model, loaded.device), ("headneck-ct-pfseg", "cpu"))
        self.assertEqual((loaded.resolution, loaded.superResolve, loaded.showCrop), (Resolution.fine, True, False))
        self.assertTrue(GuidanceCrop.belongsTo(loaded.crop, loaded.inputVolume, "headneck-ct-pfseg"))
        self.assertFalse(GuidanceCrop.isMoved(loaded.crop))
        for found, expected in zip(loaded.crop.GetCenter(), center, strict=True):
            self.assertAlmostEqual(found, expected, places=3)

    def test_cropsAreDraggedAndPutBack(self) -> None:
        """Its centre is told in the volume's frame, its size stays, and it can be put back, in any geometry."""
        from SRSegmentationLib import GuidanceCrop

        for kind in GEOMETRIES:
            with self.subTest(kind):
                volume = phantomVolume(kind)
                crop = phantomCrop(volume)
                roi = GuidanceCrop.showResult(crop, volume, "m")
                place = darkPlace(volume)
                roi.SetCenter(*place)
                self.assertTrue(GuidanceCrop.isMoved(roi))
                self._assertNear(GuidanceCrop.centerOf(roi, volume), place)
                roi.SetSize(1, 2, 3)
                GuidanceCrop.keepSize(roi)
                self._assertNear(roi.GetSize(), crop["size"])
                self._assertNear(roi.GetCenter(), place)
                GuidanceCrop.reset(roi)
                self.assertFalse(GuidanceCrop.isMoved(roi))
                self._assertNear(GuidanceCrop.centerOf(roi, volume), crop["center"])

    def test_refusals(self) -> None:
        """What cannot be segmented is refused in words, and nothing is added to the scene."""
        from hrseg.errors import HrsegError
        from SRSegmentationLib.Logic import Settings

        logic = self.makeLogic()
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        for volume, words in ((None, "No volume is chosen"), (empty, '"empty" is empty')):
            with self.assertRaisesRegex(HrsegError, words):
                logic.segment(volume, Settings("none.safetensors"))
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    # ---- with inference: PFSeg ----

    def test_dragTheCropAndCompare(self) -> None:
        """The crop appears where the search put it; dragged elsewhere, it changes the mask, which is measured."""
        from SRSegmentationLib import Comparison, GuidanceCrop
        from SRSegmentationLib.Logic import Targets

        logic, volume = self.makeLogic(), phantomVolume()
        first = logic.segment(volume, self._pfseg())
        self._assertNear(first.crop.GetSize(), (12, 10, 8))
        self.assertLess(dice(first.segmentation, volume), 0.8)
        place = darkPlace(volume)
        first.crop.SetCenter(*place)
        center = GuidanceCrop.centerOf(first.crop, volume)
        second = logic.segment(volume, self._pfseg(guidanceCenter=center), Targets(crop=first.crop))
        self.assertIs(second.crop, first.crop)
        self.assertTrue(GuidanceCrop.isMoved(second.crop))
        # To the next voxel, as a crop has whole ones.
        self._assertNear(second.crop.GetCenter(), place, 0.51)
        self.assertGreater(dice(second.segmentation, volume), 0.97)
        results = [Comparison.Result(each.segmentation, each.segments) for each in (first, second)]
        (change,) = Comparison.changes(*results, volume)
        self.assertLess(change.after, change.before)
        self.assertAlmostEqual(change.dice, dice(first.segmentation, volume, maskOf(second, volume)))
        difference = Comparison.differenceSegmentation(*results, volume)
        lost = slicer.util.arrayFromSegmentBinaryLabelmap(difference, "Segment_2", volume)
        self.assertEqual(int(lost.sum()), change.before - change.after)
        GuidanceCrop.reset(second.crop)
        again = logic.segment(volume, self._pfseg(), Targets(crop=second.crop))
        self.assertEqual(int(maskOf(again, volume).sum()), change.before)

    def test_geometries(self) -> None:
        """Under a translated, rotated and oblique volume crop and result lie where they belong."""
        logic = self.makeLogic()
        for kind in GEOMETRIES:
            with self.subTest(kind):
                volume = phantomVolume(kind)
                outcome = logic.segment(volume, self._pfseg(guidanceCenter=darkPlace(volume)))
                for node in (outcome.segmentation, outcome.crop):
                    self.assertEqual(node.GetTransformNodeID(), volume.GetTransformNodeID())
                self.assertGreater(dice(outcome.segmentation, volume), 0.97)

    def test_finerThanTheImage(self) -> None:
        """The mask has twice the voxels along each axis, and lies where the blocks are; no crop is used."""
        from hrseg.model_header import read_header
        from SRSegmentationLib.ModelFacts import ModelFacts

        volume, settings = phantomVolume("rotated"), self._pfseg(resolution="fine")
        outcome = self.makeLogic().segment(volume, settings)
        self.assertIsNone(outcome.crop)
        segment = slicer.util.arrayFromSegmentInternalBinaryLabelmap(outcome.segmentation, "Segment_1")
        self.assertEqual(int((segment > 0).sum()), 8 * int(truth().sum()))
        self.assertGreater(dice(outcome.segmentation, volume), 0.97)
        self.assertEqual(ModelFacts.of(read_header(settings.model)).factors, (2, 2, 2))

    def test_theSuperResolvedImage(self) -> None:
        """A volume of the same grey values, place and transform, in smaller voxels; the next run takes it again."""
        from SRSegmentationLib.Logic import Targets

        logic, volume = self.makeLogic(), phantomVolume("rotated")
        settings = self._pfseg(resolution="fine", superResolve=True)
        image = logic.segment(volume, settings).superResolved
        self.assertEqual(image.GetImageData().GetDimensions(), (96, 80, 64))
        self.assertEqual(image.GetTransformNodeID(), volume.GetTransformNodeID())
        self.assertEqual(image.GetAttribute("HighResSegmentation.Method"), "pfseg")
        self._assertNear(boundsOf(image), boundsOf(volume), 1e-3)
        array = slicer.util.arrayFromVolume(image)
        self.assertEqual(array.dtype, slicer.util.arrayFromVolume(volume).dtype)
        inside = truth().repeat(2, 0).repeat(2, 1).repeat(2, 2)
        self.assertGreater(array[inside].mean(), 50 + array[~inside].mean())
        self.assertIs(logic.segment(volume, settings, Targets(superResolved=image)).superResolved, image)

    # ---- with inference: SASR-Net ----

    def test_lesions(self) -> None:
        """Each block is a lesion: size, diameter, probability, place; and the table survives the scene."""
        from SRSegmentationLib.Lesions import rowsOf, sizeUnit

        volume = phantomVolume("rotated")
        outcome = self.makeLogic().segment(volume, self._sasr())
        self.assertGreater(dice(outcome.segmentation, volume), 0.97)
        name = outcome.lesions.GetName()
        self.saveAndLoad()
        table, volume = slicer.util.getNode(name), slicer.util.getNode("phantom")
        rows = rowsOf(table)
        self.assertEqual([row.name for row in rows], ["bright object 1", "bright object 2"])
        self.assertEqual(sizeUnit(table), "mm3")
        self.assertEqual(table.GetAttribute("HighResSegmentation.Method"), "sasr")
        for row, ends in zip(rows, BLOCKS.values(), strict=True):
            sides = [stop - start for start, stop in ends]
            # Voxels of 1.2 x 0.9 x 1.5 mm (i, j, k).
            self.assertAlmostEqual(row.size, sides[0] * sides[1] * sides[2] * 1.2 * 0.9 * 1.5, places=2)
            self.assertGreater(row.probability, 0.9)
            self._assertInside(row.center, ends, volume)

    def test_finerLesions(self) -> None:
        """A mask of twice the resolution gives the same lesions."""
        from SRSegmentationLib.Lesions import rowsOf

        volume = phantomVolume()
        logic = self.makeLogic()
        coarse, fine = (
            rowsOf(logic.segment(volume, self._sasr(resolution=resolution)).lesions) for resolution in ("input", "fine")
        )
        for one, other in zip(coarse, fine, strict=True):
            self.assertAlmostEqual(other.size / one.size, 1, delta=0.05)

    def test_colourPictures(self) -> None:
        """A picture (vector volume): areas instead of volumes, and a sharper picture in colour."""
        from SRSegmentationLib.Lesions import rowsOf, sizeUnit

        picture = phantomPicture()
        outcome = self.makeLogic().segment(picture, self._sasr(2, 3, resolution="fine", superResolve=True))
        flat = truth().any(axis=0, keepdims=True)
        self.assertGreater(dice(outcome.segmentation, picture, flat), 0.97)
        self.assertEqual([round(row.size) for row in rowsOf(outcome.lesions)], [120, 36])
        self.assertEqual(sizeUnit(outcome.lesions), "mm2")
        image = outcome.superResolved
        self.assertEqual(image.GetClassName(), "vtkMRMLVectorVolumeNode")
        self.assertEqual(slicer.util.arrayFromVolume(image).shape, (1, 80, 96, 3))
        self._assertNear(boundsOf(image), boundsOf(picture), 1e-3)

    # ---- runs ----

    def test_nothingFound(self) -> None:
        """An image without objects is explained, and no empty segmentation is left."""
        volume = phantomVolume()
        array = slicer.util.arrayFromVolume(volume) * 0
        array[::2] = 3
        slicer.util.updateVolumeFromArray(volume, array)
        outcome = self.makeLogic().segment(volume, self._sasr())
        self.assertIsNone(outcome.segmentation)
        self.assertIn('Nothing was found in "phantom"', outcome.message)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    def test_addedToASegmentation(self) -> None:
        """The segment that a user had before stays as it was."""
        from SRSegmentationLib.Logic import Targets

        logic, volume, settings = self.makeLogic(), phantomVolume(), self._sasr()
        outcome = logic.segment(volume, settings)
        again = logic.segment(volume, settings, Targets(segmentation=outcome.segmentation))
        self.assertIs(again.segmentation, outcome.segmentation)
        self.assertEqual(again.segmentation.GetSegmentation().GetNumberOfSegments(), 2)
        self.assertEqual(len(again.segments), 1)
        self.assertNotEqual(list(again.segments), list(outcome.segments))

    def test_resultSurvivesTheScene(self) -> None:
        """Saved, cleared and loaded, the finer segmentation is the same and says where it comes from."""
        logic, volume = self.makeLogic(), phantomVolume("rotated")
        name = logic.segment(volume, self._sasr(resolution="fine")).segmentation.GetName()
        self.saveAndLoad()
        segmentation, volume = slicer.util.getNode(name), slicer.util.getNode("phantom")
        self.assertGreater(dice(segmentation, volume), 0.97)
        self.assertEqual(segmentation.GetAttribute("HighResSegmentation.Method"), "sasr")
        self.assertEqual(segmentation.GetTransformNodeID(), volume.GetTransformNodeID())

    # ---- helpers ----

    def makeLogic(self) -> SRSegmentationLogic:
        """The logic of the module."""
        from SRSegmentationLib.Logic import SRSegmentationLogic

        return SRSegmentationLogic()

    def makeVolume(self) -> Any:
        """A new volume node in which something is found."""
        return phantomVolume()

    def startRun(self, logic: SRSegmentationLogic, volume: Any) -> list[Any]:
        """A run under way; the list receives its outcome or error."""
        told: list[Any] = []
        logic.startSegment(volume, self._pfseg(), told.append, told.append)
        return told

    def _pfseg(self, **choices: Any) -> Settings:
        """A model that finds what is bright, and what the crop tells it. Skips where no Python can run it."""
        from SRSegmentationLib.Logic import Settings
        from SRSegmentationLib.TinyModels import writePFSeg

        self.requireInference()
        file = self.folder / "pfseg.safetensors"
        return Settings(str(file if file.exists() else writePFSeg(file)), "cpu", **choices)

    def _sasr(self, dimension: int = 3, channels: int = 1, **choices: Any) -> Settings:
        """A model that finds what is bright, lesion by lesion. Skips where no Python can run it."""
        from SRSegmentationLib.Logic import Settings
        from SRSegmentationLib.TinyModels import writeSasr

        self.requireInference()
        file = writeSasr(self.folder / f"sasr-{dimension}-{channels}.safetensors", dimension, channels)
        return Settings(str(file), "cpu", lesions=True, **choices)

    def _assertNear(self, found: Any, expected: Any, tolerance: float = 1e-4) -> None:
        for one, other in zip(found, expected, strict=True):
            self.assertLessEqual(abs(one - other), tolerance)

    def _assertInside(self, point: Any, ends: Any, volume: Any) -> None:
        from HighResSegmentationLib.Volumes import gridOfVolume

        for index, (start, stop) in zip(gridOfVolume(volume).to_index(point), ends, strict=True):
            self.assertTrue(start - 0.01 <= index <= stop - 1 + 0.01)
