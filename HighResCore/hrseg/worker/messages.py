"""What client and worker say to each other: one JSON object per line, checked on arrival.

Requests go to the worker, answers come back. Standard library only.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hrseg.worker.checking import ProtocolError as ProtocolError
from hrseg.worker.checking import built

if TYPE_CHECKING:
    from hrseg.geometry import Grid
    from hrseg.prompts import RegionBox

VERSION = 1
Kind = Literal["no_memory", "bad_model", "bad_input", "output", "cancelled", "crashed", "internal"]
Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class ImageFile:
    """An image that the client has written.

    Attributes:
        key: of the client's own; for one key the array is written once.
        path: a ``.npy`` file (C, K, J, I) in the private folder.
        affine: 4x4, (i, j, k, 1) to RAS mm.
        name: for messages.
    """

    key: str
    path: str
    affine: Rows
    name: str = ""


@dataclass(frozen=True)
class BoxEntry:
    """A :class:`~hrseg.prompts.RegionBox`: RAS mm, axes as rows of the 3x3 matrix whose columns they are."""

    name: str
    center: tuple[float, ...]
    size: tuple[float, ...]
    axes: Rows
    proposed: bool = False

    @classmethod
    def of(cls, box: RegionBox) -> BoxEntry:
        """The entry of a box."""
        axes = tuple(map(tuple, box.axes.tolist()))
        return cls(box.name, tuple(box.center.tolist()), tuple(box.size.tolist()), axes, box.proposed)


@dataclass(frozen=True)
class GridEntry:
    """A :class:`~hrseg.geometry.Grid`: (K, J, I), and 4x4 from (i, j, k, 1) to RAS mm."""

    shape: tuple[int, ...]
    affine: Rows

    @classmethod
    def of(cls, grid: Grid) -> GridEntry:
        """The entry of a grid."""
        return cls(grid.shape, tuple(map(tuple, grid.affine.tolist())))


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the client asks for. The client sets ``id`` when it submits."""

    id: int = 0


@dataclass(frozen=True, kw_only=True)
class ImageRequest(Request):
    """Something about an image and a model.

    Attributes:
        image: see :meth:`hrseg.worker.client.WorkerClient.image_file`.
        model: path of the model file.
        device: as for :func:`hrseg.runtime.choose_device`.
        inference: changes of the model's settings of inference.
    """

    image: ImageFile
    model: str
    device: str = "auto"
    inference: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProposeRequest(ImageRequest):
    """Only where objects are: ``{"boxes", "device", "seconds", "peak_memory", "notices", "model"}``."""


@dataclass(frozen=True, kw_only=True)
class SegmentRequest(ImageRequest):
    """The image segmented; see :func:`hrseg.worker.jobs.Jobs.do` for the result.

    Attributes:
        boxes, propose, instances, keep_probability: as in :class:`hrseg.methods.Options`.
        lesions: measure the lesions one by one, too.
        options: further fields of it that only some methods know: ``resolution``, ``super_resolved``,
            ``guidance_center`` ...
    """

    boxes: tuple[BoxEntry, ...] = ()
    propose: bool = True
    instances: bool = False
    keep_probability: bool = False
    lesions: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ForecastRequest(SegmentRequest):
    """What :class:`SegmentRequest` would need: ``{"bytes", "free_bytes", "seconds" (None: unknown), "device"}``."""


@dataclass(frozen=True, kw_only=True)
class FieldRequest(ImageRequest):
    """Something about the continuous field of an image, which is encoded first where the worker does not hold it.

    Attributes:
        grid: where, and how finely; None: the image's own.
        level: probability from which a place belongs to any label; None: where a label is the most probable class.
        labels: values of those that are wanted; all if empty.
        remembered_only: refuse where the image would have to be encoded.
    """

    grid: GridEntry | None = None
    level: float | None = None
    labels: tuple[int, ...] = ()
    remembered_only: bool = False


