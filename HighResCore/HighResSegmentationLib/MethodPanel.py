"""What the panels of all methods share: volume, model, device, set-up, forecast, run, and the life of a panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import qt
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

import slicer
from HighResSegmentationLib.DevicePanel import DevicePanel
from HighResSegmentationLib.ForecastPanel import ForecastPanel
from HighResSegmentationLib.Jobs import OnFailed
from HighResSegmentationLib.ModelPanel import ModelPanel
from HighResSegmentationLib.Models import defaultModel
from HighResSegmentationLib.RunPanel import RunPanel
from HighResSegmentationLib.Settings import readSetting, writeSetting

if TYPE_CHECKING:
    from HighResSegmentationLib.Models import ModelEntry


class MethodPanel(VTKObservationMixin):
    """Wires what the .ui of every method has: inputSelector, modelHolder, deviceComboBox, setupButton, inputsButton,
    forecastLabel and runHolder. The parameter node has inputVolume, model and device.

    Args:
        root: the loaded .ui.
        logic: of the module; has ``jobs`` and ``getParameterNode``.
        listModels: the models to choose from.
        openSetup: shows where inference runs; calls what it is given when the user has changed that.
    """

    def __init__(
        self,
        root: qt.QWidget,
        logic: Any,
        listModels: Callable[[], Sequence[ModelEntry]],
        openSetup: Callable[[Callable[[Any], None]], Any],
    ) -> None:
        VTKObservationMixin.__init__(self)
        self.ui = slicer.util.childWidgetVariables(root)
        self.logic = logic
        self.parameters: Any = None
        self._guiTag: Any = None
        self._entered = False
        #: The model that was chosen before there was an image to choose it for, until the user chooses one.
        self._preliminary = ""
        #: A volume chosen before it had an image, and the tag of its observer, until the scene changes or the module is
        #: left; the mixin would hold it, and its image, until Slicer ends.
        self._empty: tuple[Any, int] | None = None
        self._openSetup = openSetup
        root.setMRMLScene(slicer.mrmlScene)
        self.models = ModelPanel(self.ui.modelHolder, listModels, self._modelChosen)
        self.devices = DevicePanel(self.ui.deviceComboBox, self._deviceChosen)
        self.run = RunPanel(self.ui.runHolder, logic.jobs, self.apply, self._runs)
        self.forecast = ForecastPanel(
            self.ui.forecastLabel, self.devices, logic.jobs, self._forecastChoices, self.askForecast, self.run.watch
        )
        self.ui.setupButton.connect("clicked()", self._setUp)
        scene = slicer.mrmlScene
        # While a scene is imported, selectors lose their nodes and choose others, which must not become the choices.
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self._sceneChanges)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._sceneIsThere)

    # ---- what a method says ----

    def apply(self) -> None:
        """Runs what the user has chosen; calls :meth:`start`."""
        raise NotImplementedError

    def applyTip(self) -> str:
        """What Apply does."""
        raise NotImplementedError

    def showChoices(self) -> None:
        """Shows the choices in widgets that are not bound to them by name."""

    def choices(self) -> Any:
        """What a forecast depends on besides the volume."""
        raise NotImplementedError

    def askForecast(self, onDone: Callable[[dict[str, Any]], None], onFailed: OnFailed) -> None:
        """Asks the worker what a run needs."""
        raise NotImplementedError

    def modelChosen(self) -> None:
        """The user has chosen another model."""

    def runs(self, running: bool) -> None:
        """A run begins or ends."""

    def leave(self) -> None:
        """The panel is left, or the scene changes: what waits for the user's next click is ended."""

    # ---- life ----

    def enter(self) -> None:
        """The module is shown: the models there are now, the choices of the scene, the devices, a forecast."""
        self._entered = True
        self.models.refresh("")
        self._setParameters(self.logic.getParameterNode())
        if self.parameters.inputVolume is None:
            self.parameters.inputVolume = self._firstVolume()
        if not self.parameters.model:
            self._chooseDefault()
        self.forecast.askDevices()

    def exit(self) -> None:
        """Another module is shown: the panel follows the scene no more. A run goes on."""
        self._entered = False
        self.leave()
        self.forecast.stop()
        self._setParameters(None)

    def cleanup(self) -> None:
        """The module goes away."""
        self.exit()
        self.run.cleanup()
        self.removeObservers()

    def _sceneIsThere(self, caller: Any, event: Any) -> None:
        if self._entered:
            self.enter()

    def _sceneChanges(self, caller: Any, event: Any) -> None:
        self.leave()
        self.forecast.stop()
        self._setParameters(None)

    def _setParameters(self, parameters: Any) -> None:
        self._forgetEmpty()
        if self.parameters is not None:
            self.parameters.disconnectGui(self._guiTag)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.changed)
        self.parameters = parameters
        if parameters is not None:
            # Its shorter form, connectGui, returns no tag before Slicer 5.10, so that nothing could be disconnected.
            self._guiTag = parameters.connectParametersToGui(self._boundWidgets())
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.changed)
            self.changed()

    def _boundWidgets(self) -> dict[str, Any]:
        """The widgets that the .ui binds to a field of the parameter node, by the field's name."""
        bound = {widget.property("SlicerParameterName"): widget for widget in vars(self.ui).values()}
        return {name: widget for name, widget in bound.items() if name}

    def _firstVolume(self) -> Any:
        """The first volume that the selector offers: label maps, which are scalar volumes too, are none."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        offered = self.ui.inputSelector.nodeTypes
        return next((n for n in nodes if n.GetClassName() in offered and not n.GetHideFromEditors()), None)

    # ---- choices ----

    @property
    def kept(self) -> Any:
        """The choices in the scene: while another module is shown the panel has no parameters, but a run may end."""
        return self.parameters or self.logic.getParameterNode()

    def changed(self, caller: Any = None, event: Any = None) -> None:
        """Shows the choices, what is missing, and what they need."""
        p = self.parameters
        if p is None:
            return
        if self._preliminary and p.model == self._preliminary and p.inputVolume is not None:
            self._chooseDefault()
        self.models.choose(p.model)
        self.devices.choose(p.device)
        self.showChoices()
        self.run.setReady(self.whyNot(), self.applyTip())
        self.forecast.changed()

    def whyNot(self) -> str:
        """Why nothing can be run, for the user; "" if it can."""
        if self.parameters is None or self.parameters.inputVolume is None:
            return _("Choose the volume to segment.")
        entry = self.models.entry
        if entry is None:
            return _("Choose a model.")
        return entry.problem

    def _chooseDefault(self) -> None:
        volume = self.parameters.inputVolume
        entry = defaultModel(self.models.entries, volume, readSetting(self._lastModelKey))
        if entry is None:
            return
        self._modelChosen(entry.name)
        # The selector chooses a node as soon as it is in the scene, which may be before it has voxels.
        if volume is None or volume.GetImageData() is None:
            self._preliminary = entry.name
            if volume is not None:
                self._forgetEmpty()
                self._empty = volume, volume.AddObserver(volume.ImageDataModifiedEvent, self.changed)

    @property
    def _lastModelKey(self) -> str:
        """Under which the settings hold the model that this panel ran last."""
        return f"{type(self).__name__}/LastModel"

    def _modelChosen(self, name: str) -> None:
        self._preliminary = ""
        self.parameters.model = name
        self.modelChosen()

    def _forgetEmpty(self) -> None:
        if self._empty is not None:
            volume, tag = self._empty
            volume.RemoveObserver(tag)
            self._empty = None

    def _deviceChosen(self, name: str) -> None:
        self.parameters.device = name

    # ---- runs ----

    def start(self, text: str, start: Callable[[], None]) -> None:
        """Starts a run that the user waits for; what ``start`` raises is its end."""
        self.leave()
        self.forecast.stop()
        writeSetting(self._lastModelKey, self.parameters.model)
        self.run.started(text)
        try:
            start()
        except Exception as error:
            self.logic.jobs.writeError(error)
            self.run.failed(error)

    def showProgress(self, stage: str, done: int, total: int, seconds: float) -> None:
        """Shows how far the run is."""
        self.run.progress(stageTitle(stage), done, total, seconds)

    def _runs(self, running: bool) -> None:
        """What is segmented, and by what, stays in view during a run."""
        self.ui.inputsButton.enabled = not running
        self.runs(running)

    # ---- around ----

    def _forecastChoices(self) -> Any:
        if self.whyNot():
            return None
        volume = self.parameters.inputVolume
        return volume.GetID(), volume.GetMTime(), self.choices()

    def _setUp(self) -> None:
        self._openSetup(self._setUpChanged)

    def _setUpChanged(self, report: Any) -> None:
        self.logic.jobs.renew()
        if self.parameters is not None:
            self.models.refresh(self.parameters.model)
            self.forecast.askDevices()


def stageTitle(stage: str) -> str:
    """A stage of the worker as users read it."""
    titles = {
        "loading": _("Loading model and image"),
        "preparing": _("Preparing the image"),
        "coarse": _("Looking at the whole image"),
        "boxes": _("Finding objects"),
        "crops": _("Segmenting boxes"),
        "joining": _("Joining the boxes"),
        "guidance": _("Looking for the guidance crop"),
        "inference": _("Segmenting"),
        "super-resolution": _("Making the super-resolved image"),
        "lesions": _("Measuring lesions"),
        "encoding": _("Encoding the image"),
        "field": _("Looking at the field"),
        "probability": _("Looking at the field"),
        "surface": _("Making the surface"),
        "saving": _("Handing over the result"),
    }
    return titles.get(stage, stage)
