"""Makes the picture of the CropCascade module that the Extensions Manager shows, of the real panel, view and worker.

    python Testing/slicer/screenshots.py

The cells are synthetic; the boxes are what the bundled model proposes, one of them chosen, the result is what it finds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
for _folder in ("HighResCore", "CropCascade", "SRSegmentation", "OSSNet", "Testing/slicer"):
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
from PySide6 import QtCore, QtGui

HEIGHT = 760


def cells(shape: tuple[int, int] = (400, 400), count: int = 14) -> NDArray[np.uint8]:
    """Bright ellipses with soft borders on a dark, noisy ground, (1, J, I, 3)."""
    rng = np.random.default_rng(4)
    j, i = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 14.0)
    for _ in range(count):
        y, x, a, b, turn = (*rng.uniform(30, np.array(shape) - 30), *rng.uniform(12, 22, 2), rng.uniform(0, np.pi))
        u, v = (j - y) * np.cos(turn) + (i - x) * np.sin(turn), (i - x) * np.cos(turn) - (j - y) * np.sin(turn)
        image += rng.uniform(70, 150) / (1 + np.exp(8 * (np.hypot(u / a, v / b) - 1)))
    image += rng.normal(0, 4, shape)
    grey = image.clip(0, 255).astype(np.uint8)
    return np.repeat(grey[None, ..., None], 3, axis=-1)


def done(widget: Any) -> None:
    """Waits for the run that was started."""
    end = time.monotonic() + 120
    while widget.panel.run.running and time.monotonic() < end:
        panel_env.spin(1)
        time.sleep(0.02)


def side_by_side(left: QtGui.QPixmap, right: QtGui.QPixmap) -> QtGui.QPixmap:
    """Both on black, as Slicer's window has them."""
    whole = QtGui.QPixmap(left.width() + right.width(), max(left.height(), right.height()))
    whole.fill(QtCore.Qt.GlobalColor.black)
    painter = QtGui.QPainter(whole)
    painter.drawPixmap(0, 0, left)
    painter.drawPixmap(left.width(), (whole.height() - right.height()) // 2, right)
    painter.end()
    return whole


def main() -> None:
    view = views.SliceView(size=(HEIGHT, HEIGHT))
    volume = slicer.util.addVolumeFromArray(
        cells(), np.diag([-1.0, -1.0, 1.0, 1.0]), "Cells", "vtkMRMLVectorVolumeNode"
    )
    module = panel_env.load_module("CropCascade")
    window = panel_env.window()
    widget = module.CropCascadeWidget(window)
    widget.setup()
    window.show()
    widget.enter()
    widget.panel.parameters.inputVolume = volume
    widget.panel._modelChosen("nuclei-crop-cascade")
    widget.panel.propose()
    done(widget)
    widget.panel.boxes.select(widget.panel.boxes.rois[0])
    widget.panel.apply()
    done(widget)
    panel_env.spin(5)
    window.resize(440, HEIGHT)
    panel_env.spin(5)
    view.show(volume)
    file = ROOT / "Resources/Screenshots/CropCascade.png"
    view.picture(file)
    side_by_side(window.grab(), QtGui.QPixmap(str(file))).save(str(file))
    widget.cleanup()


if __name__ == "__main__":
    main()
