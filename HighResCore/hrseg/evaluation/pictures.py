"""Pictures of cases: truth and prediction outlined on slices of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, withStroke
from numpy.typing import NDArray

from hrseg.bounding_box import bounding_box
from hrseg.errors import InputError
from hrseg.geometry import Box, Floats, Grid
from hrseg.labels import Label

#: Bright colours that differ for everybody, for labels without their own (after Okabe and Ito 2008).
_COLORS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 180, 135),
    (240, 228, 66),
    (230, 100, 40),
    (220, 130, 180),
    (120, 150, 255),
)
_LEGEND_COLUMNS = 6
_CT_WINDOW = (-160.0, 240.0)
#: Array axis across the view (of an LPS image) -> letters at the left, right, top and bottom.
_LETTERS = {0: "RLAP", 1: "RLSI", 2: "APSI"}


@dataclass(frozen=True, eq=False)
class CasePicture:
    """What a picture of a case shows.

    Attributes:
        name: of the case.
        image: (K, J, I), or (C, K, J, I) with one grey channel or three colours.
        grid: where the voxels of all three arrays lie.
        truth, prediction: label maps (K, J, I).
        caption: text below the picture.
        labels: names and colours of what to draw; empty draws every value under a generic name.
    """

    name: str
    image: NDArray
    grid: Grid
    truth: NDArray
    prediction: NDArray
    caption: str = ""
    labels: Sequence[Label] = ()

    def __post_init__(self) -> None:
        if not self.truth.shape == self.prediction.shape == self.image.shape[-3:] == self.grid.shape:
            raise InputError(
                f"The image {self.image.shape}, truth {self.truth.shape} and prediction {self.prediction.shape} of "
                f'"{self.name}" must share their grid\'s shape {self.grid.shape} (K, J, I); resample them to it first.'
            )


class View(NamedTuple):
    """A cut through an image across array axis ``axis``: ``box`` has one voxel along it."""

    axis: int
    box: Box

    def millimetres(self, grid: Grid) -> tuple[float, float]:
        """Height and width."""
        height, width = (self.box.shape[a] * grid.spacing[a] for a in range(3) if a != self.axis)
        return height, width

    def of(self, array: NDArray) -> NDArray:
        """The cut of an array (..., K, J, I)."""
        return np.squeeze(array[(..., *self.box.slices)], axis=self.axis - 3)


def contour_figure(picture: CasePicture) -> Figure:
    """Truth (solid) and prediction (dashed) outlined on the image, as radiologists look at it.

    A volume is cut into axial, coronal and sagittal slices where the most foreground is, cropped around it. The
    patient's right is on the left; anterior is on top in the axial view, superior in the others. A 2D image is
    shown whole, and again around its foreground when that is small.
    """
    picture = _reoriented(picture)
    foreground = (picture.truth > 0) | (picture.prediction > 0)
    labels = _present_labels(picture, foreground)
    whole = Box.whole(foreground.shape)
    detail = _around(foreground, picture.grid)
    flat = [axis for axis, n in enumerate(foreground.shape) if n == 1]
    if flat:
        views = [View(flat[0], whole), View(flat[0], detail)][: 2 if detail.size < whole.size / 4 else 1]
    else:
        views = [View(axis, _slice_of(detail, axis, _fullest(foreground, axis))) for axis in _LETTERS]
    sizes = [view.millimetres(picture.grid) for view in views]
    figure, axes = _canvas(sizes, legend_rows=math.ceil((len(labels) + 2) / _LEGEND_COLUMNS))
    window = _window(picture.image, detail)
    for ax, view in zip(axes, views, strict=True):
        _draw_view(ax, picture, labels, window, view)
    _add_legend(figure, labels)
    return figure


def _reoriented(picture: CasePicture) -> CasePicture:
    """The same picture with i, j, k running nearest to left, posterior and superior, and channels first."""
    change = picture.grid.reorientation("LPS")
    image = picture.image if picture.image.ndim == 4 else picture.image[None]
    arrays = [change.apply(a) for a in (image, picture.truth, picture.prediction)]
    return CasePicture(
        picture.name, arrays[0], picture.grid.reoriented(change), arrays[1], arrays[2], picture.caption, picture.labels
    )


def _present_labels(picture: CasePicture, foreground: NDArray[np.bool_]) -> list[Label]:
    """The labels that occur in the truth or the prediction."""
    found = [np.unique(array[foreground]) for array in (picture.truth, picture.prediction)]
    present = [int(v) for v in np.union1d(*found) if v > 0]
    if picture.labels:
        return [label for label in picture.labels if label.value in present]
    return [Label(v, f"label {v}", _COLORS[n % len(_COLORS)]) for n, v in enumerate(present)]


def _around(foreground: NDArray[np.bool_], grid: Grid) -> Box:
    """The foreground's bounding box with a margin of a third of its size, at least four voxels; all if it is empty."""
    box = bounding_box(foreground)
    if box is None:
        return Box.whole(foreground.shape)
    spacing = np.asarray(grid.spacing)
    size = float((np.asarray(box.shape) * spacing).max())
    return box.expand(np.maximum(4, np.ceil(size / 3 / spacing)).astype(int).tolist()).clip(foreground.shape)


