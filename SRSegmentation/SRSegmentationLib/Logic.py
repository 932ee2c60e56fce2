"""What the SRSegmentation module does, with nodes and plain values: for the panel, for scripts and for tests. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from HighResSegmentationLib.Jobs import Job, Jobs, OnFailed, OnProgress, sharedJobs
from HighResSegmentationLib.Requests import imageFields, jobOn, nodeID, nodeOf, requiredNode, waitFor
from SRSegmentationLib.ParameterNode import SRSegmentationParameterNode

if TYPE_CHECKING:
    from hrseg.worker.client import WorkerClient


@dataclass(frozen=True)
class Settings:
    """How to run.

    Attributes:
        model: path of the model file.
        device: "auto", "cpu", "cuda:0" ...
        inference: changes of the model's own settings.
        resolution: "input", or "fine" for a result finer than the image.
        superResolve: make the super-resolved image as well.
        guidanceCenter: RAS mm in the volume's frame, where the guidance crop is to lie; None: where it is found best.
        lesions: measure the lesions one by one.
    """

    model: str
    device: str = "auto"
    inference: Mapping[str, Any] = field(default_factory=dict)
    resolution: str = "input"
    superResolve: bool = False
    guidanceCenter: tuple[float, float, float] | None = None
    lesions: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What differs from the worker's own choice."""
        chosen: dict[str, Any] = {}
        if self.resolution != "input":
            chosen["resolution"] = self.resolution
        if self.superResolve:
            chosen["super_resolved"] = True
        if self.guidanceCenter is not None:
            chosen["guidance_center"] = list(self.guidanceCenter)
        return chosen


@dataclass(frozen=True)
class Targets:
    """Nodes that take what a run makes, instead of new ones.

    Attributes:
        segmentation: segments are added to it, and none that it has is touched.
        crop, superResolved, lesions: of an earlier run; they are overwritten.
    """

    segmentation: Any = None
    crop: Any = None
    superResolved: Any = None
    lesions: Any = None


@dataclass(frozen=True)
class Outcome:
    """What a run has made.

    Attributes:
        segmentation: None where nothing was found.
        segments: identifiers of its new segments, one per label.
        crop: ROI node of the guidance crop, where one was used.
        superResolved: volume node.
        lesions: table node.
        message: one or more sentences for the user.
    """

    segmentation: Any = None
    segments: Sequence[str] = ()
    crop: Any = None
    superResolved: Any = None
    lesions: Any = None
    message: str = ""


OnDone = Callable[[Outcome], None]


