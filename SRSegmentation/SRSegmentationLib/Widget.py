"""The panel of the SRSegmentation module: it shows the choices, asks the logic, and says what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib.Frames import sourceOf
from HighResSegmentationLib.Jobs import OnFailed
from HighResSegmentationLib.MethodPanel import MethodPanel
from HighResSegmentationLib.Requests import waitCursor
from hrseg.errors import HrsegError, InputError
from hrseg.model_header import read_header
from SRSegmentationLib import Comparison, GuidanceCrop
from SRSegmentationLib.CropPanel import CropPanel
from SRSegmentationLib.LesionPanel import LesionPanel
from SRSegmentationLib.Lesions import unitOf
from SRSegmentationLib.Logic import Outcome, Settings, SRSegmentationLogic, Targets
from SRSegmentationLib.ModelFacts import ModelFacts
from SRSegmentationLib.ParameterNode import Resolution

if TYPE_CHECKING:
    from HighResSegmentationLib.Models import ModelEntry


class SRSegmentationPanel(MethodPanel):
    """Wires the widgets of ``SRSegmentation.ui``; see :class:`MethodPanel`."""

    def __init__(
        self,
        root: qt.QWidget,
        logic: SRSegmentationLogic,
        listModels: Callable[[], Sequence[ModelEntry]],
        openSetup: Callable[[Callable[[Any], None]], Any],
    ) -> None:
        MethodPanel.__init__(self, root, logic, listModels, openSetup)
        self.crop = CropPanel(self.ui, self.changed, self.showDifference)
        self.lesions = LesionPanel(self.ui.lesionTable)
        self.ui.sideBySideButton.connect("clicked()", self.showSideBySide)
        self._facts: tuple[Any, ModelFacts | None] = (None, None)

    def cleanup(self) -> None:
        """The module goes away."""
        MethodPanel.cleanup(self)
        self.crop.cleanup()

    # ---- choices ----

    @property
    def facts(self) -> ModelFacts | None:
        """What the chosen model can do."""
        entry = self.models.entry
        if entry is None or entry.problem:
            return None
        if self._facts[0] is not entry:
            self._facts = entry, _factsOf(entry)
        return self._facts[1]

    def whyNot(self) -> str:
        """Why nothing can be run, for the user; "" if it can."""
        reason = MethodPanel.whyNot(self)
        if not reason and self.facts is None:
            return _('The settings of the model "{name}" are damaged; get its file again.').format(
                name=self.models.entry.name
            )
        return reason

    @property
    def resolution(self) -> str:
        """Of the result: the user's choice where the model offers one."""
        fine = self.facts is not None and self.facts.makesFiner and self.parameters.resolution is Resolution.fine
        return "fine" if fine else "input"

    def settings(self) -> Settings:
        """The choices as the logic takes them.

        Raises:
            InputError: a crop under a nonlinear transform.
        """
        p, entry, facts = self.parameters, self.models.entry, self.facts
        assert entry is not None
        assert facts is not None
        center = None
        if not self._whyNoCrop() and self._ownCrop() is not None and GuidanceCrop.isMoved(p.crop):
            center = GuidanceCrop.centerOf(p.crop, p.inputVolume)
        return Settings(
            str(entry.path),
            p.device,
            resolution=self.resolution,
            superResolve=p.superResolve and facts.superResolves,
            guidanceCenter=center,
            lesions=facts.findsLesions,
        )

    def showChoices(self) -> None:
        """Shows what the model offers, the crop, the lesions and the results."""
        p, facts = self.parameters, self.facts
        self.ui.methodLabel.text = facts.title if facts else ""
        self.ui.resolutionComboBox.enabled = facts is not None and facts.makesFiner
        self.ui.resolutionComboBox.toolTip = _RESOLUTION_TIP if facts is None or facts.makesFiner else _NOT_FINER
        self.ui.sizeLabel.text = self._sizeText()
        self.ui.superResolveCheckBox.enabled = facts is not None and facts.superResolves
        self.ui.superResolveCheckBox.toolTip = _SHARP_TIP if facts is None or facts.superResolves else _NOT_SHARPER
        self.ui.sideBySideButton.enabled = p.superResolved is not None and p.inputVolume is not None
        self.ui.cropButton.setVisible(facts is None or facts.method == "pfseg")
        self.ui.lesionsButton.setVisible(facts is not None and facts.findsLesions)
        self.crop.show(self._ownCrop(), self._whyNoCrop(), p.showCrop)
        if p.crop is not self._ownCrop():
            GuidanceCrop.show(p.crop, False)
        self.lesions.show(_madeOf(p.inputVolume, p.lesions))
        self.ui.show3DButton.setSegmentationNode(p.result)

    def applyTip(self) -> str:
        """What Apply does."""
        return _("Segment the whole image.")

    def choices(self) -> Any:
        """What a forecast depends on: not on where the crop is."""
        p = self.parameters
        return p.model, p.device, self.resolution, p.superResolve

    def askForecast(self, onDone: Callable[[dict[str, Any]], None], onFailed: OnFailed) -> None:
        """Asks what :meth:`apply` needs."""
        try:
            settings = self.settings()
        except InputError as error:
            onFailed(error)
        else:
            self.logic.startForecast(self.parameters.inputVolume, settings, onDone, onFailed)

    def _ownCrop(self) -> Any:
        """The crop, where it was found by this model in this volume."""
        p = self.parameters
        return p.crop if GuidanceCrop.belongsTo(p.crop, p.inputVolume, p.model) else None

    def _whyNoCrop(self) -> str:
        """Why no guidance crop is used; "" where one is."""
        facts = self.facts
        if facts is None:
            return _("Choose a model that uses a guidance crop.")
        if not facts.usesCrop:
            return _("This model uses no guidance crop.")
        if self.resolution == "fine":
            return _("A result finer than the image uses no guidance crop: nothing sharper exists to be looked at.")
        return ""

    def _sizeText(self) -> str:
        """Voxels and spacing of the result."""
        p, facts = self.parameters, self.facts
        if p.inputVolume is None or facts is None:
            return ""
        from HighResSegmentationLib.Volumes import gridOfVolume

        try:
            grid = gridOfVolume(p.inputVolume)
        except InputError:
            return ""
        grid = facts.finer(grid) if self.resolution == "fine" else grid
        sides = " x ".join(str(n) for n in reversed(grid.shape))
        if unitOf(p.inputVolume) == "pixels":
            return _("{sides} pixels").format(sides=sides.removesuffix(" x 1"))
        return _("{sides} voxels of {spacing} mm").format(
            sides=sides, spacing=" x ".join(f"{s:.3g}" for s in reversed(grid.spacing))
        )

    # ---- runs ----

    def apply(self) -> None:
        """Segments."""
        p, volume, way = self.parameters, self.parameters.inputVolume, f"{self.parameters.model} {self.resolution}"
        # What was made of another volume stays.
        targets = Targets(p.outputSegmentation, p.crop, *(_madeOf(volume, n) for n in (p.superResolved, p.lesions)))
        self.start(
            _("Segmenting ..."),
            lambda: self.logic.startSegment(
                volume,
                self.settings(),
                lambda outcome: self._segmented(outcome, volume, way),
                self.run.failed,
                self.showProgress,
                targets,
            ),
        )

    def runs(self, running: bool) -> None:
        """The crop may be dragged during a run, which has read it; the resolution belongs to what is being made."""
        self.ui.resultButton.enabled = not running

    def showSideBySide(self) -> None:
        """Shows the image and the super-resolved one beside each other."""
        from HighResSegmentationLib.Views import showSideBySide

        showSideBySide(self.parameters.inputVolume, self.parameters.superResolved)

    def showDifference(self) -> None:
        """Makes a segmentation that shows where the last two results differ."""
        p = self.parameters
        earlier, now = _compared(p)
        if p.resultVolume is None or not (p.comparable and earlier.isThere and now.isThere):
            self.run.failed(InputError(_("One of the two results was deleted; press Apply again to compare.")))
            return
        with waitCursor():
            node = Comparison.differenceSegmentation(earlier, now, p.resultVolume)
        self.run.finished(_('The difference is in the segmentation "{name}".').format(name=node.GetName()))

    def _segmented(self, outcome: Outcome, volume: Any, way: str) -> None:
        self._keep(outcome, volume, way)
        self.run.finished(outcome.message)
        self.forecast.askDevices()

    def _keep(self, outcome: Outcome, volume: Any, way: str) -> None:
        """Notes what the run has made, hides what it replaces, and says what has changed.

        Results are comparable where only the guidance crop can differ: of one volume, made in the same ``way``.
        """
        p = self.kept
        replaced, comparable = p.result, p.resultVolume is volume and p.resultOf == way
        with slicer.util.NodeModify(p.parameterNode):
            p.comparable = comparable
            p.earlier, p.earlierSegments = (p.result, p.resultSegments) if comparable else (None, "")
            p.result, p.resultSegments = outcome.segmentation, ",".join(outcome.segments)
            p.resultVolume, p.resultOf = volume, way
            p.crop = outcome.crop or p.crop
            p.superResolved = outcome.superResolved or p.superResolved
            p.lesions = outcome.lesions or p.lesions
        if replaced is not None and replaced is not p.result:
            replaced.SetDisplayVisibility(False)
        self._showChanges(p)
        if outcome.superResolved is not None and self.parameters is not None:
            self.showSideBySide()

    def _showChanges(self, p: Any) -> None:
        earlier, now = _compared(p)
        there = p.comparable and earlier.isThere and now.isThere
        with waitCursor():
            found = Comparison.changes(earlier, now, p.resultVolume) if there else []
        spacing = p.resultVolume.GetSpacing()
        flat = p.resultVolume.GetImageData().GetDimensions()[2] == 1
        self.crop.showChanges(found, math.prod(spacing[: 2 if flat else 3]), "mm2" if flat else "mm3")


