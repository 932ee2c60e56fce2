"""What the self-tests of all methods share.

The same classes run inside Slicer and, on Slicer's scene alone, in pytest.
"""

from __future__ import annotations

import unittest
from functools import cache

import slicer
from HighResSegmentationLib.ModuleWidget import whyTooOld


class SelfTests(unittest.TestCase):
    """To be mixed with Slicer's base class of self-tests."""

    def setUp(self) -> None:
        """Empties the scene; a folder for what the test writes."""
        import tempfile
        from pathlib import Path

        problem = whyTooOld()
        if problem:
            self.skipTest(problem)
        slicer.mrmlScene.Clear()
        self.folder = Path(tempfile.mkdtemp(prefix="hrseg-selftest-"))

    def tearDown(self) -> None:
        """Leaves nothing behind."""
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Runs all, as Slicer's "Reload and Test" wants it; what is skipped says why."""
        for name in sorted(name for name in dir(self) if name.startswith("test_")):
            try:
                self._run(name)
                self.delayDisplay(f"{name}: passed")
            except unittest.SkipTest as reason:
                self.delayDisplay(f"{name}: skipped, {reason}")

    def _run(self, name: str) -> None:
        self.setUp()
        try:
            getattr(self, name)()
        finally:
            self.tearDown()

    def requireInference(self) -> None:
        """Skips where no Python can run a network."""
        problem = _whyNoInference()
        if problem:
            self.skipTest(problem)

    def saveAndLoad(self) -> None:
        """The scene goes through a file."""
        file = str(self.folder / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(file))
        slicer.mrmlScene.Clear()
        slicer.util.loadScene(file)


@cache
def _whyNoInference() -> str:
    """Why no Python here can run a network; "" if one can."""
    from HighResSegmentationLib.Environment import workerEnvironment

    environment = workerEnvironment()
    report = environment.check()
    return "" if report.ok else f"{environment.python} cannot run networks: {report.text}"
