"""The OSSNet module of 3D Slicer: thin, so that starting Slicer costs nothing."""

import os

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

import slicer
from HighResSegmentationLib.Links import tutorial
from HighResSegmentationLib.ModuleWidget import ModuleWidgetMixin
from OSSNetLib import Tests
from OSSNetLib.Logic import OSSNetLogic

__all__ = ["OSSNet", "OSSNetLogic", "OSSNetTest", "OSSNetWidget"]


class OSSNet(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("OSSNet")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["HighResCore"]
        self.parent.contributors = ["HighResSegmentation contributors"]
        self.parent.helpText = _(
            "Segments a volume as a continuous field, which is then looked at as label map, probability or surface, at "
            "any spacing and in any region, without running the network again. "
            '<a href="{url}">Step by step, with pictures.</a>'
        ).format(url=tutorial("oss_net"))
        self.parent.acknowledgementText = _(
            "Method: OSS-Net, occupancy networks for semantic segmentation (Reich et al., BMVC 2021, "
            "arXiv:2110.10640). Research use only, not for clinical decisions."
        )
        slicer.app.connect("startupCompleted()", _onStarted)


class OSSNetWidget(ModuleWidgetMixin, ScriptedLoadableModuleWidget):
    """The panel, which is made when it is shown for the first time."""

    def makePanel(self) -> object:
        """Loads the panel and puts its parts together."""
        import qt

        from HighResSegmentationLib.Models import listModels
        from HighResSegmentationLib.SetupPanel import showSetup
        from OSSNetLib.Widget import METHOD, OSSNetPanel

        root = slicer.util.loadUI(self.resourcePath("UI/OSSNet.ui"))
        self.layout.addWidget(root)
        self.logic = OSSNetLogic()
        icon = qt.QIcon(self.resourcePath(os.path.join("Icons", "OSSNetDraw.svg")))
        return OSSNetPanel(root, self.logic, icon, lambda: listModels(METHOD), showSetup)


class OSSNetTest(Tests.OSSNetTests, ScriptedLoadableModuleTest):
    """The self-test, for Slicer and for pytest alike."""


def _onStarted() -> None:
    scene = slicer.mrmlScene
    scene.AddObserver(scene.EndImportEvent, _onImported)


def _onImported(scene: object, event: str) -> None:
    from OSSNetLib.SliceOverlay import restoreViews

    restoreViews(scene)
