"""What the CropCascade module does, with nodes and plain values: for the panel, for scripts and for tests. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

import slicer
from CropCascadeLib.ParameterNode import CropCascadeParameterNode
from HighResSegmentationLib.Jobs import Job, Jobs, OnFailed, OnProgress, sharedJobs
from HighResSegmentationLib.Requests import imageFields, jobOn, nodeID, nodeOf, requiredNode, waitFor

if TYPE_CHECKING:
    from hrseg.worker.client import WorkerClient


@dataclass(frozen=True)
class Settings:
    """How to run.

    Attributes:
        model: path of the model file.
        device: "auto", "cpu", "cuda:0" ...
        inference: changes of the model's own settings, such as ``{"threshold": 0.3}``.
        addProposals: segment also what the model finds outside the boxes. Without boxes it always looks itself.
        instances: make one more segmentation with one segment per box.
    """

    model: str
    device: str = "auto"
    inference: Mapping[str, Any] = field(default_factory=dict)
    addProposals: bool = False
    instances: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run has made.

    Attributes:
        segmentation: with one segment per label of the model; None where nothing was found.
        objects: with one segment per box, if asked for.
        boxes: ROI nodes that were proposed.
        message: one or more sentences for the user.
    """

    segmentation: Any = None
    objects: Any = None
    boxes: Sequence[Any] = ()
    message: str = ""


OnDone = Callable[[Outcome], None]


