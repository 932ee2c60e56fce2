"""The field in the plane that a slice view shows, at the view's own pixels, while the user scrolls and zooms. No Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import vtk
from slicer.i18n import tr as _

import slicer
from HighResSegmentationLib.Jobs import Job, Jobs, OnFailed
from HighResSegmentationLib.Requests import imageFields, nodeOf, requiredNode
from OSSNetLib.Logic import Settings
from OSSNetLib.SliceOverlay import SliceOverlay

if TYPE_CHECKING:
    from hrseg.geometry import Grid
    from hrseg.worker.client import WorkerClient

#: Views with more pixels are looked at in steps of two or more.
_MOST_PIXELS = 2**20


@dataclass(frozen=True)
class _Subject:
    """What is followed where: nodes by their identifiers; ``key`` changes with the volume's voxels."""

    sliceID: str
    volumeID: str
    key: str
    settings: Settings


class SliceFollower:
    """Keeps an overlay in a slice view up to date. At most one request is under way; what is newest then comes next.

    Args:
        jobs: asks the worker, in the background.
        onAsked: called with each request, to have somebody poll the jobs soon.
        onStopped: told why following has ended by itself.
    """

    def __init__(
        self,
        jobs: Jobs,
        onAsked: Callable[[], None] = lambda: None,
        onStopped: OnFailed = lambda error: None,
    ) -> None:
        self._jobs, self._onAsked, self._onStopped = jobs, onAsked, onStopped
        self._subject: _Subject | None = None
        self._overlay: SliceOverlay | None = None
        #: The view and the volume, each with the tag of an observer.
        self._observed: list[tuple[Any, int]] = []
        self._level: float | None = None
        self._labels: tuple[int, ...] = ()
        self._asked: Any = None
        self._waiting = False

    @property
    def active(self) -> bool:
        """Whether a view is followed."""
        return self._subject is not None

    @property
    def waiting(self) -> bool:
        """Whether an answer is under way."""
        return self._waiting

    @property
    def sliceNode(self) -> Any:
        """The view that is followed, if any."""
        return self._observed[0][0] if self._observed else None

    def start(self, sliceNode: Any, volume: Any, settings: Settings, covered: Sequence[Any] = ()) -> None:
        """Follows a slice view, wherever the volume is moved. ``covered``: nodes that the view does not show meanwhile.

        Raises:
            InputError: no view, no volume, or a nonlinear transform above the volume.
        """
        from HighResSegmentationLib.Frames import requireLinear
        from HighResSegmentationLib.Volumes import checkVolume, volumeKey

        self.stop()
        checkVolume(volume)
        requireLinear(volume, _("volume"))
        self._overlay = SliceOverlay(sliceNode, covered)
        self._subject = _Subject(sliceNode.GetID(), volume.GetID(), volumeKey(volume), settings)
        events = ((sliceNode, vtk.vtkCommand.ModifiedEvent), (volume, volume.TransformModifiedEvent))
        self._observed = [(node, node.AddObserver(event, lambda *_: self._ask())) for node, event in events]
        self._asked = None
        self._ask()

    def choose(self, level: float | None, labels: tuple[int, ...]) -> None:
        """What is shown: as in :class:`OSSNetLib.Sampling.Sampling`."""
        self._level, self._labels = level, labels
        self._ask()

    def stop(self) -> None:
        """Takes the overlay away."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        if self._overlay is not None:
            self._overlay.remove()
        self._subject = self._overlay = None
        self._observed = []

    def _ask(self) -> None:
        if self._subject is None or self._waiting:
            return
        subject, state = self._subject, self._state()
        if state == self._asked or not all(state[0]):
            return
        self._waiting = True
        affine: Any = None

        def build(client: WorkerClient) -> Any:
            """Reads the view when the request goes out, not when it was wished for."""
            from hrseg.errors import Cancelled
            from hrseg.worker.messages import GridEntry, SampleRequest

            nonlocal affine
            if self._subject is not subject:
                # While this waited, following has ended, or begun anew: what is asked of the new subject comes next.
                raise Cancelled(_("The slice is not followed any more."))
            self._asked = self._state()
            volume = requiredNode(subject.volumeID)
            _checkUnchanged(volume, subject.key)
            grid, affine = sliceGrid(requiredNode(subject.sliceID), volume)
            fields = imageFields(client, volume, subject.settings)
            # Following must not set off an encoding, which takes minutes and could not be cancelled.
            return SampleRequest(
                grid=GridEntry.of(grid), level=self._level, labels=self._labels, remembered_only=True, **fields
            )

        def done(result: dict[str, Any]) -> None:
            self._waiting = False
            if self._subject is subject and self._overlay is not None:
                self._overlay.show(result, self._jobs.array(result["label_map"]), affine)
            self._ask()

        def failed(error: Exception) -> None:
            self._waiting = False
            if self._subject is subject:
                self.stop()
                self._onStopped(error)
            self._ask()

        self._jobs.start(Job(build, done, failed, background=True))
        self._onAsked()

    def _state(self) -> tuple[Any, ...]:
        """What a picture depends on; the size of the view, which is 0 while it is not shown, first."""
        assert self._subject is not None
        view, volume = nodeOf(self._subject.sliceID), nodeOf(self._subject.volumeID)
        if view is None or volume is None:
            return ((0, 0),)
        matrices = slicer.util.arrayFromVTKMatrix(view.GetXYToRAS()), _toVolume(volume)
        places = [None if matrix is None else tuple(matrix.ravel()) for matrix in matrices]
        return (tuple(view.GetDimensions()[:2]), *places, self._level, self._labels)


def sliceGrid(sliceNode: Any, volume: Any) -> tuple[Grid, Any]:
    """The pixels of a slice view as a grid (1, rows, columns) in the volume's own frame, and its 4x4 in the world.

    Raises:
        InputError: a nonlinear transform above the volume, or a view that has no place in space.
    """
    import numpy as np

    from HighResSegmentationLib.Frames import requireLinear
    from hrseg.geometry import Grid

    requireLinear(volume, _("volume"))
    toVolume = _toVolume(volume)
    columns, rows = sliceNode.GetDimensions()[:2]
    step = max(1, math.ceil(math.sqrt(columns * rows / _MOST_PIXELS)))
    affine = np.array(slicer.util.arrayFromVTKMatrix(sliceNode.GetXYToRAS()))
    affine[:3, 3] += (affine[:3, 0] + affine[:3, 1]) * (step - 1) / 2
    affine[:3, :2] *= step
    shape = (1, math.ceil(rows / step), math.ceil(columns / step))
    return Grid(shape, toVolume @ affine), affine


def _toVolume(volume: Any) -> Any:
    """4x4 from the world to the volume's frame; None where that is not linear."""
    matrix = vtk.vtkMatrix4x4()
    parent = volume.GetParentTransformNode()
    if parent is not None and not parent.IsTransformToWorldLinear():
        return None
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(None, parent, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _checkUnchanged(volume: Any, key: str) -> None:
    """Following must not set off minutes of computation by itself."""
    from HighResSegmentationLib.Volumes import volumeKey
    from hrseg.errors import InputError

    if volumeKey(volume) != key:
        raise InputError(
            _('The volume "{name}" has changed; press Apply to segment it anew.').format(name=volume.GetName())
        )
