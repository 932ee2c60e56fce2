"""The panel of the OSSNet module: it shows the choices, asks the logic, and says what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib.Jobs import OnFailed
from HighResSegmentationLib.MethodPanel import MethodPanel
from hrseg.errors import Cancelled, HrsegError
from OSSNetLib.CloserPanel import CloserPanel
from OSSNetLib.Logic import OSSNetLogic, Outcome, Output, Settings
from OSSNetLib.Sampling import Sampling
from OSSNetLib.SliceFollower import SliceFollower

if TYPE_CHECKING:
    from HighResSegmentationLib.Models import ModelEntry

METHOD = "oss_net"
#: While a followed slice is under way, somebody looks for it this often.
_FOLLOW_MS = 10


class OSSNetPanel(MethodPanel):
    """Wires the widgets of ``OSSNet.ui``.

    Args:
        root: the loaded .ui.
        logic: does the work.
        icon: of the button that draws a region.
        listModels: the models to choose from.
        openSetup: shows where inference runs; calls what it is given when the user has changed that.
    """

    def __init__(
        self,
        root: qt.QWidget,
        logic: OSSNetLogic,
        icon: qt.QIcon,
        listModels: Callable[[], Sequence[ModelEntry]],
        openSetup: Callable[[Callable[[Any], None]], Any],
    ) -> None:
        #: What was encoded last, as far as is known: the worker may have forgotten it.
        self._encoded: Any = None
        MethodPanel.__init__(self, root, logic, listModels, openSetup)
        self.closer = CloserPanel(self.ui, icon, self.run.failed)
        self.follower = SliceFollower(logic.jobs, self._followSoon, self._followFailed)
        self._soon = qt.QTimer(root)
        self._soon.setInterval(_FOLLOW_MS)
        self._soon.connect("timeout()", self.tick)
        for output in Output:
            button = getattr(self.ui, f"{output.value}Button")
            button.connect("clicked()", self._maker(output))
        self.ui.followCheckBox.connect("toggled(bool)", self._followToggled)
        scene = slicer.mrmlScene
        for event in (scene.StartCloseEvent, scene.StartImportEvent):
            self.addObserver(scene, event, self._stopFollowing)

    def enter(self) -> None:
        """The module is shown."""
        MethodPanel.enter(self)
        if self.parameters.sliceView is None:
            self.parameters.sliceView = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceNode")

    def exit(self) -> None:
        """Another module is shown: nothing is followed any more."""
        self._stopFollowing()
        self.closer.forget()
        MethodPanel.exit(self)

    def leave(self) -> None:
        """Place mode is left."""
        self.closer.stop()

    # ---- choices ----

    def settings(self) -> Settings:
        """The choices as the logic takes them."""
        entry = self.models.entry
        assert entry is not None
        return Settings(str(entry.path), self.parameters.device)

    def choices(self) -> Any:
        """See :meth:`MethodPanel.choices`."""
        return self.settings().model, self.settings().device

    def applyTip(self) -> str:
        """What Apply does."""
        return _("Run the network once, and segment the whole volume at its own spacing.")

    def askForecast(self, onDone: Callable[[dict[str, Any]], None], onFailed: OnFailed) -> None:
        """What Apply needs."""
        self.logic.startForecast(self.parameters.inputVolume, self.settings(), onDone, onFailed)

    def showChoices(self) -> None:
        """Shows how the field is looked at, and whether there is one."""
        p, entry = self.parameters, self.models.entry
        self.closer.show(p, entry.labels if entry else ())
        self.ui.show3DButton.setSegmentationNode(p.result or p.part)
        encoded = self._encoded is not None and self._encoded == self._subject()
        self.ui.closerButton.enabled = encoded and not self.run.running
        self.ui.closerButton.toolTip = (
            _(
                "All of this is read from the field that Apply has made. The network runs again only where other work "
                "has taken the field's place in memory."
            )
            if encoded
            else _("Press Apply first.")
        )
        if not encoded:
            self._stopFollowing()
        elif self.follower.active:
            self._chooseFollowed()

    def runs(self, running: bool) -> None:
        """During a run nothing else can be asked for."""
        if self.parameters is not None:
            self.showChoices()

    def _subject(self) -> Any:
        """What a field belongs to; None where there can be none."""
        from HighResSegmentationLib.Volumes import volumeKey

        if self.whyNot():
            return None
        try:
            return volumeKey(self.parameters.inputVolume), *self.choices()
        except HrsegError:
            return None

    # ---- runs ----

    def apply(self) -> None:
        """Encodes the volume, and segments it at its own spacing."""
        p = self.parameters
        self._sample(_("Segmenting ..."), Sampling(), Output.segmentation, p.outputSegmentation)

    def make(self, output: Output) -> None:
        """Looks at the field as chosen."""
        self._sample(_("Looking closer ..."), self.closer.sampling(), output)

    def _maker(self, output: Output) -> Callable[[], None]:
        return lambda: self.make(output)

    def _sample(self, text: str, sampling: Sampling, output: Output, target: Any = None) -> None:
        subject, volume = self._subject(), self.parameters.inputVolume

        def done(outcome: Outcome) -> None:
            self._encoded = subject
            self._show(outcome, output, sampling.region is not None)

        self.start(
            text,
            lambda: self.logic.startSample(
                volume, self.settings(), sampling, output, done, self.run.failed, self.showProgress, target
            ),
        )

    def _show(self, outcome: Outcome, output: Output, isPart: bool) -> None:
        message, p = outcome.message, self.kept
        if output is Output.segmentation and outcome.node is not None:
            _take(p, outcome.node, isPart)
            if isPart and p.result is not None:
                text = _('It shows the region alone; "{name}" still shows the rest.')
                message += "\n" + text.format(name=p.result.GetName())
        self.run.finished(message)
        if self.parameters is not None:
            self.forecast.askDevices()

    # ---- following ----

    def tick(self) -> None:
        """One look at the worker."""
        self.logic.jobs.poll()
        if not self.follower.waiting:
            self._soon.stop()

    def _followToggled(self, on: bool) -> None:
        if not on:
            self._stopFollowing()
        elif not self.follower.active and self.parameters is not None:
            self._follow()

    def _follow(self) -> None:
        p = self.parameters
        sampling = self.closer.sampling()
        try:
            self.follower.choose(sampling.level, sampling.labels)
            covered = [node for node in (p.result, p.part) if node is not None]
            self.follower.start(p.sliceView, p.inputVolume, self.settings(), covered)
        except HrsegError as error:
            self._followEnded(error)

    def _chooseFollowed(self) -> None:
        """A level, a label or a view has perhaps been chosen."""
        if self.parameters.sliceView is not self.follower.sliceNode:
            self._follow()
        else:
            sampling = self.closer.sampling()
            self.follower.choose(sampling.level, sampling.labels)

    def _followSoon(self) -> None:
        self._soon.start()

    def _followFailed(self, error: Exception) -> None:
        """The worker did not answer; whatever the reason, what it remembers is not counted on any more."""
        self._encoded = None
        self.changed()
        self._followEnded(error)

    def _followEnded(self, error: Exception) -> None:
        self.ui.followCheckBox.checked = False
        # What the user waits for goes on.
        if not isinstance(error, Cancelled) and not self.run.running:
            self.run.failed(error)

    def _stopFollowing(self, caller: Any = None, event: Any = None) -> None:
        self.follower.stop()
        self.ui.followCheckBox.checked = False


def _take(p: Any, node: Any, isPart: bool) -> None:
    """A look at a region is shown beside the whole; one at the whole takes the place of all that was shown."""
    for replaced in (p.part,) if isPart else (p.part, p.result):
        if replaced is not None and replaced is not node:
            replaced.SetDisplayVisibility(False)
    if isPart:
        p.part = node
    else:
        p.part, p.result = None, node
