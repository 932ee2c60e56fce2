"""The part of the panel that lists lesions; a click jumps to one."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from SRSegmentationLib.CropPanel import fitRows
from SRSegmentationLib.Lesions import Row, jumpToLesion, lengthUnit, rowsOf, sizeText, sizeUnit

_ROWS_SHOWN = 8


class LesionPanel:
    """Shows a table node.

    Args:
        table: an empty table widget of the panel.
    """

    def __init__(self, table: qt.QTableWidget) -> None:
        self._table = table
        self._node: Any = None
        self._shown: Any = None
        table.setColumnCount(4)
        table.verticalHeader().setVisible(False)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.setShowGrid(False)
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)
        table.connect("itemSelectionChanged()", self._jump)
        # A click on the row that is selected already jumps back to its lesion.
        table.connect("cellClicked(int,int)", lambda row, column: self._jump())
        self.show(None)

    def show(self, node: Any) -> None:
        """Lists the lesions in a table node; None: no lesion."""
        state = (node.GetID(), node.GetMTime()) if node else ()
        if state == self._shown:
            return
        self._shown, self._node = state, node
        rows, unit = rowsOf(node), sizeUnit(node)
        self._table.blockSignals(True)
        self._table.setHorizontalHeaderLabels(
            [_("Lesion"), _("Volume") if unit == "mm3" else _("Area"), _("Longest"), _("Probability")]
        )
        self._table.clearSelection()
        self._table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            self._fill(number, row, unit)
        self._table.blockSignals(False)
        fitRows(self._table, len(rows), _ROWS_SHOWN)

    def _fill(self, number: int, row: Row, unit: str) -> None:
        cells = (
            (row.name, _("Click to see it in the slice views.")),
            (sizeText(row.size, unit), _("Size of the lesion.")),
            (f"{row.diameter:.1f} {lengthUnit(unit)}", _("Longest diameter, between the two points furthest apart.")),
            (f"{100 * row.probability:.0f} %", _("Mean probability that the network gave to its voxels.")),
        )
        for column, (text, tip) in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setToolTip(tip)
            if column:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            self._table.setItem(number, column, item)

    def _jump(self) -> None:
        row = self._table.currentRow()
        if self._node is not None and 0 <= row < len(rowsOf(self._node)):
            jumpToLesion(self._node, row)
