"""The SRSegmentation module of 3D Slicer: thin, so that starting Slicer costs nothing."""

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
from SRSegmentationLib import Tests
from SRSegmentationLib.Logic import SRSegmentationLogic

__all__ = ["SRSegmentation", "SRSegmentationLogic", "SRSegmentationTest", "SRSegmentationWidget"]


class SRSegmentation(ScriptedLoadableModule):
    """What Slicer shows about the module."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("SRSegmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["HighResCore"]
        self.parent.contributors = ["HighResSegmentation contributors"]
        self.parent.helpText = _(
            "Segments a whole image at once by networks that learned to restore its resolution, as fine as the image "
            'or finer. <a href="{url}">Step by step, with pictures.</a>'
        ).format(url=tutorial("sr_segmentation"))
        self.parent.acknowledgementText = _(
            "Methods: PFSeg, patch-free segmentation guided by super-resolution (Wang et al., MICCAI 2021, "
            "arXiv:2210.14645), and SASR-Net, scale-aware super-resolution for lesions (Luo et al., IEEE TNNLS 2024, "
            "doi:10.1109/TNNLS.2024.3477947). Research use only, not for clinical decisions."
        )


class SRSegmentationWidget(ModuleWidgetMixin, ScriptedLoadableModuleWidget):
    """The panel, which is made when it is shown for the first time."""

    def makePanel(self) -> object:
        """Loads the panel and puts its parts together."""
        from HighResSegmentationLib.Models import listModels
        from HighResSegmentationLib.SetupPanel import showSetup
        from SRSegmentationLib.ModelFacts import METHODS
        from SRSegmentationLib.Widget import SRSegmentationPanel

        root = slicer.util.loadUI(self.resourcePath("UI/SRSegmentation.ui"))
        self.layout.addWidget(root)
        self.logic = SRSegmentationLogic()
        return SRSegmentationPanel(root, self.logic, lambda: listModels(METHODS), showSetup)


class SRSegmentationTest(Tests.SRSegmentationTests, ScriptedLoadableModuleTest):
    """The self-test, for Slicer and for pytest alike."""
