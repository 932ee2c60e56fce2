"""What the OSSNet module does, with nodes and plain values: for the panel, for scripts and for tests. No Qt."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from HighResSegmentationLib.Jobs import Job, Jobs, OnFailed, OnProgress, sharedJobs
from HighResSegmentationLib.Requests import imageFields, jobOn, nodeID, nodeOf, requiredNode, waitFor
from OSSNetLib.ParameterNode import OSSNetParameterNode
from OSSNetLib.Sampling import Sampling, gridOf, spacingText

if TYPE_CHECKING:
    from hrseg.worker.client import WorkerClient


@dataclass(frozen=True)
class Settings:
    """How to run.

    Attributes:
        model: path of the model file.
        device: "auto", "cpu", "cuda:0" ...
        inference: changes of the model's own settings.
    """

    model: str
    device: str = "auto"
    inference: Mapping[str, Any] = field(default_factory=dict)


class Output(enum.Enum):
    """What a field can be looked at as."""

    segmentation = "segmentation"
    labelMap = "labelMap"
    probability = "probability"
    surface = "surface"


@dataclass(frozen=True)
class Outcome:
    """What a run has made.

    Attributes:
        nodes: one segmentation or label map, or one volume or model per label; empty where nothing was found.
        message: one or more sentences for the user.
    """

    nodes: Sequence[Any] = ()
    message: str = ""

    @property
    def node(self) -> Any:
        """The first node; None where there is none."""
        return self.nodes[0] if self.nodes else None


OnDone = Callable[[Outcome], None]


class OSSNetLogic(ScriptedLoadableModuleLogic):
    """Encodes a volume in the worker process, once, and reads from the field what is asked for.

    The ``start...`` methods return at once and need somebody who calls ``jobs.poll``; they tell the outcome, or an
    error whose text is for users. :meth:`sample` waits and raises that error.
    """

    def __init__(self, jobs: Jobs | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.jobs = jobs or sharedJobs()

    def getParameterNode(self) -> OSSNetParameterNode:
        """The choices kept in the scene."""
        return OSSNetParameterNode(super().getParameterNode())

    def sample(
        self,
        volume: Any,
        settings: Settings,
        sampling: Sampling = Sampling(),  # noqa: B008 -- frozen
        output: Output = Output.segmentation,
        segmentation: Any = None,
    ) -> Outcome:
        """See :meth:`startSample`."""
        return waitFor(
            self.jobs,
            lambda done, failed: self.startSample(
                volume, settings, sampling, output, done, failed, segmentation=segmentation
            ),
        )

    def startSample(
        self,
        volume: Any,
        settings: Settings,
        sampling: Sampling,
        output: Output,
        onDone: OnDone,
        onFailed: OnFailed,
        onProgress: OnProgress | None = None,
        segmentation: Any = None,
    ) -> None:
        """Looks at the field of the volume, which is encoded first where that was not the last thing encoded.

        A segmentation is added to ``segmentation``, where it touches no segment, or becomes a new one; where nothing is
        found, only a probability is made.

        Raises:
            Busy: another job runs.
        """
        volumeID, regionID, segmentationID = nodeID(volume), nodeID(sampling.region), nodeID(segmentation)
        part = "" if sampling.region is None else sampling.region.GetName()

        def build(client: WorkerClient) -> Any:
            return _request(client, nodeOf(volumeID), settings, sampling, nodeOf(regionID), output)

        def use(result: dict[str, Any], volume: Any) -> None:
            target = requiredNode(segmentationID) if segmentationID else None
            onDone(self._made(result, volume, output, target, part))

        self.jobs.start(jobOn(volumeID, build, use, onFailed, onProgress))

    def startForecast(
        self, volume: Any, settings: Settings, onDone: Callable[[dict[str, Any]], None], onFailed: OnFailed
    ) -> None:
        """Asks what encoding and a look at the input's spacing need: ``bytes``, ``free_bytes``, ``seconds`` or None,
        ``device``."""
        volumeID = nodeID(volume)

        def build(client: WorkerClient) -> Any:
            from hrseg.worker.messages import ForecastRequest

            return ForecastRequest(**imageFields(client, nodeOf(volumeID), settings))

        self.jobs.start(Job(build, onDone, onFailed, background=True))

    def _made(self, result: dict[str, Any], volume: Any, output: Output, target: Any, part: str) -> Outcome:
        nodes = self._nodes(result, volume, output, target, part)
        return Outcome(nodes, _summary(result, volume, nodes))

    def _nodes(self, result: dict[str, Any], volume: Any, output: Output, target: Any, part: str) -> list[Any]:
        from HighResSegmentationLib.Segmentations import addSegmentsTo, segmentationFromResult
        from OSSNetLib.Outputs import labelVolume, probabilityVolumes, surfaceModels

        if output is Output.surface:
            return surfaceModels(result, self.jobs.array, volume)
        if output is Output.probability:
            return probabilityVolumes(result, self.jobs.array(result["probability"]), volume)
        array = self.jobs.array(result["label_map"])
        if not array.any():
            return []
        where = ", ".join(filter(None, [spacingText(_gridOfResult(result, array.shape)), part]))
        if output is Output.labelMap:
            name = _("{volume} labels {where}").format(volume=volume.GetName(), where=where)
            return [labelVolume(result, array, volume, name)]
        if target is not None:
            addSegmentsTo(target, result, array, volume)
            return [target]
        name = _("{volume} segmentation {where}").format(volume=volume.GetName(), where=where)
        return [segmentationFromResult(result, array, volume, name)]


def _request(
    client: WorkerClient, volume: Any, settings: Settings, sampling: Sampling, region: Any, output: Output
) -> Any:
    from dataclasses import replace

    from HighResSegmentationLib.Volumes import gridOfVolume
    from hrseg.worker.messages import GridEntry, SampleRequest, SurfaceRequest

    grid = gridOf(volume, replace(sampling, region=region))
    fields = {
        "grid": None if grid.matches(gridOfVolume(volume)) else GridEntry.of(grid),
        "level": sampling.level,
        "labels": sampling.labels,
        **imageFields(client, volume, settings),
    }
    if output is Output.surface:
        return SurfaceRequest(**fields)
    return SampleRequest(**fields, what="probability" if output is Output.probability else "label_map")


def _gridOfResult(result: dict[str, Any], shape: tuple[int, ...]) -> Any:
    from hrseg.geometry import Grid, as_shape

    return Grid(as_shape(shape), result["affine"])


def _summary(result: dict[str, Any], volume: Any, nodes: Sequence[Any]) -> str:
    if nodes:
        text = _("{nodes} made in {seconds:.1f} s on {device}.")
    else:
        text = _('Nothing was found in "{volume}", so nothing was made; choose another level, region or model.')
    seconds = result.get("seconds", {}).get("total", 0.0)
    made = ", ".join(f'"{node.GetName()}"' for node in nodes)
    text = text.format(nodes=made, seconds=seconds, device=result["device"], volume=volume.GetName())
    return "\n".join([text, *result.get("notices", [])])
