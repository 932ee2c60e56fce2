"""What the logics of all modules do around a request: a node as the worker's image, waiting, nodes that changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib.Jobs import Job, Jobs, OnFailed, OnProgress
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

    image, key = imageFromVolume(volume), volumeKey(volume)
    # A large volume takes seconds to write.
    with nullcontext() if client.has_image(key) else waitCursor():
        file = client.image_file(key, image.array, image.grid.affine, image.name)
    return {
        "image": file,
        "model": settings.model,
        "device": settings.device,
        "inference": dict(settings.inference),
    }


def jobOn(
    volumeID: str,
    build: Callable[[WorkerClient], Any],
    use: Callable[[dict[str, Any], Any], None],
    onFailed: OnFailed,
    onProgress: OnProgress | None = None,
) -> Job:
    """A job whose result lies where the volume was when the job began. If its geometry is another one by the end, the
    job has failed; a parent transform may move it, as results are put under the same one.

    Args:
        volumeID: of the volume, which a user may remove.
        build: makes the request.
        use: told the result and the volume.
        onFailed, onProgress: as those of the job.
    """
    from HighResSegmentationLib.Volumes import gridOfVolume

    sent: Any = None

    def begin(client: WorkerClient) -> Any:
        nonlocal sent
        request = build(client)
        sent = gridOfVolume(nodeOf(volumeID))
        return request

    def finished(result: dict[str, Any]) -> None:
        volume = requiredNode(volumeID)
        if not gridOfVolume(volume).matches(sent):
            text = _('The geometry of "{name}" was changed during the run, so its result was dropped; run it again.')
            raise InputError(text.format(name=volume.GetName()))
        use(result, volume)

    return Job(begin, finished, onFailed, onProgress or ignoreProgress)


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


@contextmanager
def waitCursor() -> Iterator[None]:
    """A wait cursor, where there are windows. Unlike that of ``slicer.util`` it handles no events, among which are the
    user's clicks and what the worker says."""
    try:
        import qt
    except ImportError:
        yield
        return
    qt.QApplication.setOverrideCursor(qt.Qt.WaitCursor)
    try:
        yield
    finally:
        qt.QApplication.restoreOverrideCursor()


def ignoreProgress(stage: str, done: int, total: int, seconds: float) -> None:
    """For callers who do not want to be told."""
