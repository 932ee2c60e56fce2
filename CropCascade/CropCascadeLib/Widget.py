"""The panel of the CropCascade module: it shows the choices, asks the logic, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

import slicer
from CropCascadeLib import Inference
from CropCascadeLib.BoxTable import BoxTable
from CropCascadeLib.Logic import CropCascadeLogic, Outcome, Settings
from CropCascadeLib.ParameterNode import Merge
from HighResSegmentationLib.Drawing import Drawing
from HighResSegmentationLib.Jobs import OnFailed
from HighResSegmentationLib.MethodPanel import MethodPanel
from hrseg.errors import HrsegError
from hrseg.model_header import read_header

if TYPE_CHECKING:
    from HighResSegmentationLib.Models import ModelEntry

METHOD = "crop_cascade"


class CropCascadePanel(MethodPanel):
    """Wires the widgets of ``CropCascade.ui``.

    Args:
        root: the loaded .ui.
        logic: does the work.
        icon: makes an icon, given its name.
        listModels: the models to choose from.
        openSetup: shows where inference runs; calls what it is given when the user has changed that.
    """

    def __init__(
        self,
        root: qt.QWidget,
        logic: CropCascadeLogic,
        icon: Callable[[str], qt.QIcon],
        listModels: Callable[[], Sequence[ModelEntry]],
        openSetup: Callable[[Callable[[Any], None]], Any],
    ) -> None:
        MethodPanel.__init__(self, root, logic, listModels, openSetup)
        self.drawing = Drawing(self._drawn)
        self.boxes = BoxTable(self.ui.boxTable, icon, self._boxesUsed, self.changed)
        self.ui.proposeButton.connect("clicked()", self.propose)
        self.ui.drawButton.connect("clicked()", self.toggleDrawing)
        self.ui.modelValuesButton.connect("clicked()", self.modelChosen)
        for name in ("proposeButton", "drawButton"):
            getattr(self.ui, name).setIcon(icon(name.removesuffix("Button").capitalize()))

    def cleanup(self) -> None:
        """The module goes away."""
        MethodPanel.cleanup(self)
        self.boxes.cleanup()

    def leave(self) -> None:
        """Place mode is left."""
        self.drawing.stop()

    # ---- choices ----

    @property
    def usedBoxes(self) -> list[Any]:
        """The boxes that are ticked."""
        return [roi for roi in self.kept.boxes if roi is not None]

    def settings(self) -> Settings:
        """The choices as the logic takes them."""
        p, entry = self.parameters, self.models.entry
        assert entry is not None
        inference = Inference.changes(read_header(entry.path), p.context, p.threshold, p.merge.value)
        return Settings(str(entry.path), p.device, inference, p.addProposals, p.instances)

    def showChoices(self) -> None:
        """Shows the boxes, the result, and what can be done."""
        p, reason = self.parameters, self.whyNot()
        self.boxes.setUsed(self.usedBoxes)
        self.ui.addProposalsCheckBox.enabled = bool(self.usedBoxes)
        self.ui.show3DButton.setSegmentationNode(p.result)
        self.ui.proposeButton.enabled = not reason and not self.run.running
        self.ui.modelValuesButton.enabled = not reason
        self.ui.drawButton.enabled = p.inputVolume is not None

    def applyTip(self) -> str:
        """What Apply does."""
        return _("Segment the ticked boxes; without any, look for objects in the whole volume.")

    def modelChosen(self) -> None:
        """Takes the model's own context, threshold and merging."""
        entry, p = self.models.entry, self.parameters
        if entry is not None and not entry.problem:
            own = Inference.settingsOf(read_header(entry.path))
            with slicer.util.NodeModify(p.parameterNode):
                # The panel has no finer thresholds.
                p.context, p.threshold = 100 * own["context"], min(max(own["threshold"], 0.01), 0.99)
                p.merge = Merge[own["merge"]]

    def _boxesUsed(self, rois: list[Any]) -> None:
        if self.parameters is not None:
            self.parameters.boxes = rois

    # ---- boxes ----

    def toggleDrawing(self) -> None:
        """Enters place mode with a new box, or leaves it."""
        if self.drawing.active:
            self.drawing.stop()
            return
        try:
            roi = self.drawing.start(self.parameters.inputVolume)
        except HrsegError as error:
            self.run.failed(error)
        else:
            self.boxes.select(roi)
        self.ui.drawButton.checked = self.drawing.active

    def _drawn(self, roi: Any) -> None:
        self.ui.drawButton.checked = False
        if roi is not None and self.parameters is not None:
            self.parameters.boxes = [*self.usedBoxes, roi]
            self.boxes.select(roi)

    # ---- runs ----

    def propose(self) -> None:
        """Looks for objects, each of which becomes a box."""
        p = self.parameters
        self.start(
            _("Looking for objects ..."),
            lambda: self.logic.startPropose(
                p.inputVolume, self.settings(), self.usedBoxes, self._proposed, self.run.failed, self.showProgress
            ),
        )

    def apply(self) -> None:
        """Segments."""
        p = self.parameters
        self.start(
            _("Segmenting ..."),
            lambda: self.logic.startSegment(
                p.inputVolume,
                self.settings(),
                self.usedBoxes,
                self._segmented,
                self.run.failed,
                self.showProgress,
                p.outputSegmentation,
            ),
        )

    def runs(self, running: bool) -> None:
        """Boxes may be edited during a run, which has read them."""
        self.ui.proposeButton.enabled = not running and not self.whyNot()

    def _proposed(self, outcome: Outcome) -> None:
        self.kept.boxes = [*self.usedBoxes, *outcome.boxes]
        self.run.finished(outcome.message)

    def _segmented(self, outcome: Outcome) -> None:
        shown, p = outcome.objects or outcome.segmentation, self.kept
        if shown is not None:
            for previous in {p.result, outcome.segmentation} - {None, shown}:
                previous.SetDisplayVisibility(False)
            p.result = shown
        self.run.finished(outcome.message)
        self.forecast.askDevices()

    # ---- forecast ----

    def choices(self) -> Any:
        """What a forecast depends on: of the boxes, only how many there are."""
        return repr(self.settings()), len(self.usedBoxes)

    def askForecast(self, onDone: Callable[[dict[str, Any]], None], onFailed: OnFailed) -> None:
        """Asks what :meth:`apply` needs."""
        self.logic.startForecast(self.parameters.inputVolume, self.settings(), self.usedBoxes, onDone, onFailed)
