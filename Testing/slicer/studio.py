"""Pictures of a module as its user sees it: the real panel, what is to be used in a frame, and views beside it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for _folder in ("HighResCore", "CropCascade", "SRSegmentation", "OSSNet", "Testing", "Testing/slicer"):
    sys.path.insert(0, str(ROOT / _folder))

import slicer_env
import slicer_shim

slicer = slicer_env.slicer
slicer_env.boot()
slicer_shim.install(slicer)

import numpy as np
import panel_env
import views
from numpy.typing import NDArray
from PIL import Image
from PySide6 import QtCore, QtGui

views.can_draw()
#: Pixels: of the panel, and of a whole picture without it.
PANEL, WIDTH, HEIGHT = 430, 700, 700
_FRAME = QtGui.QColor(230, 115, 0)
_BADGE = 18
_GAP = 4
_LIMIT_SECONDS = 600.0


class Studio:
    """A module on an empty scene, with the real worker.

    Args:
        module: its name.
        folder: where pictures go.
        title: what their names begin with.
        first: number of the first step that is taken.
    """

    def __init__(self, module: str, folder: Path, title: str, first: int = 1) -> None:
        self._folder, self._title, self._count = folder, title, first - 1
        self._window = panel_env.window(PANEL, HEIGHT)
        self.widget = getattr(panel_env.load_module(module), f"{module}Widget")(self._window)
        self.widget.setup()
        self._window.show()

    @property
    def panel(self) -> Any:
        """The module's panel."""
        return self.widget.panel

    @property
    def parameters(self) -> Any:
        """What is chosen."""
        return self.panel.parameters

    def open(self, volume: Any, model: str) -> None:
        """Enters the module, and chooses volume and model as a user does."""
        self.widget.enter()
        self.parameters.inputVolume = volume
        entries = self.panel.models.entries
        names = [entry.name for entry in entries if not entry.problem]
        if model not in names:
            raise SystemExit(f'There is no model "{model}" for this module; found: {", ".join(names) or "none"}.')
        self.panel._modelChosen(model)
        self.settle()

    def press(self, button: Any) -> None:
        """Presses a button that starts a run, and waits for its end, which must be a good one."""
        button.click()
        self.settle()
        run = self.panel.run
        if run.warningLabel.isVisibleTo(self._window):
            raise SystemExit(f"{self._title}, after step {self._count}: {run.statusLabel.text}")

    def settle(self) -> None:
        """Waits until the worker has answered all, the forecast, too."""
        self._answers()
        self.panel.forecast.ask()
        self._answers()
        panel_env.spin(5)

    def _answers(self) -> None:
        end = time.monotonic() + _LIMIT_SECONDS
        while self.widget.logic.jobs.active and time.monotonic() < end:
            self.panel.run.tick()
            panel_env.spin(1)
            time.sleep(0.01)

    def fold(self, *closed: str) -> None:
        """Closes these sections of the panel, and opens the others, but for the log."""
        for name in (name for name in vars(self.panel.ui) if name.endswith("Button")):
            section = getattr(self.panel.ui, name)
            if type(section).__name__ == "ctkCollapsibleButton":
                section.collapsed = name in closed
        panel_env.spin(5)

    def step(self, *used: Any, beside: Sequence[views.SliceView | views.ThreeDView]) -> None:
        """Takes the picture of the next step.

        Args:
            used: widgets of the panel that are framed, and numbered where there are several.
            beside: views, from left to right.
        """
        self._count += 1
        self.picture(self._folder / f"{self._title}-{self._count}.png", *used, beside=beside)

    def picture(self, path: Path, *used: Any, beside: Sequence[views.SliceView | views.ThreeDView]) -> None:
        """Writes a picture of the panel and the views as they are now; see :meth:`step`."""
        self._window.resize(PANEL, HEIGHT)
        panel_env.spin(5)
        too_high = self._window.sizeHint().height() - HEIGHT
        if too_high > 0:
            print(f"{path.name}: the panel lacks {too_high} pixels; fold a section.")
        save(together([_framed(self._window, used), *(view.picture() for view in beside)]), path)

    def close(self) -> None:
        """Ends the worker."""
        self.widget.cleanup()
        self._window.close()


def together(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures (rows, columns, RGB) from left to right, as high as the last, on black."""
    height = len(parts[-1])
    whole = np.zeros((height, sum(part.shape[1] for part in parts) + _GAP * (len(parts) - 1), 3), np.uint8)
    column = 0
    for part in parts:
        whole[: len(part), column : column + part.shape[1]] = part[:height]
        column += part.shape[1] + _GAP
    return whole


def save(picture: NDArray[np.uint8], path: Path) -> None:
    """Writes a picture (rows, columns, RGB) in 256 colours, which is a third of the size and looks the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def slice_view(name: str = "Red", part: int = 1) -> views.SliceView:
    """A slice view that takes one of so many equal parts of the place beside the panel."""
    return views.SliceView(size=(_share(part), HEIGHT), name=name)


def three_d_view(part: int = 1) -> views.ThreeDView:
    """Such a 3D view."""
    return views.ThreeDView(size=(_share(part), HEIGHT))


def zoom(view: views.SliceView, center: Sequence[float], width: float) -> None:
    """Shows so many mm around a point (RAS)."""
    columns, rows = view.node.GetDimensions()[:2]
    view.node.JumpSliceByCentering(*center)
    view.node.SetFieldOfView(width, width * rows / columns, view.node.GetFieldOfView()[2])
    view.node.UpdateMatrices()


def _share(part: int) -> int:
    return (WIDTH - _GAP * (part - 1)) // part


def _framed(window: Any, used: Sequence[Any]) -> NDArray[np.uint8]:
    """The window, (rows, columns, RGB), with frames around widgets."""
    picture = window.grab()
    painter = QtGui.QPainter(picture)
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    for number, widget in enumerate(used, start=1):
        corner = widget.mapTo(window, QtCore.QPoint(0, 0))
        box = QtCore.QRect(corner, QtCore.QSize(widget.width, widget.height)).adjusted(-3, -3, 3, 3)
        painter.setPen(QtGui.QPen(_FRAME, 3))
        painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(box, 5, 5)
        if len(used) > 1:
            badge = QtCore.QRect(max(0, box.left() - _BADGE), box.center().y() - _BADGE // 2, _BADGE, _BADGE)
            painter.setBrush(_FRAME)
            painter.drawEllipse(badge)
            painter.setPen(QtCore.Qt.GlobalColor.white)
            painter.drawText(badge, QtCore.Qt.AlignmentFlag.AlignCenter, str(number))
    painter.end()
    image = picture.toImage().convertToFormat(QtGui.QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()
