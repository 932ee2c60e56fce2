"""The hidden module behind the others: set-up of inference, sample data, terminology."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

import slicer
from HighResSegmentationLib.ModuleWidget import ModuleWidgetMixin, whyTooOld
from HighResSegmentationLib.SelfTests import SelfTests

# Nothing else is imported here: Slicer reads this file at every start.


class HighResCore(ScriptedLoadableModule):
    """What Slicer lists."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        from HighResSegmentationLib.Links import REPOSITORY

        self.parent.title = _("HighResSegmentation Set-up")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["HighResSegmentation contributors"]
        self.parent.helpText = _(
            "Where the modules of HighResSegmentation run their networks: in Slicer's own Python or in another one on "
            "this computer. It also adds a phantom to Sample Data. "
            '<a href="{url}">More about the extension.</a>'
        ).format(url=REPOSITORY)
        self.parent.acknowledgementText = _(
            "By the contributors of HighResSegmentation. Research only; not a medical device."
        )
        # The other modules open the set-up where it is needed.
        self.parent.hidden = True
        slicer.app.connect("startupCompleted()", _onStarted)


class HighResCoreWidget(ModuleWidgetMixin, ScriptedLoadableModuleWidget):
    """The set-up as a module panel."""

    def makePanel(self) -> Any:
        """Builds the panel; the Python is asked when the panel is entered."""
        from HighResSegmentationLib.SetupPanel import SetupPanel

        panel = SetupPanel()
        self.layout.addWidget(panel.widget)
        self.layout.addStretch(1)
        return panel


class HighResCoreLogic(ScriptedLoadableModuleLogic):
    """What scripts may want of this module."""

    def makePhantomCT(self) -> Any:
        """A new volume node with the phantom of Sample Data, whose downloadSample cannot make it."""
        from HighResSegmentationLib.SampleData import makePhantomCT

        return makePhantomCT()


class HighResCoreTest(SelfTests, ScriptedLoadableModuleTest):
    """What needs no PyTorch: runs in Slicer and, on its scene alone, in pytest."""

    def test_phantom(self) -> None:
        """The sample has the grid and the values of a CT."""
        from HighResSegmentationLib.SampleData import makePhantomCT

        node = makePhantomCT(size=(24, 20, 16), spacing=12.0)
        array = slicer.util.arrayFromVolume(node)
        self.assertEqual(array.shape, (16, 20, 24))
        self.assertEqual(node.GetSpacing(), (12.0, 12.0, 12.0))
        self.assertLess(array.min(), -900)
        self.assertGreater(array.max(), 60)

    def test_models(self) -> None:
        """The models that come with the extension are found and can be read."""
        from HighResSegmentationLib.Models import listModels

        names = [model.name for model in listModels() if not model.problem]
        self.assertIn("phantom-ct-patch-based", names)

    def test_terminology(self) -> None:
        """Slicer knows our structures by their names."""
        from HighResSegmentationLib.Terminologies import CONTEXT, loadTerminologies

        self.assertTrue(loadTerminologies())
        logic, entry = slicer.modules.terminologies.logic(), slicer.vtkSlicerTerminologyEntry()
        self.assertTrue(logic.FindTypeInTerminologyBy3dSlicerLabel(CONTEXT, "liver", entry))
        self.assertEqual(entry.GetTypeObject().GetCodeValue(), "10200004")

    def test_python(self) -> None:
        """The Python that inference would run in answers, whatever it has."""
        from HighResSegmentationLib.Environment import workerEnvironment

        report = workerEnvironment().check()
        self.assertIn("python", report.versions, report.text)


def _onStarted() -> None:
    from HighResSegmentationLib.SampleData import registerSampleData
    from HighResSegmentationLib.Terminologies import loadTerminologies

    if not whyTooOld():
        registerSampleData()
        loadTerminologies()
