"""Drawing a box with two clicks in a slice view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

import slicer


class Drawing:
    """Place mode for one box at a time.

    Args:
        onEnded: told the box, or None where the user gave up; called whoever ended the place mode.
    """

    def __init__(self, onEnded: Callable[[Any], None] = lambda roi: None) -> None:
        self._onEnded = onEnded
        self._roiID = self._volumeID = ""
        self._observed: tuple[Any, int] | None = None

    @property
    def active(self) -> bool:
        """Whether a box is being drawn."""
        return self._observed is not None

    def start(self, volume: Any) -> Any:
        """Enters place mode with a new box that has the volume's axes, and returns the box's node.

        Raises:
            InputError: no volume, an empty one, or one under a nonlinear transform.
        """
        from HighResSegmentationLib.Boxes import newRoi

        self.stop()
        roi = newRoi(volume, slicer.mrmlScene.GenerateUniqueName(_("Box")))
        self._roiID, self._volumeID = roi.GetID(), volume.GetID()
        selection, interaction = _singleton("vtkMRMLSelectionNode"), _singleton("vtkMRMLInteractionNode")
        selection.SetReferenceActivePlaceNodeClassName(roi.GetClassName())
        selection.SetActivePlaceNodeID(roi.GetID())
        interaction.SetPlaceModePersistence(0)
        interaction.SetCurrentInteractionMode(interaction.Place)
        event = interaction.InteractionModeChangedEvent
        self._observed = interaction, interaction.AddObserver(event, lambda *_: self._modeChanged())
        return roi

    def stop(self) -> None:
        """Leaves place mode; a box that is not complete is removed."""
        if self._observed is not None:
            interaction, _tag = self._observed
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            self._end()

    def _modeChanged(self) -> None:
        if self._observed is not None and self._observed[0].GetCurrentInteractionMode() != self._observed[0].Place:
            self._end()

    def _end(self) -> None:
        if self._observed is None:
            return
        from HighResSegmentationLib.Boxes import finishDrawing

        interaction, tag = self._observed
        interaction.RemoveObserver(tag)
        self._observed = None
        roi, volume = (slicer.mrmlScene.GetNodeByID(identifier) for identifier in (self._roiID, self._volumeID))
        if roi is not None and volume is not None:
            finishDrawing(roi, volume)
        if roi is not None and (roi.GetNumberOfDefinedControlPoints() == 0 or min(roi.GetSize()) <= 0):
            slicer.mrmlScene.RemoveNode(roi)
            roi = None
        self._onEnded(roi)


def _singleton(kind: str) -> Any:
    return slicer.mrmlScene.GetSingletonNode("Singleton", kind)