@dataclass(frozen=True, kw_only=True)
class SampleRequest(FieldRequest):
    """The field on a grid: ``{"label_map" or "probability" (entry of an array), "affine", "labels" ...}``.

    Where only some labels are wanted, a probability (labels, K, J, I) has these alone.
    """

    what: Literal["label_map", "probability"] = "label_map"


@dataclass(frozen=True, kw_only=True)
class SurfaceRequest(FieldRequest):
    """``{"surfaces": [{"label", "points", "triangles"}], "labels" ...}``, of the labels that are there.

    ``points`` (V, 3) are in RAS mm, ``triangles`` (T, 3) counter-clockwise as seen from outside.
    """


@dataclass(frozen=True, kw_only=True)
class DescribeRequest(Request):
    """``{"header", "method" (its title), "takes_boxes"}`` of the model at a path."""

    model: str


@dataclass(frozen=True, kw_only=True)
class DevicesRequest(Request):
    """``{"devices": [{"name", "title", "total_bytes", "free_bytes"}], "versions": {"python", "torch" ...}}``."""


@dataclass(frozen=True, kw_only=True)
class Cancel(Request):
    """Stop the job of that ``id``."""


@dataclass(frozen=True, kw_only=True)
class Shutdown(Request):
    """End the process."""


@dataclass(frozen=True)
class Answer:
    """What the worker says."""


@dataclass(frozen=True)
class Ready(Answer):
    """The worker has started."""

    versions: dict[str, str]


@dataclass(frozen=True)
class Alive(Answer):
    """Said every second."""


@dataclass(frozen=True)
class Progress(Answer):
    """Units ``done`` of ``total`` of a stage, ``seconds`` after the job began."""

    id: int
    stage: str
    done: int
    total: int
    seconds: float


@dataclass(frozen=True)
class Log(Answer):
    """A line for the log, of any origin."""

    text: str


@dataclass(frozen=True)
class Done(Answer):
    """The job of that ``id`` ended well."""

    id: int
    result: dict[str, Any]


@dataclass(frozen=True)
class Failed(Answer):
    """It did not. ``advice`` says what to do where ``message`` does not."""

    id: int
    kind: Kind
    message: str
    advice: str = ""


M = TypeVar("M", Request, Answer)
_TYPES: dict[str, type[Request] | type[Answer]] = {
    "segment": SegmentRequest,
    "propose": ProposeRequest,
    "forecast": ForecastRequest,
    "sample": SampleRequest,
    "surface": SurfaceRequest,
    "describe": DescribeRequest,
    "devices": DevicesRequest,
    "cancel": Cancel,
    "shutdown": Shutdown,
    "ready": Ready,
    "alive": Alive,
    "progress": Progress,
    "log": Log,
    "done": Done,
    "failed": Failed,
}
_TAGS = {kind: tag for tag, kind in _TYPES.items()}


def to_json(message: Request | Answer) -> str:
    """The line of a message, without its end."""
    content = {"version": VERSION, "type": _TAGS[type(message)], **dataclasses.asdict(message)}
    return json.dumps(content, allow_nan=False)


def from_json(line: str, expected: type[M]) -> M:
    """The message in a line, which must be a :class:`Request` or an :class:`Answer`.

    Raises:
        ProtocolError: not JSON, of another version, unknown, or with fields that are missing, unknown or of a wrong
            type.
    """
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"{short(line)} is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ProtocolError(f"{short(line)} is not a message.")
    version, tag = content.pop("version", None), content.pop("type", None)
    if version != VERSION:
        raise ProtocolError(
            f"The message {short(line)} has the version {short(version)}, but {VERSION} was expected; "
            "let client and worker come from the same version of the extension."
        )
    kind = _TYPES.get(tag) if isinstance(tag, str) else None
    if kind is None or not issubclass(kind, expected):
        raise ProtocolError(f"There is no {expected.__name__.lower()} of the type {short(tag)}.")
    return built(content, kind, tag)
