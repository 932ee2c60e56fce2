"""The part of the panel about the guidance crop: where it is, back to where it was, and how the mask changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SRSegmentationLib import GuidanceCrop
from SRSegmentationLib.Comparison import Change
from SRSegmentationLib.Lesions import sizeText

_NAME, _SIZE, _CHANGE, _DICE = range(4)
_ROWS_SHOWN = 5


class CropPanel(VTKObservationMixin):
    """Shows a crop and what its user may do with it.

    Args:
        ui: the widgets of the panel.
        onMoved: called when the crop has been dragged or put back.
        onDifference: called by the button that shows the difference.
    """

    def __init__(self, ui: Any, onMoved: Callable[[], None], onDifference: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._onMoved = ui, onMoved
        self._node: Any = None
        ui.resetCropButton.connect("clicked()", self._reset)
        ui.jumpCropButton.connect("clicked()", self._jump)
        ui.differenceButton.connect("clicked()", onDifference)
        _prepare(ui.changeTable)
        self.showChanges([], 1.0, "mm3")

    def show(self, node: Any, reason: str, visible: bool) -> None:
        """Shows the state of a crop.

        Args:
            node: the crop; None where there is none yet.
            reason: why none is used; "" where one is.
            visible: whether the user wants to see it.
        """
        self._observe(node)
        used = node is not None and not reason
        for widget in (self._ui.showCropCheckBox, self._ui.jumpCropButton):
            widget.enabled = used
        self._ui.resetCropButton.enabled = used and GuidanceCrop.isMoved(node)
        GuidanceCrop.show(node, used and visible)
        self._ui.cropLabel.text = reason or _stateOf(node)

    def showChanges(self, changes: Sequence[Change], voxelSize: float, unit: str) -> None:
        """Shows how the mask has changed, nothing where ``changes`` is empty.

        Args:
            changes: label by label.
            voxelSize: of the volume, in ``unit``, "mm3" or "mm2".
        """
        table = self._ui.changeTable
        for widget in (table, self._ui.differenceButton, self._ui.changeLabel):
            widget.setVisible(bool(changes))
        table.setRowCount(len(changes))
        for row, change in enumerate(changes):
            difference = (change.after - change.before) * voxelSize
            texts = (
                change.name,
                sizeText(change.after * voxelSize, unit),
                _difference(difference, change, unit),
                f"{change.dice:.3f}",
            )
            for column, text in enumerate(texts):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled)
                item.setToolTip(_TIPS[column])
                if column != _NAME:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, column, item)
        fitRows(table, len(changes), _ROWS_SHOWN)

    def cleanup(self) -> None:
        """Stops observing."""
        self.removeObservers()

    def _observe(self, node: Any) -> None:
        if node is self._node:
            return
        self.removeObservers()
        self._node = node
        if node is not None:
            self.addObserver(node, node.PointModifiedEvent, self._edited)
            self.addObserver(node, node.PointEndInteractionEvent, self._dragged)

    def _edited(self, caller: Any, event: Any) -> None:
        GuidanceCrop.keepSize(caller)

    def _dragged(self, caller: Any, event: Any) -> None:
        self._onMoved()

    def _reset(self) -> None:
        GuidanceCrop.reset(self._node)
        self._onMoved()

    def _jump(self) -> None:
        from HighResSegmentationLib.Views import jumpTo

        center = [0.0, 0.0, 0.0]
        self._node.GetCenterWorld(center)
        jumpTo(center)


def fitRows(table: qt.QTableWidget, rows: int, most: int) -> None:
    """Makes a table as high as its rows, but not higher than ``most`` of them."""
    table.setFixedHeight((min(max(1, rows), most) + 1) * table.verticalHeader().defaultSectionSize + 4)


_TIPS = (
    _("Name of the label."),
    _("Size of the new mask, on the voxels of the image."),
    _("Difference to the mask of the run before."),
    _("Overlap with the mask of the run before: 1 where both are the same."),
)


def _prepare(table: qt.QTableWidget) -> None:
    table.setColumnCount(4)
    table.setHorizontalHeaderLabels([_("Label"), _("Size"), _("Change"), _("Dice")])
    table.verticalHeader().setVisible(False)
    table.setSelectionMode(qt.QAbstractItemView.NoSelection)
    table.setShowGrid(False)
    header = table.horizontalHeader()
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(_NAME, qt.QHeaderView.Stretch)
    header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)


def _difference(difference: float, change: Change, unit: str) -> str:
    sign = "+" if difference > 0 else ""
    text = sign + sizeText(difference, unit)
    if change.before:
        share = f"{100 * (change.after - change.before) / change.before:+.1f}"
        text += f" ({share if float(share) else '0.0'} %)"
    return text


def _stateOf(node: Any) -> str:
    if node is None:
        return _("It appears where the search puts it when you press Apply.")
    from HighResSegmentationLib.Boxes import sizeText as sidesText

    if GuidanceCrop.isMoved(node):
        return _("{size}, moved. Apply segments with it here and shows what changes.").format(size=sidesText(node))
    return _("{size}, where the search put it. Drag it elsewhere and press Apply to compare.").format(
        size=sidesText(node)
    )