def _slice_of(box: Box, axis: int, index: int) -> Box:
    start, stop = list(box.start), list(box.stop)
    start[axis], stop[axis] = index, index + 1
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _fullest(foreground: NDArray[np.bool_], axis: int) -> int:
    """Index of the slice across ``axis`` with the most foreground, the middle one when there is none."""
    counts = foreground.sum(axis=tuple({0, 1, 2} - {axis}))
    return int(counts.argmax()) if counts.any() else len(counts) // 2


def _window(image: NDArray, box: Box) -> tuple[float, float]:
    """Grey values shown as black and white: soft tissue for CT, else robust percentiles around the foreground."""
    if image.dtype.kind == "i" and image.min() < -500:
        return _CT_WINDOW
    if image.shape[0] == 3 and image.dtype == np.uint8:
        return 0.0, 255.0
    # About a million voxels tell as much as all of them.
    step = max(1, round((box.size / 1e6) ** (1 / 3)))
    k, j, i = (slice(s.start, s.stop, step) for s in box.slices)
    low, high = np.nanpercentile(image[:, k, j, i], (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def _canvas(sizes: list[tuple[float, float]], legend_rows: int) -> tuple[Figure, list[Axes]]:
    """A dark figure with a row of panels of equal height and these proportions (height, width)."""
    widths = [min(max(w / h, 0.4), 2.5) for h, w in sizes]
    height = min(3.6, 9.6 / sum(widths))
    figure = Figure(
        figsize=(max(height * sum(widths), 4.0), height + 0.15 + 0.2 * legend_rows),
        facecolor="#101214",
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02),
    )
    axes = figure.subplots(1, len(sizes), squeeze=False, width_ratios=widths)[0]
    return figure, list(axes)


def _draw_view(
    ax: Axes, picture: CasePicture, labels: Sequence[Label], window: tuple[float, float], view: View
) -> None:
    grey = np.clip((view.of(picture.image).astype(np.float32) - window[0]) / (window[1] - window[0]), 0, 1)
    pixels = np.moveaxis(grey, 0, -1) if len(grey) == 3 else grey[0]
    rows, columns = (picture.grid.spacing[a] for a in range(3) if a != view.axis)
    # j runs to the back, which is down in an axial view; k runs upwards in the others.
    origin: Literal["upper", "lower"] = "upper" if view.axis == 0 else "lower"
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, origin=origin, aspect=rows / columns)
    ax.autoscale(False)
    truth, prediction = view.of(picture.truth), view.of(picture.prediction)
    for label in labels:
        color = np.array(label.color) / 255
        _outline(ax, truth == label.value, color, "solid")
        _outline(ax, prediction == label.value, _pale(color), "dashed")
    ax.set_axis_off()
    # Photographs and slices saved as PNG have no known orientation.
    if 1 not in picture.truth.shape:
        _add_letters(ax, _LETTERS[view.axis])


def _add_letters(ax: Axes, letters: str) -> None:
    for letter, (x, y) in zip(letters, ((0.03, 0.5), (0.97, 0.5), (0.5, 0.96), (0.5, 0.04)), strict=True):
        text = ax.text(x, y, letter, transform=ax.transAxes, color="white", fontsize=8, ha="center", va="center")
        text.set_path_effects([withStroke(linewidth=2, foreground="black", alpha=0.7)])


def _outline(ax: Axes, mask: NDArray[np.bool_], color: Floats, style: str) -> None:
    if not mask.any():
        return
    # A ring of background closes the contours of objects at the border.
    rows, columns = (np.arange(-1, n + 1) for n in mask.shape)
    padded = np.pad(mask, 1).astype(float)
    contours = ax.contour(columns, rows, padded, [0.5], colors=[tuple(color)], linestyles=style, linewidths=1.5)
    contours.set_path_effects([withStroke(linewidth=2.2, foreground="black", alpha=0.5), Normal()])


def _pale(color: Floats) -> Floats:
    """Mixed with white, to tell the prediction from the truth where their lines run together."""
    return 0.35 * color + 0.65


def _add_legend(figure: Figure, labels: Sequence[Label]) -> None:
    ink = "#e6e8ea"
    lines = [Line2D([], [], color=ink, linestyle="solid", label="truth")]
    lines += [Line2D([], [], color=ink, linestyle="dashed", label="prediction")]
    for label in labels:
        red, green, blue = (c / 255 for c in label.color)
        lines.append(Line2D([], [], color=(red, green, blue), linewidth=4, label=label.name))
    figure.legend(
        handles=lines, loc="outside lower center", ncols=_LEGEND_COLUMNS, fontsize=7, labelcolor=ink, frameon=False
    )