def _madeOf(volume: Any, node: Any) -> Any:
    """The node, if it was made of this volume."""
    return node if node is not None and volume is not None and sourceOf(node) is volume else None


def _compared(p: Any) -> tuple[Comparison.Result, Comparison.Result]:
    """The result before the last one, and the last one."""
    return (
        Comparison.Result(p.earlier, _identifiers(p.earlierSegments)),
        Comparison.Result(p.result, _identifiers(p.resultSegments)),
    )


def _factsOf(entry: ModelEntry) -> ModelFacts | None:
    """None where the header is not as it should be: only the worker checks it in full."""
    try:
        return ModelFacts.of(read_header(entry.path))
    except (HrsegError, LookupError, TypeError, ValueError, AttributeError):
        return None


def _identifiers(text: str) -> list[str]:
    return text.split(",") if text else []


_RESOLUTION_TIP = _(
    "As the image: the mask has the image's voxels. Finer: the voxels are split, and the mask shows detail that the "
    "network has learned to restore."
)
_NOT_FINER = _("This model makes no results finer than the image.")
_SHARP_TIP = _(
    "Also make the image sharper, as a new volume that is shown beside the input. It takes longer; the next run on the "
    "same image replaces it. For looking at: its detail is learned, not measured."
)
_NOT_SHARPER = _("This model was made without the part that sharpens images.")
