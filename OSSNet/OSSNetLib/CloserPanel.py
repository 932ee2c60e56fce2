"""The part of the panel that chooses how a field is looked at: resolution, region, level and label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from HighResSegmentationLib.DevicePanel import memoryText
from HighResSegmentationLib.Drawing import Drawing
from hrseg.errors import HrsegError
from OSSNetLib.Sampling import Sampling, gridOf, shapeText, spacingText

#: Bytes per voxel of a label map node, and of a probability.
_LABEL_BYTES, _PROBABILITY_BYTES = 2, 4


class CloserPanel(VTKObservationMixin):
    """Wires drawRegionButton, labelComboBox, levelSlider and sizeLabel; the rest is bound by name.

    Args:
        ui: the widgets.
        icon: of the button that draws.
        onFailed: told why a region cannot be drawn.
    """

    def __init__(self, ui: Any, icon: qt.QIcon, onFailed: Callable[[Exception], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._ui, self._onFailed = ui, onFailed
        self._parameters: Any = None
        self._labels: Sequence[str] = ()
        self._drawing = Drawing(self._drawn)
        ui.drawRegionButton.setIcon(icon)
        ui.drawRegionButton.connect("clicked()", self._toggleDrawing)
        ui.labelComboBox.connect("activated(int)", self._labelChosen)

    def sampling(self) -> Sampling:
        """The choices."""
        p = self._parameters
        names = list(self._labels)
        return Sampling(
            factor=p.factor,
            equalSpacing=p.equalSpacing,
            region=p.region,
            level=p.level if p.ownLevel else None,
            # The values of a model's labels count from 1.
            labels=(names.index(p.label) + 1,) if p.label in names else (),
        )

    def show(self, parameters: Any, labels: Sequence[str]) -> None:
        """Shows the choices, and what comes of them; ``labels``: the names of the model's."""
        self._follow(parameters.region)
        self._parameters = parameters
        box = self._ui.labelComboBox
        if list(labels) != list(self._labels) or not box.count:
            self._labels = tuple(labels)
            box.clear()
            for name in (_("All labels"), *labels):
                box.addItem(name)
        box.setCurrentIndex(list(labels).index(parameters.label) + 1 if parameters.label in labels else 0)
        box.enabled = len(labels) > 1
        self._ui.levelSlider.enabled = parameters.ownLevel
        self._showSize()

    def stop(self) -> None:
        """Leaves place mode."""
        self._drawing.stop()

    def forget(self) -> None:
        """The scene goes, or the panel is left."""
        self.stop()
        self.removeObservers()
        self._parameters = None

    def _follow(self, region: Any) -> None:
        """The size depends on where a region's handles are."""
        if region is not None and self.hasObserver(region, region.PointModifiedEvent, self._moved):
            return
        self.removeObservers()
        if region is not None:
            self.addObserver(region, region.PointModifiedEvent, self._moved)

    def _moved(self, caller: Any, event: Any) -> None:
        self._showSize()

    def _showSize(self) -> None:
        p = self._parameters
        if p is None or p.inputVolume is None:
            self._ui.sizeLabel.text = ""
            return
        sampling = self.sampling()
        try:
            grid = gridOf(p.inputVolume, sampling)
        except HrsegError as error:
            self._ui.sizeLabel.text = str(error)
            return
        labels = len(sampling.labels) or max(1, len(self._labels))
        self._ui.sizeLabel.text = _("{spacing}\n{shape}\nLabel map {small}, probability {large}").format(
            spacing=spacingText(grid),
            shape=shapeText(grid),
            small=_memory(_LABEL_BYTES * grid.size),
            large=_memory(_PROBABILITY_BYTES * labels * grid.size),
        )

    def _labelChosen(self, index: int) -> None:
        self._parameters.label = "" if index <= 0 else self._labels[index - 1]

    def _toggleDrawing(self) -> None:
        if self._drawing.active:
            self._drawing.stop()
            return
        try:
            self._drawing.start(self._parameters.inputVolume)
        except HrsegError as error:
            self._onFailed(error)
        self._ui.drawRegionButton.checked = self._drawing.active

    def _drawn(self, roi: Any) -> None:
        self._ui.drawRegionButton.checked = False
        if roi is not None and self._parameters is not None:
            self._parameters.region = roi


def _memory(size: int) -> str:
    return memoryText(size) if size >= 2**20 else _("below 1 MB")
