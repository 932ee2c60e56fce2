"""The CropCascade module of 3D Slicer: thin, so that starting Slicer costs nothing."""

import os

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

import slicer
from CropCascadeLib import Tests
from CropCascadeLib.Logic import CropCascadeLogic
from HighResSegmentationLib.Links import tutorial
from HighResSegmentationLib.ModuleWidget import ModuleWidgetMixin

__all__ = ["CropCascade", "CropCascadeLogic", "CropCascadeTest", "CropCascadeWidget"]


class CropCascade(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("CropCascade")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["HighResCore"]
        self.parent.contributors = ["HighResSegmentation contributors"]
        self.parent.helpText = _(
            "Segments objects in boxes, drawn by hand or proposed by a coarse network, each at full resolution. "
            '<a href="{url}">Step by step, with pictures.</a>'
        ).format(url=tutorial("crop_cascade"))
        self.parent.acknowledgementText = _(
            "Method: Segment-then-Segment, two networks in a cascade (Benčević et al., Sensors 2023, 23(2):633). "
            "Research use only, not for clinical decisions."
        )


class CropCascadeWidget(ModuleWidgetMixin, ScriptedLoadableModuleWidget):
    """The panel, which is made when it is shown for the first time."""

    def makePanel(self) -> object:
        """Loads the panel and puts its parts together."""
        import qt

        from CropCascadeLib.Widget import METHOD, CropCascadePanel
        from HighResSegmentationLib.Models import listModels
        from HighResSegmentationLib.SetupPanel import showSetup

        root = slicer.util.loadUI(self.resourcePath("UI/CropCascade.ui"))
        self.layout.addWidget(root)
        self.logic = CropCascadeLogic()
        return CropCascadePanel(
            root,
            self.logic,
            lambda name: qt.QIcon(self.resourcePath(os.path.join("Icons", f"CropCascade{name}.svg"))),
            lambda: listModels(METHOD),
            showSetup,
        )


class CropCascadeTest(Tests.CropCascadeTests, ScriptedLoadableModuleTest):
    """The self-test, for Slicer and for pytest alike."""
