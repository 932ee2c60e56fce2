"""Slicer's Python-flavoured Qt on PySide6: modules ``qt`` and ``ctk``, and the Slicer widgets that our panels use.

It proves wiring: that a panel loads, that names, signals and slots fit, what is enabled when. It cannot prove how the
genuine Slicer widgets behave or look.
"""

# ruff: noqa: N802, N807 -- the stand-ins have the names that Qt, ctk and Slicer gave the originals.

from __future__ import annotations

import os
import re
import sys
import types
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets
from qt_widgets import WIDGETS, Placeholder
from slicer_env import slicer

#: Exceptions raised inside slots, which Qt would only print.
errors: list[BaseException] = []
#: Slicer classes for which there is a mere placeholder.
placeholders: set[str] = set()
#: Virtual functions that are properties, too: left alone.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}


def install() -> QtWidgets.QApplication:
    """A QApplication, the modules ``qt`` and ``ctk``, and the widgets in ``slicer``."""
    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["test"])
    if "qt" in sys.modules:
        return app
    app.setStyle("Fusion")
    _remember_exceptions()
    qt, ctk = types.ModuleType("qt"), types.ModuleType("ctk")
    for module in (QtCore, QtGui, QtWidgets, QtUiTools):
        for name in (n for n in dir(module) if not n.startswith("_")):
            value = getattr(module, name)
            setattr(qt, name, value)
            if isinstance(value, type) and issubclass(value, QtCore.QObject):
                _add_properties(value)
                _connect_by_text(value)
    for kind in WIDGETS.values():
        _add_properties(kind)
        if kind.__name__.startswith("qMRML"):
            setattr(slicer, kind.__name__, kind)
    QtCore.QObject.name = property(  # type: ignore[attr-defined]
        lambda s: s.property("objectName"), lambda s, v: s.setProperty("objectName", v)
    )
    QtCore.QObject.className = lambda s: type(s).__name__  # type: ignore[attr-defined]
    qt.QUiLoader = _Loader  # type: ignore[attr-defined]
    ctk.__getattr__ = _ctk_class  # type: ignore[method-assign]
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk
    return app


def _remember_exceptions() -> None:
    previous = sys.excepthook

    def hook(kind: type[BaseException], value: BaseException, trace: Any) -> None:
        errors.append(value)
        previous(kind, value, trace)

    sys.excepthook = hook


class _Attribute:
    """One Qt property as an attribute; seen from the class it is whatever was there, such as a static function."""

    def __init__(self, name: str, before: Any) -> None:
        self.name, self.before = name, before

    def __get__(self, instance: Any, owner: type) -> Any:
        return self.before if instance is None else instance.property(self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        instance.setProperty(self.name, value)


def _add_properties(cls: Any) -> None:
    """Makes every Qt property of a class a plain attribute (``w.enabled = False``), as PythonQt does."""
    if "staticMetaObject" not in cls.__dict__:
        return
    meta = cls.staticMetaObject
    for number in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(number).name()
        if name not in _VIRTUAL and not isinstance(cls.__dict__.get(name), (_Attribute, QtCore.Property)):
            setattr(cls, name, _Attribute(name, getattr(cls, name, None)))


def _signal(sender: Any, text: str) -> Any:
    """The signal of that signature. PythonQt refuses unknown ones, and so do we."""
    match = re.match(r"(\w+)\((.*)\)$", text.replace(" ", ""))
    name, arguments = match.groups() if match else (text, "")
    chosen = getattr(type(sender), "_overloads", {}).get((name, arguments))
    signal = getattr(sender, chosen or name, None)
    if signal is None or not hasattr(signal, "emit"):
        raise ValueError(f"{type(sender).__name__} has no signal {text}")
    known = chosen or not arguments or "*" in arguments or name in getattr(type(sender), "_own", ())
    if not known and sender.metaObject().indexOfSignal(text.replace(" ", "")) < 0:
        raise ValueError(f"{type(sender).__name__} has no signal {text}")
    return signal


def _connect(self: Any, signal: Any, *target: Any) -> Any:
    if not isinstance(signal, str):
        return QtCore.QObject.connect(signal, *target)  # PySide's own calls
    slot = target[-1] if callable(target[-1]) else getattr(target[0], target[1].split("(")[0])
    _signal(self, signal).connect(slot)
    return True


def _disconnect(self: Any, signal: str, slot: Callable[..., Any] | None = None) -> bool:
    try:
        _signal(self, signal).disconnect(*([slot] if slot else []))
    except (RuntimeError, TypeError):
        return False
    return True


def _equipped(instance: Any) -> Any:
    """PySide resolves ``connect`` natively, whatever the class says; an attribute on the instance wins."""
    instance.connect = types.MethodType(_connect, instance)
    instance.disconnect = types.MethodType(_disconnect, instance)
    return instance


def _connect_by_text(cls: Any) -> None:
    init = cls.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        _equipped(self)

    cls.__init__ = __init__


def _widget_class(name: str) -> Any:
    if name not in WIDGETS:
        placeholders.add(name)
        WIDGETS[name] = type(name, (Placeholder,), {})
        _add_properties(WIDGETS[name])
    return WIDGETS[name]


def _ctk_class(name: str) -> Any:
    if not name.startswith("ctk"):
        raise AttributeError(name)
    return _widget_class(name)


class _Loader(QtUiTools.QUiLoader):
    """Reads .ui files that have Slicer's widgets, and forwards the scene along the connections they declare."""

    def createWidget(self, kind: str, parent: Any = None, name: str = "") -> Any:
        if re.match(r"(qMRML|qSlicer|ctk)", kind):
            widget = _widget_class(kind)(parent)
            widget.setObjectName(name)
        else:
            widget = _equipped(super().createWidget(kind, parent, name))
        self._made.append(widget)
        return widget

    def load(self, device: Any, parent: Any = None) -> Any:
        self._made: list[Any] = []
        text = bytes(device.readAll()).decode()
        buffer = QtCore.QBuffer()
        buffer.setData(re.sub("<connections>.*</connections>", "", text, flags=re.S).encode())
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        root: Any = super().load(buffer, parent)
        for connection in ET.fromstring(text).iter("connection"):
            sender, receiver = (self._find(root, connection.findtext(end)) for end in ("sender", "receiver"))
            if connection.findtext("signal", "").startswith("mrmlSceneChanged"):
                sender.receivers = (*sender.receivers, receiver)
        # What Python knows of a widget is lost when nobody refers to it, though the widget lives on.
        root.made = self._made
        return root

    @staticmethod
    def _find(root: Any, name: str | None) -> Any:
        found = root if root.objectName == name else root.findChild(QtCore.QObject, name)
        if found is None:
            raise ValueError(f'The .ui file connects "{name}", which it does not have')
        return found