class SRSegmentationLogic(ScriptedLoadableModuleLogic):
    """Segments in the worker process.

    The ``start...`` methods return at once and need somebody who calls ``jobs.poll``; they tell the outcome, or an
    error whose text is for users. :meth:`segment` waits and raises that error.
    """

    def __init__(self, jobs: Jobs | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.jobs = jobs or sharedJobs()

    def getParameterNode(self) -> SRSegmentationParameterNode:
        """The choices kept in the scene."""
        return SRSegmentationParameterNode(super().getParameterNode())

    def segment(self, volume: Any, settings: Settings, targets: Targets = Targets()) -> Outcome:
        """See :meth:`startSegment`."""
        return waitFor(
            self.jobs, lambda done, failed: self.startSegment(volume, settings, done, failed, targets=targets)
        )

    def startSegment(
        self,
        volume: Any,
        settings: Settings,
        onDone: OnDone,
        onFailed: OnFailed,
        onProgress: OnProgress | None = None,
        targets: Targets = Targets(),
    ) -> None:
        """Segments the volume. Where nothing is found no segmentation is made.

        A crop that is dragged before the end stays where it is; the message then says where it was in the run.

        Raises:
            Busy: another job runs.
        """
        volumeID, segmentationID = nodeID(volume), nodeID(targets.segmentation)
        others = [nodeID(node) for node in (targets.crop, targets.superResolved, targets.lesions)]
        center = None if targets.crop is None else tuple(targets.crop.GetCenter())

        def build(client: WorkerClient) -> Any:
            from hrseg.worker.messages import SegmentRequest

            return SegmentRequest(**_asked(client, volumeID, settings))

        def use(result: dict[str, Any], volume: Any) -> None:
            from SRSegmentationLib.GuidanceCrop import belongsTo, liesElsewhere

            segmentation = requiredNode(segmentationID) if segmentationID else None
            nodes = Targets(segmentation, *map(nodeOf, others))
            moved = belongsTo(nodes.crop, volume, result["model"]["name"]) and liesElsewhere(nodes.crop, center)
            onDone(self._segmented(result, volume, settings, nodes, moved))

        self.jobs.start(jobOn(volumeID, build, use, onFailed, onProgress))

    def startForecast(
        self, volume: Any, settings: Settings, onDone: Callable[[dict[str, Any]], None], onFailed: OnFailed
    ) -> None:
        """Asks what :meth:`startSegment` would need: ``bytes``, ``free_bytes``, ``seconds`` or None, ``device``."""
        volumeID = nodeID(volume)

        def build(client: WorkerClient) -> Any:
            from hrseg.worker.messages import ForecastRequest

            return ForecastRequest(**_asked(client, volumeID, settings))

        self.jobs.start(Job(build, onDone, onFailed, background=True))

    def _segmented(
        self, result: dict[str, Any], volume: Any, settings: Settings, targets: Targets, moved: bool
    ) -> Outcome:
        labels = self.jobs.array(result["label_map"])
        # The image first: its file may be large, and its room is needed again.
        superResolved = self._superResolved(result, volume, targets.superResolved)
        segmentation, segments = None, []
        if labels.any():
            segmentation, segments = _addSegments(result, labels, volume, targets.segmentation)
        crop = _crop(result, volume, settings, targets.crop, moved)
        message = _message(result, volume, found=segmentation is not None)
        if moved and crop is not None:
            message += "\n" + _placeText(result["guidance"], volume)
        lesions = _lesions(result, volume, targets.lesions)
        return Outcome(segmentation, segments, crop, superResolved, lesions, message)

    def _superResolved(self, result: dict[str, Any], volume: Any, node: Any) -> Any:
        entry = result.get("super_resolved")
        if entry is None:
            return None
        from HighResSegmentationLib.ResultVolumes import volumeFromResult
        from HighResSegmentationLib.Segmentations import sign

        name = _("{name} super-resolved").format(name=volume.GetName())
        array = self.jobs.array(entry)
        node = volumeFromResult(array, entry["affine"], volume, name, node, sameGreys=True)
        sign(node, result, volume)
        return node


def _asked(client: WorkerClient, volumeID: str, settings: Settings) -> dict[str, Any]:
    return {
        "options": settings.options,
        "lesions": settings.lesions,
        **imageFields(client, nodeOf(volumeID), settings),
    }


def _addSegments(result: dict[str, Any], labels: Any, volume: Any, target: Any) -> tuple[Any, list[str]]:
    """The segmentation node, and the identifiers of its new segments."""
    from HighResSegmentationLib.Segmentations import addSegmentsTo, segmentationFromResult

    if target is not None:
        return target, addSegmentsTo(target, result, labels, volume)
    segmentation = segmentationFromResult(result, labels, volume)
    inside = segmentation.GetSegmentation()
    return segmentation, [inside.GetNthSegmentID(n) for n in range(inside.GetNumberOfSegments())]


def _crop(result: dict[str, Any], volume: Any, settings: Settings, node: Any, moved: bool) -> Any:
    crop = result.get("guidance")
    if crop is None:
        return None
    from SRSegmentationLib.GuidanceCrop import showResult

    given = settings.guidanceCenter is not None
    return showResult(crop, volume, result["model"]["name"], node, given, moved)


def _placeText(crop: Mapping[str, Any], volume: Any) -> str:
    """Where the crop was, of which the user does not see it any more."""
    center = [0.0, 0.0, 0.0]
    volume.TransformPointToWorld(crop["center"], center)
    text = _("For this result the guidance crop was at {place} (R, A, S in mm); press Apply to use it where it is now.")
    return text.format(place=", ".join(f"{value:.1f}" for value in center))


def _lesions(result: dict[str, Any], volume: Any, node: Any) -> Any:
    if result.get("lesions") is None:
        return None
    from HighResSegmentationLib.Segmentations import sign
    from SRSegmentationLib.Lesions import tableFromResult

    node = tableFromResult(result["lesions"], volume, node)
    sign(node, result, volume)
    return node


def _message(result: dict[str, Any], volume: Any, found: bool) -> str:
    text = _('"{name}" segmented in {seconds:.1f} s on {device}.')
    if not found:
        text = _('Nothing was found in "{name}", so no segment was made; check that the model suits the image.')
    seconds = result.get("seconds", {}).get("total", 0.0)
    text = text.format(name=volume.GetName(), seconds=seconds, device=result["device"])
    if found and result.get("lesions") is not None:
        text = _("{text} Lesions: {count}.").format(text=text, count=len(result["lesions"]))
    return "\n".join([text, *result.get("notices", [])])
