"""The panel of the CropCascade module: it shows the choices, asks the logic, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import qt
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

import slicer
from CropCascadeLib import Inference
from CropCascadeLib.BoxTable import BoxTable
from CropCascadeLib.Drawing import Drawing
from CropCascadeLib.Logic import CropCascadeLogic, Outcome, Settings
from CropCascadeLib.ParameterNode import Merge
from HighResSegmentationLib.DevicePanel import DevicePanel
from HighResSegmentationLib.ForecastPanel import ForecastPanel
from HighResSegmentationLib.Jobs import OnFailed
from HighResSegmentationLib.ModelPanel import ModelPanel
from HighResSegmentationLib.RunPanel import RunPanel
from hrseg.errors import HrsegError
from hrseg.model_header import read_header

if TYPE_CHECKING:
    from HighResSegmentationLib.Models import ModelEntry

METHOD = "crop_cascade"


class CropCascadePanel(VTKObservationMixin):
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
        VTKObservationMixin.__init__(self)
        self.ui = slicer.util.childWidgetVariables(root)
        self.logic = logic
        self.parameters: Any = None
        self._guiTag: Any = None
        self._entered = False
        root.setMRMLScene(slicer.mrmlScene)
        self.models = ModelPanel(self.ui.modelHolder, listModels, self._modelChosen)
        self.devices = DevicePanel(self.ui.deviceComboBox, self._deviceChosen)
        self.drawing = Drawing(self._drawn)
        self.boxes = BoxTable(self.ui.boxTable, icon, self._boxesUsed, self._changed)
        self.run = RunPanel(self.ui.runHolder, logic.jobs, self.apply, self._runs)
        self.forecast = ForecastPanel(
            self.ui.forecastLabel, self.devices, logic.jobs, self._forecastChoices, self._askForecast, self.run.watch
        )
        self._openSetup = openSetup
        self.ui.proposeButton.connect("clicked()", self.propose)
        self.ui.drawButton.connect("clicked()", self.toggleDrawing)
        self.ui.setupButton.connect("clicked()", self._setUp)
        self.ui.modelValuesButton.connect("clicked()", self._takeModelValues)
        for name in ("proposeButton", "drawButton"):
            getattr(self.ui, name).setIcon(icon(name.removesuffix("Button").capitalize()))
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._sceneCloses)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._sceneIsThere)

    # ---- life ----

    def enter(self) -> None:
        """The module is shown: the choices of the scene, the devices, a forecast."""
        self._entered = True
        self._setParameters(self.logic.getParameterNode())
        if self.parameters.inputVolume is None:
            self.parameters.inputVolume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        if not self.parameters.model:
            usable = [entry for entry in self.models.entries if not entry.problem]
            if usable:
                self._modelChosen(usable[0].name)
        self.forecast.askDevices()

    def exit(self) -> None:
        """Another module is shown: place mode is left, and the panel follows the scene no more. A run goes on."""
        self._entered = False
        self.drawing.stop()
        self.forecast.stop()
        self._setParameters(None)

    def cleanup(self) -> None:
        """The module goes away."""
        self.exit()
        self.run.cleanup()
        self.boxes.cleanup()
        self.removeObservers()

    def _sceneIsThere(self, caller: Any, event: Any) -> None:
        if self._entered:
            self.enter()

    def _sceneCloses(self, caller: Any, event: Any) -> None:
        self.drawing.stop()
        self.forecast.stop()
        self._setParameters(None)

    def _setParameters(self, parameters: Any) -> None:
        if self.parameters is not None:
            self.parameters.disconnectGui(self._guiTag)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._changed)
        self.parameters = parameters
        if parameters is not None:
            self._guiTag = parameters.connectGui(self.ui)
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._changed)
            self._changed()

    # ---- choices ----

    @property
    def usedBoxes(self) -> list[Any]:
        """The boxes that are ticked."""
        return [roi for roi in self.parameters.boxes if roi is not None]

    def settings(self) -> Settings:
        """The choices as the logic takes them."""
        p, entry = self.parameters, self.models.entry
        assert entry is not None
        inference = Inference.changes(read_header(entry.path), p.context, p.threshold, p.merge.value)
        return Settings(str(entry.path), p.device, inference, p.addProposals, p.instances)

    def _changed(self, caller: Any = None, event: Any = None) -> None:
        """Shows the choices where widgets are not bound to them by name, and what is missing."""
        p = self.parameters
        if p is None:
            return
        self.models.choose(p.model)
        self.devices.choose(p.device)
        self.boxes.setUsed(self.usedBoxes)
        self.ui.addProposalsCheckBox.enabled = bool(self.usedBoxes)
        self.ui.show3DButton.setSegmentationNode(p.result)
        reason = self._whyNot()
        self.ui.proposeButton.enabled = not reason and not self.run.running
        self.ui.modelValuesButton.enabled = not reason
        self.ui.drawButton.enabled = p.inputVolume is not None
        self.run.setReady(reason, _("Segment the ticked boxes; without any, look for objects in the whole volume."))
        self.forecast.changed()

    def _whyNot(self) -> str:
        """Why nothing can be run, for the user; "" if it can."""
        if self.parameters is None or self.parameters.inputVolume is None:
            return _("Choose the volume to segment.")
        entry = self.models.entry
        if entry is None:
            return _("Choose a model.")
        return entry.problem

    def _modelChosen(self, name: str) -> None:
        self.parameters.model = name
        self._takeModelValues()

    def _takeModelValues(self) -> None:
        entry, p = self.models.entry, self.parameters
        if entry is not None and not entry.problem:
            own = Inference.settingsOf(read_header(entry.path))
            with slicer.util.NodeModify(p.parameterNode):
                p.context, p.threshold = 100 * own["context"], own["threshold"]
                p.merge = Merge[own["merge"]]

    def _deviceChosen(self, name: str) -> None:
        self.parameters.device = name

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
        self._start(
            _("Looking for objects ..."),
            lambda: self.logic.startPropose(
                p.inputVolume, self.settings(), self.usedBoxes, self._proposed, self.run.failed, self._progress
            ),
        )

    def apply(self) -> None:
        """Segments."""
        p = self.parameters
        self._start(
            _("Segmenting ..."),
            lambda: self.logic.startSegment(
                p.inputVolume,
                self.settings(),
                self.usedBoxes,
                self._segmented,
                self.run.failed,
                self._progress,
                p.outputSegmentation,
            ),
        )

    def _start(self, text: str, start: Callable[[], None]) -> None:
        self.drawing.stop()
        self.forecast.stop()
        self.run.started(text)
        try:
            start()
        except HrsegError as error:
            self.run.failed(error)

    def _runs(self, running: bool) -> None:
        """Boxes may be edited during a run, which has read them; what is segmented, and by what, stays in view."""
        self.ui.inputsButton.enabled = not running
        self.ui.proposeButton.enabled = not running and not self._whyNot()

    def _progress(self, stage: str, done: int, total: int, seconds: float) -> None:
        self.run.progress(_stageTitle(stage), done, total, seconds)

    def _proposed(self, outcome: Outcome) -> None:
        if self.parameters is not None:
            self.parameters.boxes = [*self.usedBoxes, *outcome.boxes]
        self.run.finished(outcome.message)

    def _segmented(self, outcome: Outcome) -> None:
        shown = outcome.objects or outcome.segmentation
        if shown is not None and self.parameters is not None:
            for previous in {self.parameters.result, outcome.segmentation} - {None, shown}:
                previous.SetDisplayVisibility(False)
            self.parameters.result = shown
        self.run.finished(outcome.message)
        self.forecast.askDevices()

    # ---- around ----

    def _forecastChoices(self) -> Any:
        """What a forecast depends on: of the boxes, only how many there are."""
        if self._whyNot():
            return None
        volume = self.parameters.inputVolume
        return volume.GetID(), volume.GetMTime(), repr(self.settings()), len(self.usedBoxes)

    def _askForecast(self, onDone: Callable[[dict[str, Any]], None], onFailed: OnFailed) -> None:
        self.logic.startForecast(self.parameters.inputVolume, self.settings(), self.usedBoxes, onDone, onFailed)

    def _setUp(self) -> None:
        self._openSetup(self._setUpChanged)

    def _setUpChanged(self, report: Any) -> None:
        self.logic.jobs.renew()
        if self.parameters is not None:
            self.models.refresh(self.parameters.model)
            self.forecast.askDevices()


def _stageTitle(stage: str) -> str:
    titles = {
        "loading": _("Loading model and image"),
        "preparing": _("Preparing the image"),
        "coarse": _("Looking at the whole image"),
        "boxes": _("Finding objects"),
        "crops": _("Segmenting boxes"),
        "joining": _("Joining the boxes"),
        "saving": _("Handing over the result"),
    }
    return titles.get(stage, stage)
