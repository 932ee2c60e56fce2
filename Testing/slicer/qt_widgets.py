"""Stand-ins for the widgets of Slicer and ctk that our panels use, bound to the genuine scene."""

# ruff: noqa: N801, N802, N815 -- the stand-ins have the names that ctk and Slicer gave the originals.

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Qt
from shiboken6 import isValid
from slicer_env import slicer

_HEADER = 24


def _property(kind: Any, default: Any, name: str, notify: str | None = None) -> Any:
    key = f"_property_{name}"

    def get(self: Any) -> Any:
        return getattr(self, key, default)

    def put(self: Any, value: Any) -> None:
        if get(self) != value:
            setattr(self, key, value)
            getattr(self, f"_on_{name}", lambda v: None)(value)
            if notify:
                getattr(self, notify).emit(value)

    return QtCore.Property(kind, get, put)


class qMRMLWidget(QtWidgets.QWidget):
    receivers: tuple[Any, ...] = ()

    def mrmlScene(self) -> Any:
        return getattr(self, "_scene", None)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        for receiver in self.receivers:
            receiver.setMRMLScene(scene)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    currentNodeChanged, currentNodeBool = QtCore.Signal(object), QtCore.Signal(bool)
    _overloads = {("currentNodeChanged", "bool"): "currentNodeBool"}
    nodeTypes = _property("QStringList", [], "nodeTypes")
    noneEnabled = _property(bool, False, "noneEnabled")
    noneDisplay = _property(str, "None", "noneDisplay")
    addEnabled = _property(bool, True, "addEnabled")
    removeEnabled = _property(bool, True, "removeEnabled")
    renameEnabled = _property(bool, False, "renameEnabled")
    showHidden = _property(bool, False, "showHidden")
    showChildNodeTypes = _property(bool, True, "showChildNodeTypes")
    selectNodeUponCreation = _property(bool, True, "selectNodeUponCreation")
    baseName = _property(str, "", "baseName")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._node: Any = None
        self._tags: list[int] = []
        self._box = QtWidgets.QComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.activated.connect(lambda n: self.setCurrentNodeID(self._box.itemData(n)))

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene, kind = scene, slicer.vtkMRMLScene
        events = (kind.NodeAddedEvent, kind.NodeRemovedEvent, kind.EndCloseEvent)
        self._tags = [scene.AddObserver(e, lambda *_: self._refresh()) for e in events] if scene else []
        self._tags += [scene.AddObserver(kind.EndImportEvent, lambda *_: self._refill())] if scene else []
        self._refresh()

    def _nodes(self) -> list[Any]:
        nodes: dict[str, Any] = {}
        for kind in self.nodeTypes or []:
            for node in slicer.util.getNodesByClass(kind, self._scene) if self._scene else []:
                wanted = self.showChildNodeTypes or node.GetClassName() == kind
                if wanted and (self.showHidden or not node.GetHideFromEditors()):
                    nodes[node.GetID()] = node
        return list(nodes.values())

    def _refresh(self) -> None:
        if not isValid(self):
            return  # the panel is gone, the scene's observer is not
        if self._scene and self._scene.IsImporting():
            return
        nodes = self._nodes()
        self._box.clear()
        self._box.addItem(self.noneDisplay if self.noneEnabled else "Select a volume", "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        # As the genuine one: where there is no "none", the first node is selected.
        first = nodes[0] if nodes and not self.noneEnabled else None
        self._pick(self._node if self._node in nodes else first)

    def _refill(self) -> None:
        """As the genuine one after an import: all rows are removed, and inserted one by one."""
        if isValid(self):
            self._pick(None)
            self._refresh()

    def _pick(self, node: Any) -> None:
        changed, self._node = node is not self._node, node
        self._box.setCurrentIndex(max(0, self._box.findData(node.GetID() if node else "")))
        if changed:
            self.currentNodeChanged.emit(node)
            self.currentNodeBool.emit(bool(node))

    def currentNode(self) -> Any:
        return self._node

    def nodeCount(self) -> int:
        return len(self._nodes())

    def setCurrentNode(self, node: Any) -> None:
        self._pick(node if node in self._nodes() else None)

    def setCurrentNodeID(self, identifier: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(identifier) if identifier and self._scene else None)


class ctkCollapsibleButton(QtWidgets.QWidget):
    contentsCollapsed = QtCore.Signal(bool)
    text = _property(str, "", "text")
    collapsed = _property(bool, False, "collapsed", "contentsCollapsed")

    def _on_collapsed(self, collapsed: bool) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(not collapsed)
        self.setMaximumHeight(_HEADER if collapsed else 16777215)

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        painter.setPen(QtGui.QColor(190, 190, 190))
        painter.setBrush(QtGui.QColor(228, 228, 230))
        painter.drawRoundedRect(QtCore.QRectF(0.5, 0.5, self.width - 1, _HEADER - 3), 3, 3)
        painter.setPen(self.palette.color(QtGui.QPalette.ColorRole.WindowText))
        painter.drawText(8, 16, f"{chr(0x25B8 if self.collapsed else 0x25BE)} {self.text}")

    def showEvent(self, event: Any) -> None:
        if self.layout():
            self.layout().setContentsMargins(9, _HEADER + 6, 9, 6)
        self._on_collapsed(self.collapsed)


class ctkSliderWidget(QtWidgets.QWidget):
    valueChanged = QtCore.Signal(float)
    _own = ("valueChanged",)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider, self._box = QtWidgets.QSlider(Qt.Orientation.Horizontal, self), QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._slider.setRange(0, 1000)
        self._slider.valueChanged.connect(self._slid)
        self._box.valueChanged.connect(self._moved)

    def _slid(self, step: int) -> None:
        low, high = self._box.minimum, self._box.maximum
        self._box.setValue(low + (high - low) * step / 1000)

    def _moved(self, value: float) -> None:
        low, high = self._box.minimum, self._box.maximum
        self._slider.blockSignals(True)
        self._slider.setValue(round(1000 * (value - low) / (high - low)) if high > low else 0)
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def setMinimum(self, value: float) -> None:
        self._box.setMinimum(value)

    def setMaximum(self, value: float) -> None:
        self._box.setMaximum(value)

    value = QtCore.Property(float, lambda s: s._box.value, lambda s, v: s._box.setValue(v))
    minimum = QtCore.Property(float, lambda s: s._box.minimum, lambda s, v: s._box.setMinimum(v))
    maximum = QtCore.Property(float, lambda s: s._box.maximum, lambda s, v: s._box.setMaximum(v))
    singleStep = QtCore.Property(float, lambda s: s._box.singleStep, lambda s, v: s._box.setSingleStep(v))
    decimals = QtCore.Property(int, lambda s: s._box.decimals, lambda s, v: s._box.setDecimals(v))
    suffix = QtCore.Property(str, lambda s: s._box.suffix, lambda s, v: s._box.setSuffix(v))


class qMRMLSegmentationShow3DButton(QtWidgets.QPushButton):
    """Shows whether it has a node and switches the surface; the genuine one has a menu of smoothing, too."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setText("Show 3D")
        self._node: Any = None
        self.setEnabled(False)

    def setSegmentationNode(self, node: Any) -> None:
        self._node = node
        self.setEnabled(node is not None)

    def segmentationNode(self) -> Any:
        return self._node


class Placeholder(QtWidgets.QWidget):
    """Any other class of Slicer or ctk: shows its name, takes a scene, knows no behaviour."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setMinimumHeight(24)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def mrmlScene(self) -> Any:
        return getattr(self, "_scene", None)

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        painter.drawRect(0, 0, self.width - 1, self.height - 1)
        painter.drawText(8, 16, f"{type(self).__name__} (stand-in)")


WIDGETS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (qMRMLWidget, qMRMLNodeComboBox, ctkCollapsibleButton, ctkSliderWidget, qMRMLSegmentationShow3DButton)
}
