"""What the logics of all modules do around a request: a node as the worker's image, waiting, nodes that have gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib.Jobs import Jobs, OnFailed
from hrseg.errors import InputError

if TYPE_CHECKING:
    from hrseg.worker.client import WorkerClient

T = TypeVar("T")


class RunSettings(Protocol):
    """What the settings of any method have.

    Attributes:
        model: path of the model file.
        device: "auto", "cpu", "cuda:0" ...
        inference: changes of the model's own settings.
    """

    model: str
    device: str
    inference: Mapping[str, Any]


def imageFields(client: WorkerClient, volume: Any, settings: RunSettings) -> dict[str, Any]:
    """What every request about an image has. Nodes are read here, on the main thread.

    Raises:
        InputError: a volume that cannot be segmented.
    """
    from HighResSegmentationLib.Volumes import imageFromVolume, volumeKey

    image = imageFromVolume(volume)
    return {
        "image": client.image_file(volumeKey(volume), image.array, image.grid.affine, image.name),
        "model": settings.model,
        "device": settings.device,
        "inference": dict(settings.inference),
    }


def waitFor(jobs: Jobs, start: Callable[[Callable[[T], None], OnFailed], None]) -> T:
    """What a ``start`` tells to the first function that it is given.

    Raises:
        Exception: the one that it tells to the second function instead, of which a HrsegError is for users.
    """
    outcomes: list[T] = []
    errors: list[Exception] = []
    start(outcomes.append, errors.append)
    jobs.wait()
    if errors:
        raise errors[0]
    return outcomes[0]


def nodeID(node: Any) -> str:
    """The identifier of a node, by which it is held during a run; "" for None."""
    return "" if node is None else node.GetID()


def nodeOf(identifier: str) -> Any:
    """The node of that identifier, None where there is none."""
    return slicer.mrmlScene.GetNodeByID(identifier) if identifier else None


def requiredNode(identifier: str) -> Any:
    """The node that a result belongs to. Raises InputError when it is gone."""
    node = nodeOf(identifier)
    if node is None:
        raise InputError(_("The volume or segmentation was removed during the run, so its result was dropped."))
    return node


def ignoreProgress(stage: str, done: int, total: int, seconds: float) -> None:
    """For callers who do not want to be told."""
