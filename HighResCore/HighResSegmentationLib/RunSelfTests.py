"""Self-tests that are the same for every method: a run that is cancelled, or whose scene or volume goes meanwhile."""

from __future__ import annotations

import time
from typing import Any

import slicer
from HighResSegmentationLib.SelfTests import SelfTests


class RunSelfTests(SelfTests):
    """Sub-classes say what is run."""

    def makeLogic(self) -> Any:
        """The logic of the module."""
        raise NotImplementedError

    def makeVolume(self) -> Any:
        """A new volume node in which something is found."""
        raise NotImplementedError

    def startRun(self, logic: Any, volume: Any) -> list[Any]:
        """A run under way; the list receives its outcome or its error."""
        raise NotImplementedError

    def madeBy(self, outcome: Any) -> Any:
        """The node that a run has made, None where nothing was found."""
        return outcome.segmentation

    def test_cancel(self) -> None:
        """A cancelled run ends within a second and leaves the scene as it was; the next one runs."""
        from hrseg.errors import Cancelled

        logic, volume = self.makeLogic(), self.makeVolume()
        self._finishRun(logic, volume)
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        told = self.startRun(logic, volume)
        logic.jobs.cancel()
        began = time.monotonic()
        logic.jobs.wait()
        self.assertLess(time.monotonic() - began, 1.0)
        self.assertIsInstance(told[0], Cancelled)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)
        self._finishRun(logic, volume)

    def test_sceneClosedDuringARun(self) -> None:
        """The run ends, its result is dropped, and the next one runs."""
        from hrseg.errors import Cancelled

        logic = self.makeLogic()
        told = self.startRun(logic, self.makeVolume())
        slicer.mrmlScene.Clear()
        self.assertIsInstance(told[0], Cancelled)
        logic.jobs.wait()
        self.assertEqual(len(told), 1)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)
        self._finishRun(logic, self.makeVolume())

    def test_volumeRemovedDuringARun(self) -> None:
        """The result is dropped, in words."""
        logic, volume = self.makeLogic(), self.makeVolume()
        told = self.startRun(logic, volume)
        slicer.mrmlScene.RemoveNode(volume)
        logic.jobs.wait()
        self.assertIn("removed during the run", str(told[0]))

    def _finishRun(self, logic: Any, volume: Any) -> None:
        """A run that must find something."""
        told = self.startRun(logic, volume)
        logic.jobs.wait()
        (outcome,) = told
        self.assertNotIsInstance(outcome, Exception)
        self.assertIsNotNone(self.madeBy(outcome))
