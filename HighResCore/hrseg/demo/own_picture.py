"""The picture of a user's image: three slices through what was found, whole and close."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hrseg.demo.panels import INK, Cut, Region, add_legend, dark_figure, gray_window, outline, rgb, show_image
from hrseg.geometry import Floats, Grid
from hrseg.image import Image, LabelMap
from hrseg.labels import Label

#: Added around what was found, as a share of its size, and at least so many mm.
_MARGIN, _LEAST = 0.25, 5.0
#: Around this much of the slice a frame of its own shows nothing new.
_NEARLY_ALL = 0.8
_VIEWS = ("axial", "coronal", "sagittal")
#: Letters at the left, right, top and bottom of the views.
_LETTERS = ("RLAP", "RLSI", "APSI")


def own_figure(image: Image, found: LabelMap, labels: list[Label], truth: LabelMap | None = None) -> Figure:
    """Slices where the most was found: whole, and the part around it. A 2D image is shown alone, and outlined.

    Args:
        image: whose voxels are shown.
        found: at any resolution over the image's field of view.
        labels: what its values mean.
        truth: at any resolution, too, in the same values.
    """
    masks = [found.array > 0] + ([truth.array > 0] if truth else [])
    flat = 1 in image.grid.shape
    cuts = [_fullest(image.grid, axis, masks) for axis in (_flat_axis(image.grid) if flat else (0, 1, 2))]
    regions = [_around(cut, masks) for cut in cuts]
    rows = 2 if flat or any(region != cut.whole for cut, region in zip(cuts, regions, strict=True)) else 1
    figure, axes = dark_figure(1, 2, (3.6, 3.6)) if flat else dark_figure(rows, 3, (3.1, 3.1))
    window = gray_window(image)
    for number, ax in enumerate(axes):
        cut, region, close = cuts[number % len(cuts)], regions[number % len(cuts)], number >= len(cuts)
        show_image(ax, image, cut, window, region if close else cut.whole)
        if not close:
            ax.set_title("image" if flat else _VIEWS[cut.axis], color=INK, fontsize=9)
            _add_frame(ax, region, cut)
        if close or not flat:
            _draw(ax, cut, found, labels, truth)
        if not flat:
            _add_letters(ax, _LETTERS[cut.axis])
    if flat:
        axes[1].set_title("what was found", color=INK, fontsize=9)
    present = [label for label in labels if any((m.array == label.value).any() for m in (found, truth) if m)]
    add_legend(figure, present, "truth" if truth else "")
    return figure


def _flat_axis(grid: Grid) -> list[int]:
    """The axis of a single slice, after turning the image as it is looked at."""
    return [grid.reoriented(grid.reorientation("LPS")).shape.index(1)]


def _fullest(grid: Grid, axis: int, masks: list[NDArray[np.bool_]]) -> Cut:
    """The slice across ``axis`` with the most of the masks, the middle one when there is nothing."""
    change = grid.reorientation("LPS")
    shares = [_filled(change.apply(mask), axis) for mask in masks]
    longest = max(len(share) for share in shares)
    total = np.sum([share[(np.arange(longest) * len(share)) // longest] for share in shares], axis=0)
    best = int(np.argmax(total)) if np.any(total) else longest // 2
    return Cut.through(grid, axis, (best + 0.5) / longest)


def _filled(mask: NDArray[np.bool_], axis: int) -> Floats:
    """The share of each slice across ``axis`` that a mask fills."""
    counts: Floats = np.count_nonzero(mask, axis=tuple({0, 1, 2} - {axis})).astype(np.float64)
    return counts * len(counts) / mask.size


def _around(cut: Cut, masks: list[NDArray[np.bool_]]) -> Region:
    """The part of the slice around the masks; all of it where they are nearly as large, or empty."""
    height, width = cut.whole.size
    planes = [cut.of(mask) for mask in masks]
    top, bottom = _ends([np.count_nonzero(plane, axis=1) for plane in planes], height)
    left, right = _ends([np.count_nonzero(plane, axis=0) for plane in planes], width)
    if top > bottom:
        return cut.whole
    margin = max(_MARGIN * max(bottom - top, right - left), _LEAST)
    region = Region(
        max(0.0, top - margin), min(height, bottom + margin), max(0.0, left - margin), min(width, right + margin)
    )
    return cut.whole if np.prod(region.size) > _NEARLY_ALL * height * width else region


def _ends(counts: list[NDArray[np.intp]], length: float) -> tuple[float, float]:
    """From where to where lines of ``length`` mm in all are not empty, in any of the masks; inf and -inf: nowhere."""
    low, high = np.inf, -np.inf
    for count in counts:
        places, step = np.flatnonzero(count), length / len(count)
        if len(places):
            low, high = min(low, float(places[0]) * step), max(high, float(places[-1] + 1) * step)
    return low, high


def _draw(ax: Axes, cut: Cut, found: LabelMap, labels: list[Label], truth: LabelMap | None) -> None:
    for label in labels:
        outline(ax, cut.of(found.array) == label.value, cut.whole, rgb(label), 1.8)
    if truth:
        for label in labels:
            outline(ax, cut.of(truth.array) == label.value, cut.whole, "white", 0.7)


def _add_frame(ax: Axes, region: Region, cut: Cut) -> None:
    if region != cut.whole:
        height, width = region.size
        ax.add_patch(Rectangle((region.left, region.top), width, height, fill=False, color=INK, linewidth=0.8))


def _add_letters(ax: Axes, letters: str) -> None:
    for letter, (x, y) in zip(letters, ((0.03, 0.5), (0.97, 0.5), (0.5, 0.96), (0.5, 0.04)), strict=True):
        ax.text(x, y, letter, transform=ax.transAxes, color="white", fontsize=8, ha="center", va="center")
