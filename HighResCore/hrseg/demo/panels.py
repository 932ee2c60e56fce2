"""Slices drawn in millimetres: the image in its own voxels, and label maps outlined along theirs, however fine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hrseg.evaluation.figures import png_bytes
from hrseg.geometry import Grid, Reorientation
from hrseg.image import Image, replacing
from hrseg.labels import Label

INK, PAPER = "#e6e8ea", "#101214"
_CT_WINDOW = (-160.0, 240.0)
#: Voxels that grey values are judged by, at most.
_SAMPLE = 2**20


@dataclass(frozen=True)
class Region:
    """A part of a slice, in mm from its upper left corner."""

    top: float
    bottom: float
    left: float
    right: float

    @property
    def size(self) -> tuple[float, float]:
        """Height and width in mm."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Cut:
    """A slice through a field of view as radiologists look at it, whatever voxels are in it.

    Attributes:
        change: to i, j, k that run nearest to left, posterior and superior.
        extent: mm of the whole field of view, (k, j, i) after ``change``.
        axis: that the slice is perpendicular to, 0 for an axial one.
        position: where, as a share of the extent along it.
    """

    change: Reorientation
    extent: tuple[float, float, float]
    axis: int
    position: float

    @classmethod
    def through(cls, grid: Grid, axis: int, position: float) -> Cut:
        """Of the field of view of a grid; see the attributes."""
        change = grid.reorientation("LPS")
        oriented = grid.reoriented(change)
        k, j, i = (n * step for n, step in zip(oriented.shape, oriented.spacing, strict=True))
        return cls(change, (k, j, i), axis, position)

    @property
    def whole(self) -> Region:
        """All of the slice."""
        height, width = (length for axis, length in enumerate(self.extent) if axis != self.axis)
        return Region(0, height, 0, width)

    def of(self, array: NDArray) -> NDArray:
        """The slice (..., rows, columns) of an array (..., K, J, I) of any number of voxels over the field of view."""
        oriented = self.change.apply(array)
        axis = self.axis - 3
        plane = np.take(oriented, min(int(self.position * oriented.shape[axis]), oriented.shape[axis] - 1), axis=axis)
        # j runs to the back, which is down in an axial view; k runs upwards in the others.
        return plane if self.axis == 0 else plane[..., ::-1, :]


def gray_window(image: Image) -> tuple[float, float]:
    """Grey values shown as black and white: soft tissue for CT, all of 8-bit colours, else robust percentiles."""
    if image.array.dtype.kind == "i" and image.array.min() < -500:
        return _CT_WINDOW
    if image.channels == 3 and image.array.dtype == np.uint8:
        return 0.0, 255.0
    values = image.array.reshape(-1)[:: max(1, image.array.size // _SAMPLE)]
    low, high = np.nanpercentile(values, (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def show_image(ax: Axes, image: Image, cut: Cut, window: tuple[float, float], region: Region) -> None:
    """The image's voxels, with sharp edges, in ``region``."""
    gray = np.clip((cut.of(image.array).astype(np.float32) - window[0]) / (window[1] - window[0]), 0, 1)
    pixels = np.moveaxis(gray, 0, -1) if len(gray) == 3 else gray[0]
    whole = cut.whole
    extent = (whole.left, whole.right, whole.bottom, whole.top)
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest")
    ax.set_xlim(region.left, region.right)
    ax.set_ylim(region.bottom, region.top)
    # Unlike set_axis_off(), this leaves the layout room for the title.
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def outline(ax: Axes, mask: NDArray[np.bool_], region: Region, color: Sequence[float] | str, width: float) -> None:
    """The edges between the voxels inside and outside a mask (rows, columns) that fills ``region``."""
    lines = LineCollection(list(edges(mask, region)), colors=[color], linewidths=width, capstyle="projecting")
    ax.add_collection(lines, autolim=False)


def edges(mask: NDArray[np.bool_], region: Region) -> NDArray[np.float64]:
    """Lines (N, 2, 2) from (x, y) to (x, y) in mm around a mask that fills ``region``; its border counts as outside."""
    inside = np.pad(mask, 1).astype(np.int8)
    down, right = np.argwhere(np.diff(inside, axis=0)[:, 1:-1]), np.argwhere(np.diff(inside, axis=1)[1:-1])
    height, width = (length / n for length, n in zip(region.size, mask.shape, strict=True))
    rows, columns = (np.concatenate([down, right])[:, axis].astype(float) for axis in (0, 1))
    across = np.concatenate([np.ones(len(down)), np.zeros(len(right))])
    x, y = region.left + columns * width, region.top + rows * height
    return np.stack([np.stack([x, y], 1), np.stack([x + across * width, y + (1 - across) * height], 1)], 1)


def dark_figure(rows: int, columns: int, panel: tuple[float, float], legend: float = 0.35) -> tuple[Figure, list[Axes]]:
    """A dark figure of panels of (height, width) inches, with room for a legend below; its axes row by row."""
    figure = Figure(
        figsize=(columns * panel[1], rows * panel[0] + legend),
        facecolor=PAPER,
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.04),
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    return figure, axes


def add_legend(figure: Figure, labels: Iterable[Label], truth: str = "") -> None:
    """Below the figure: the colours of labels and, where there is one, the thin white line of the truth."""
    lines = [Line2D([], [], color="white", linewidth=1, label=truth)] if truth else []
    lines += [Line2D([], [], color=rgb(label), linewidth=4, label=label.name) for label in labels]
    figure.legend(handles=lines, loc="outside lower center", ncols=6, fontsize=8, labelcolor=INK, frameon=False)


def rgb(label: Label) -> tuple[float, float, float]:
    """The label's colour, 0 to 1."""
    red, green, blue = (part / 255 for part in label.color)
    return red, green, blue


def write_figure(path: Path, figure: Figure) -> None:
    """Writes a PNG file. Raises OutputError when that fails."""
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(figure))
