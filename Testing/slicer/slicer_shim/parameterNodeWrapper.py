"""A subset of Slicer's parameter nodes: bool, int, float, str, enum, node and list-of-node fields, and their GUI."""

# ruff: noqa: N802, N999 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any

import vtk

import slicer


class Default:
    def __init__(self, value: Any) -> None:
        self.value = value


class WithinRange:
    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def check(self, name: str, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{name} = {value} is outside [{self.minimum}, {self.maximum}]")


class _Field:
    """One field: how it is kept in the node, and what it accepts."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self.name, extra = name, getattr(hint, "__metadata__", ())
        hint = typing.get_args(hint)[0] if extra else hint
        self.many = typing.get_origin(hint) is list
        self.kinds = [a for a in typing.get_args(hint) if a is not type(None)] or [hint]
        self.kind = self.kinds[0]
        self.is_node = issubclass(self.kind, slicer.vtkMRMLNode)
        self.checks = [e for e in extra if hasattr(e, "check")]
        self.default = next((e.value for e in extra if isinstance(e, Default)), default)
        if self.default is None and not self.is_node:
            self.default = next(iter(self.kind)) if issubclass(self.kind, enum.Enum) else self.kind()

    def read(self, node: Any) -> Any:
        if self.many:
            count = int(node.GetParameter(f"{self.name}_len") or 0)
            return [node.GetNodeReference(f"{self.name}_{n}") for n in range(count)]
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if issubclass(self.kind, enum.Enum):
            return self.kind[text]
        return text == "True" if self.kind is bool else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        for check in self.checks:
            check.check(self.name, value)
        if self.many:
            self._write_list(node, list(value))
        elif self.is_node:
            self._check_kind(value)
            node.SetNodeReferenceID(self.name, value.GetID() if value else None)
        else:
            value = value if isinstance(value, self.kind) else self.kind(value)
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def _write_list(self, node: Any, values: list[Any]) -> None:
        count = int(node.GetParameter(f"{self.name}_len") or 0)
        for value in values:
            self._check_kind(value)
        with slicer.util.NodeModify(node):
            for n in range(max(count, len(values))):
                value = values[n] if n < len(values) else None
                node.SetNodeReferenceID(f"{self.name}_{n}", value.GetID() if value else None)
            node.SetParameter(f"{self.name}_len", str(len(values)))

    def _check_kind(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.kind):
            raise TypeError(f"{self.name} takes {self.kind.__name__}, not {type(value).__name__}")

    def initialize(self, node: Any) -> None:
        if not self.is_node and not node.HasParameter(self.name):
            self.write(node, self.default)


def _connector(widget: Any, field: _Field) -> tuple[str, Callable[[], Any], Callable[[Any], None]]:
    """The signal of a widget, and how its value is read and written, by the exact class as Slicer demands."""
    kind = widget.className()
    if kind == "qMRMLNodeComboBox":
        # Abstract classes cannot be offered.
        widget.nodeTypes = [kind().GetClassName() for kind in field.kinds]
        return "currentNodeChanged(vtkMRMLNode*)", widget.currentNode, widget.setCurrentNode
    if kind in ("QCheckBox", "QPushButton"):
        return "toggled(bool)", lambda: widget.checked, lambda v: setattr(widget, "checked", v)
    if kind in ("QDoubleSpinBox", "ctkSliderWidget"):
        for check in field.checks:
            widget.setMinimum(check.minimum)
            widget.setMaximum(check.maximum)
        return "valueChanged(double)", lambda: widget.value, lambda v: setattr(widget, "value", v)
    if kind == "QSpinBox":
        return "valueChanged(int)", lambda: widget.value, lambda v: setattr(widget, "value", v)
    if kind == "QComboBox" and issubclass(field.kind, enum.Enum):
        items = list(field.kind)
        widget.clear()
        for item in items:
            widget.addItem(item.label() if hasattr(item, "label") else item.name)
        return (
            "currentIndexChanged(int)",
            lambda: items[widget.currentIndex],
            lambda v: widget.setCurrentIndex(items.index(v)),
        )
    if kind == "QLineEdit":
        return "textChanged(QString)", lambda: widget.text, lambda v: setattr(widget, "text", v)
    raise TypeError(f"A {kind} cannot be connected to {field.name}")


def parameterNodeWrapper(cls: type) -> type:
    """Turns the annotated fields of a class into properties kept in a vtkMRMLScriptedModuleNode."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {name: _Field(name, hint, getattr(cls, name, None)) for name, hint in hints.items()}

    def init(self: Any, node: Any) -> None:
        self.parameterNode, self._gui = node, {}
        for field in fields.values():
            field.initialize(node)

    def connectParametersToGui(self: Any, mapping: dict[str, Any]) -> int:
        busy = [False]
        links = [(widget, fields[name], *_connector(widget, fields[name])) for name, widget in mapping.items()]

        def push(*_: Any) -> None:
            if not busy[0]:
                busy[0] = True
                try:
                    for _w, field, _s, _r, write in links:
                        write(field.read(self.parameterNode))
                finally:
                    busy[0] = False

        def pull(field: _Field, read: Callable[[], Any]) -> Callable[..., None]:
            return lambda *_: None if busy[0] else setattr(self, field.name, read())

        push()
        slots = [(widget, signal, pull(field, read)) for widget, field, signal, read, _ in links]
        for widget, signal, slot in slots:
            widget.connect(signal, slot)
        tag = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, push)
        self._gui[tag] = slots
        return tag

    def disconnectGui(self: Any, tag: int | None) -> None:
        if tag not in self._gui:
            return  # as Slicer has it
        self.parameterNode.RemoveObserver(tag)
        for widget, signal, slot in self._gui.pop(tag):
            widget.disconnect(signal, slot)

    # Not connectGui, which returns no tag in older versions of Slicer.
    cls.__init__ = init  # type: ignore[misc]
    cls.connectParametersToGui, cls.disconnectGui = connectParametersToGui, disconnectGui  # type: ignore[attr-defined]
    cls.AddObserver = lambda self, *a: self.parameterNode.AddObserver(*a)  # type: ignore[attr-defined]
    cls.RemoveObserver = lambda self, tag: self.parameterNode.RemoveObserver(tag)  # type: ignore[attr-defined]
    cls.GetID = lambda self: self.parameterNode.GetID()  # type: ignore[attr-defined]
    for name, field in fields.items():
        setattr(
            cls,
            name,
            property(lambda s, f=field: f.read(s.parameterNode), lambda s, v, f=field: f.write(s.parameterNode, v)),
        )
    return cls