class CropCascadeLogic(ScriptedLoadableModuleLogic):
    """Boxes proposed and segmented in the worker process.

    The ``start...`` methods return at once and need somebody who calls ``jobs.poll``; they tell the outcome, or an
    error whose text is for users. The others wait and raise that error.
    """

    def __init__(self, jobs: Jobs | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.jobs = jobs or sharedJobs()

    def getParameterNode(self) -> CropCascadeParameterNode:
        """The choices kept in the scene."""
        return CropCascadeParameterNode(super().getParameterNode())

    def proposeBoxes(self, volume: Any, settings: Settings, rois: Sequence[Any] = ()) -> list[Any]:
        """See :meth:`startPropose`. Returns the new ROI nodes."""
        return list(
            waitFor(self.jobs, lambda done, failed: self.startPropose(volume, settings, rois, done, failed)).boxes
        )

    def segment(self, volume: Any, settings: Settings, rois: Sequence[Any] = (), segmentation: Any = None) -> Outcome:
        """See :meth:`startSegment`."""
        return waitFor(
            self.jobs, lambda done, failed: self.startSegment(volume, settings, rois, done, failed, None, segmentation)
        )

    def startPropose(
        self,
        volume: Any,
        settings: Settings,
        rois: Sequence[Any],
        onDone: OnDone,
        onFailed: OnFailed,
        onProgress: OnProgress | None = None,
    ) -> None:
        """Looks for objects and makes a ROI node for each one. Of ``rois``, proposals that nobody has edited are
        replaced; where another one is, nothing is added.

        Raises:
            Busy: another job runs.
        """
        volumeID, roiIDs = nodeID(volume), [roi.GetID() for roi in rois]

        def build(client: WorkerClient) -> Any:
            from hrseg.worker.messages import ProposeRequest

            return ProposeRequest(**imageFields(client, nodeOf(volumeID), settings))

        def use(result: dict[str, Any], volume: Any) -> None:
            onDone(_proposed(result, volume, [roi for roi in map(nodeOf, roiIDs) if roi]))

        self.jobs.start(jobOn(volumeID, build, use, onFailed, onProgress))

    def startSegment(
        self,
        volume: Any,
        settings: Settings,
        rois: Sequence[Any],
        onDone: OnDone,
        onFailed: OnFailed,
        onProgress: OnProgress | None = None,
        segmentation: Any = None,
    ) -> None:
        """Segments the boxes, or, without any, what the model finds. The result is added to ``segmentation``, where it
        touches no segment, or becomes a new one; where nothing is found none is made.

        Raises:
            Busy: another job runs.
        """
        volumeID, roiIDs = nodeID(volume), [roi.GetID() for roi in rois]
        segmentationID = segmentation.GetID() if segmentation else None

        def build(client: WorkerClient) -> Any:
            from hrseg.worker.messages import SegmentRequest

            return SegmentRequest(**_asked(client, volumeID, settings, roiIDs))

        def use(result: dict[str, Any], volume: Any) -> None:
            target = requiredNode(segmentationID) if segmentationID else None
            onDone(self._segmented(result, volume, target))

        self.jobs.start(jobOn(volumeID, build, use, onFailed, onProgress))

    def startForecast(
        self,
        volume: Any,
        settings: Settings,
        rois: Sequence[Any],
        onDone: Callable[[dict[str, Any]], None],
        onFailed: OnFailed,
    ) -> None:
        """Asks what :meth:`startSegment` would need: ``bytes``, ``free_bytes``, ``seconds`` or None, ``device``."""
        volumeID, roiIDs = nodeID(volume), [roi.GetID() for roi in rois]

        def build(client: WorkerClient) -> Any:
            from hrseg.worker.messages import ForecastRequest

            return ForecastRequest(**_asked(client, volumeID, settings, roiIDs))

        self.jobs.start(Job(build, onDone, onFailed, background=True))

    def _segmented(self, result: dict[str, Any], volume: Any, target: Any) -> Outcome:
        from HighResSegmentationLib.Segmentations import addSegmentsTo, instancesFromResult, segmentationFromResult

        labels = self.jobs.array(result["label_map"])
        if not labels.any():
            return Outcome(message=_nothing(result, volume))
        if target is not None:
            addSegmentsTo(target, result, labels, volume)
        segmentation = target or segmentationFromResult(result, labels, volume)
        objects = None
        if result.get("instances"):
            objects = instancesFromResult(result, self.jobs.array(result["instances"]), volume)
        return Outcome(segmentation, objects, message=_summary(result, volume))


def _asked(client: WorkerClient, volumeID: str, settings: Settings, roiIDs: Sequence[str]) -> dict[str, Any]:
    """What requests about a segmentation have besides."""
    from CropCascadeLib.Proposals import untouched
    from HighResSegmentationLib.Boxes import boxFromRoi
    from hrseg.worker.messages import BoxEntry

    volume, rois = nodeOf(volumeID), [nodeOf(roiID) for roiID in roiIDs]
    boxes = [replace(boxFromRoi(roi, volume), proposed=untouched(roi)) for roi in rois]
    return {
        "boxes": tuple(map(BoxEntry.of, boxes)),
        "propose": settings.addProposals or not roiIDs,
        "instances": settings.instances,
        **imageFields(client, volume, settings),
    }


def _proposed(result: dict[str, Any], volume: Any, rois: Sequence[Any]) -> Outcome:
    from CropCascadeLib.Proposals import MOST, addProposals, untouched

    kept = [roi for roi in rois if not untouched(roi)]
    for roi in rois:
        if untouched(roi):
            slicer.mrmlScene.RemoveNode(roi)
    found = result["boxes"]
    new = addProposals(found, volume, kept)
    if not found:
        text = _('No object found in "{name}"; lower the threshold (Options) or draw a box.')
    elif len(new) == MOST:
        text = _("{found} objects found; the {new} largest have a box.")
    elif not new:
        text = _("All of the {found} objects found have a box already.")
    else:
        text = _("{new} boxes proposed; drag their handles, delete or add some, then press Apply.")
    return Outcome(boxes=new, message=text.format(name=volume.GetName(), found=len(found), new=len(new)))


def _summary(result: dict[str, Any], volume: Any) -> str:
    seconds = result.get("seconds", {}).get("total", 0.0)
    text = _('"{name}" segmented in {seconds:.1f} s on {device}; objects: {count}.').format(
        name=volume.GetName(), count=len(result["boxes"]), seconds=seconds, device=result["device"]
    )
    return "\n".join([text, *result.get("notices", [])])


def _nothing(result: dict[str, Any], volume: Any) -> str:
    if result["boxes"]:
        text = _('No object found in the boxes of "{name}", so no segment was made; check the boxes, or the model.')
    else:
        text = _('No object found in "{name}", so no segment was made; lower the threshold (Options) or draw a box.')
    return "\n".join([text.format(name=volume.GetName()), *result.get("notices", [])])
