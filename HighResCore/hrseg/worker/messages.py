"""What client and worker say to each other: one JSON object per line, checked on arrival.

Requests go to the worker, answers come back. Standard library only.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import lru_cache
from reprlib import repr as short
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hrseg.errors import HrsegError

if TYPE_CHECKING:
    from hrseg.prompts import RegionBox

VERSION = 1
Kind = Literal["no_memory", "bad_model", "bad_input", "output", "cancelled", "crashed", "internal"]
Rows = tuple[tuple[float, ...], ...]


class ProtocolError(HrsegError):
    """A line that is not a message of this version."""


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

    @classmethod
    def of(cls, box: RegionBox) -> BoxEntry:
        """The entry of a box."""
        return cls(box.name, tuple(box.center.tolist()), tuple(box.size.tolist()), tuple(map(tuple, box.axes.tolist())))


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
        options: further fields of it that only some methods know.
    """

    boxes: tuple[BoxEntry, ...] = ()
    propose: bool = True
    instances: bool = False
    keep_probability: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ForecastRequest(SegmentRequest):
    """What :class:`SegmentRequest` would need: ``{"bytes", "free_bytes", "seconds" (None: unknown), "device"}``."""


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
    return _built(content, kind, tag)


def _built(content: Any, kind: type, place: str) -> Any:
    """A dataclass from the JSON object of its fields."""
    if not isinstance(content, dict):
        raise ProtocolError(f'"{place}" must be an object, not {short(content)}.')
    hints = _hints(kind)
    required = {
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    missing, unknown = sorted(required - content.keys()), sorted(content.keys() - hints.keys())
    if missing or unknown:
        raise ProtocolError(f'"{place}" lacks the fields {short(missing)} or has unknown ones {short(unknown)}.')
    return kind(**{name: _checked(value, hints[name], f"{place}.{name}") for name, value in content.items()})


def _checked(value: Any, kind: Any, place: str) -> Any:
    """A JSON value as a field of that type."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        return None if value is None else _checked(value, inner[0], place)
    if origin is Literal:
        if value in inner:
            return value
    elif origin is tuple:
        if isinstance(value, list):
            return tuple(_checked(item, inner[0], f"{place}[{n}]") for n, item in enumerate(value))
    elif origin is dict:
        if isinstance(value, dict):
            return {key: _checked(item, inner[1], f"{place}.{key}") for key, item in value.items()}
    elif dataclasses.is_dataclass(kind):
        return _built(value, kind, place)  # type: ignore[arg-type]
    elif kind is float and type(value) is int:
        return float(value)
    elif type(value) is kind:
        return value
    raise ProtocolError(f'"{place}" is {short(value)}, which is not a {getattr(kind, "__name__", kind)}.')


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
