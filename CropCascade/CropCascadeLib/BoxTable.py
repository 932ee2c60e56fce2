"""The table of boxes: used or not, name, size, and what one does with each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import qt
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

import slicer
from HighResSegmentationLib.Frames import SEARCHED

_NAME, _SIZE, _VISIBLE, _JUMP, _DELETE = range(5)
#: With more boxes than that only the chosen one has handles, or nothing else is seen.
_MANY_HANDLES = 20
_ROWS_SHOWN = 5


class BoxTable(VTKObservationMixin):
    """Lists the ROI nodes of the scene; those that are ticked are used.

    Args:
        table: an empty table widget of the panel.
        icon: makes an icon, given its name.
        onUsed: told the nodes that are used, when the user ticks, renames or deletes, and when boxes come and go.
        onEdited: called when a box has been moved or resized.
    """

    def __init__(
        self,
        table: qt.QTableWidget,
        icon: Callable[[str], qt.QIcon],
        onUsed: Callable[[list[Any]], None],
        onEdited: Callable[[], None] = lambda: None,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._table, self._icon, self._onUsed, self._onEdited = table, icon, onUsed, onEdited
        self._rois: list[Any] = []
        self._used: set[str] = set()
        self._filling = False
        self._prepareTable()
        table.connect("itemChanged(QTableWidgetItem*)", self._itemChanged)
        table.connect("itemSelectionChanged()", self._selectionChanged)
        scene = slicer.mrmlScene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._sceneChanged)
        self._sceneChanged()

    @property
    def rois(self) -> list[Any]:
        """The ROI nodes listed, in the order of the rows."""
        return self._rois

    def setUsed(self, rois: list[Any]) -> None:
        """Ticks these boxes and no others."""
        used = {roi.GetID() for roi in rois}
        if used != self._used:
            self._used = used
            self._refresh()

    def select(self, roi: Any) -> None:
        """Chooses a row."""
        if roi in self._rois:
            self._table.selectRow(self._rois.index(roi))

    def cleanup(self) -> None:
        """Stops observing."""
        self.removeObservers()

    def _prepareTable(self) -> None:
        table = self._table
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels([_("Box"), _("Size"), "", "", ""])
        table.verticalHeader().setVisible(False)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(_NAME, qt.QHeaderView.Stretch)
        header.setMinimumSectionSize(24)
        header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)
        height = table.verticalHeader().defaultSectionSize
        table.setMinimumHeight((_ROWS_SHOWN + 1) * height)
        table.setShowGrid(False)

    def _sceneChanged(self, caller: Any = None, event: Any = None) -> None:
        if slicer.mrmlScene.IsImporting() or slicer.mrmlScene.IsClosing():
            return
        rois = [roi for roi in slicer.util.getNodesByClass("vtkMRMLMarkupsROINode") if _isBox(roi)]
        if rois == self._rois and self._table.rowCount == len(rois):
            return
        for roi in self._rois:
            self.removeObserver(roi, roi.PointEndInteractionEvent, self._edited)
            self.removeObserver(roi, roi.PointModifiedEvent, self._resized)
        gone = self._used - {roi.GetID() for roi in rois}
        self._rois = rois
        for roi in rois:
            self.addObserver(roi, roi.PointEndInteractionEvent, self._edited)
            self.addObserver(roi, roi.PointModifiedEvent, self._resized)
        self._fill()
        if gone:
            self._tellUsed(self._used - gone)

    def _fill(self) -> None:
        """Makes the rows anew, one per box."""
        chosen = self._table.currentRow()
        self._filling = True
        self._table.setRowCount(len(self._rois))
        for row, roi in enumerate(self._rois):
            self._fillRow(row, roi)
        self._filling = False
        self._table.setCurrentCell(min(chosen, len(self._rois) - 1), _NAME)
        self._refresh()

    def _fillRow(self, row: int, roi: Any) -> None:
        identifier, fixed = roi.GetID(), qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
        name, size = qt.QTableWidgetItem(roi.GetName()), qt.QTableWidgetItem("")
        name.setFlags(fixed | qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEditable)
        name.setToolTip(_("Ticked boxes are segmented. Double-click to rename."))
        size.setFlags(fixed)
        size.setToolTip(_("Side lengths along the box's own axes."))
        self._table.setItem(row, _NAME, name)
        self._table.setItem(row, _SIZE, size)
        for column, icon, tip, slot in (
            (_VISIBLE, "Visible", _("Show or hide the box."), self._toggle),
            (_JUMP, "Jump", _("Center the slice views on the box."), self._jump),
            (_DELETE, "Delete", _("Delete the box."), self._delete),
        ):
            self._table.setCellWidget(row, column, self._button(icon, tip, partial(slot, identifier)))

    def _refresh(self) -> None:
        """Shows what may have changed in the rows there are."""
        self._filling = True
        for row, roi in enumerate(self._rois):
            used = roi.GetID() in self._used
            self._table.item(row, _NAME).setCheckState(qt.Qt.Checked if used else qt.Qt.Unchecked)
            self._table.cellWidget(row, _VISIBLE).setIcon(self._icon("Visible" if _isVisible(roi) else "Hidden"))
            self._setSize(row, roi)
        self._filling = False
        self._showHandles()

    def _button(self, icon: str, tip: str, slot: Callable[[], None]) -> qt.QToolButton:
        button = qt.QToolButton()
        button.setAutoRaise(True)
        # The ground of an ordinary row, for on that of the chosen one icons are hardly seen.
        button.setBackgroundRole(qt.QPalette.Base)
        button.setAutoFillBackground(True)
        button.setIcon(self._icon(icon))
        button.toolTip = tip
        button.connect("clicked()", slot)
        return button

    def _setSize(self, row: int, roi: Any) -> None:
        from HighResSegmentationLib.Boxes import sizeText

        drawn = roi.GetNumberOfDefinedControlPoints() > 0
        self._table.item(row, _SIZE).setText(sizeText(roi) if drawn else _("being drawn"))

    def _itemChanged(self, item: Any) -> None:
        if self._filling or item.column() != _NAME:
            return
        roi = self._rois[item.row()]
        if item.text().strip() and item.text() != roi.GetName():
            roi.SetName(item.text().strip())
        ticked = item.checkState() == qt.Qt.Checked
        used = self._used | {roi.GetID()} if ticked else self._used - {roi.GetID()}
        if used != self._used:
            self._tellUsed(used)

    def _tellUsed(self, used: set[str]) -> None:
        self._used = used
        self._onUsed([roi for roi in self._rois if roi.GetID() in used])

    def _selectionChanged(self) -> None:
        if not self._filling:
            self._showHandles()

    def _showHandles(self) -> None:
        from HighResSegmentationLib.Boxes import showHandles

        chosen = self._table.currentRow()
        for row, roi in enumerate(self._rois):
            if roi.GetID() in self._used and roi.GetDisplayNode():
                showHandles(roi, row == chosen or len(self._rois) <= _MANY_HANDLES)

    def _edited(self, caller: Any, event: Any) -> None:
        self._onEdited()

    def _resized(self, caller: Any, event: Any) -> None:
        if caller in self._rois:
            self._filling = True
            self._setSize(self._rois.index(caller), caller)
            self._filling = False

    def _toggle(self, identifier: str) -> None:
        roi = slicer.mrmlScene.GetNodeByID(identifier)
        roi.SetDisplayVisibility(not _isVisible(roi))
        self._refresh()

    def _jump(self, identifier: str) -> None:
        from HighResSegmentationLib.Views import jumpTo

        roi, center = slicer.mrmlScene.GetNodeByID(identifier), [0.0, 0.0, 0.0]
        roi.GetCenterWorld(center)
        jumpTo(center)
        self.select(roi)

    def _delete(self, identifier: str) -> None:
        slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetNodeByID(identifier))


def _isBox(roi: Any) -> bool:
    """Not what other modules hide, and not the guidance crop of SRSegmentation."""
    return not roi.GetHideFromEditors() and not roi.GetAttribute(SEARCHED)


def _isVisible(roi: Any) -> bool:
    return bool(roi.GetDisplayVisibility())
