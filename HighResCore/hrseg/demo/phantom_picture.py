"""The picture of the phantom: one place where staircases show, as each method segments it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy import ndimage

from hrseg.demo.panels import INK, Cut, Region, add_legend, dark_figure, gray_window, outline, rgb, show_image
from hrseg.geometry import Box, Grid
from hrseg.image import Image, LabelMap
from hrseg.labels import Label
from hrseg.phantom import LABELS, Torso

#: Side of what is shown, in mm.
_SIDE = 56.0
#: The exact outline is drawn so many times finer than the fine truth's voxels.
_EXACT = 4
_COLUMNS = 4


@dataclass(frozen=True, eq=False)
class Drawn:
    """A result in the picture: what is written above it, its label map, and what its values mean."""

    title: str
    label_map: LabelMap
    labels: Sequence[Label]


def phantom_figure(torso: Torso, image: Image, truth: LabelMap, results: Sequence[Drawn]) -> Figure:
    """The axial slice through the largest lesion: whole, around the lesion, and there with each method's outlines.

    Args:
        torso: for outlines finer than any voxels.
        image: with axes to R, A and S, as the phantom's is.
        truth: fine.
        results: at any resolution over the image's field of view.
    """
    place = _lesion(truth)
    cut = Cut.through(image.grid, 0, (place[0] + 0.5) / truth.grid.shape[0])
    region = _around(cut, place, truth.grid)
    exact = cut.of(_exact(torso, truth.grid, place[0]))
    window = gray_window(image)
    count = len(results) + 3
    columns = min(_COLUMNS, count)
    figure, axes = dark_figure(math.ceil(count / columns), columns, (3.0, 2.55))
    for ax in axes[count:]:
        ax.set_axis_off()
    show_image(axes[0], image, cut, window, cut.whole)
    axes[0].add_patch(Rectangle((region.left, region.top), _SIDE, _SIDE, fill=False, color="white", linewidth=1))
    titles = ["image", f"the frame\n{image.grid.spacing[0]:g} mm voxels", "exact truth", *(r.title for r in results)]
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title, color=INK, fontsize=9)
    for ax in axes[1:count]:
        show_image(ax, image, cut, window, region)
    _add_scale(axes[1], region)
    for ax, result in zip(axes[3:], results, strict=False):
        plane = cut.of(result.label_map.array)
        for label in result.labels:
            outline(ax, plane == label.value, cut.whole, rgb(label), 2.2)
        known = {label.name for label in result.labels}
        for label in LABELS:
            if label.name in known:
                outline(ax, exact == label.value, cut.whole, "white", 0.7)
    for label in LABELS:
        outline(axes[2], exact == label.value, cut.whole, rgb(label), 2.2)
    add_legend(figure, _shown_labels(exact, cut, region), "exact truth")
    return figure


def _lesion(truth: LabelMap) -> tuple[int, int, int]:
    """(k, j, i) of the middle of the largest lesion, of all labels where there is none."""
    value = next(label.value for label in LABELS if "lesion" in label.name)
    mask = truth.array == value if (truth.array == value).any() else truth.array > 0
    numbers, count = ndimage.label(mask)
    if not count:
        k, j, i = (n // 2 for n in truth.array.shape)
        return k, j, i
    largest = 1 + int(np.bincount(numbers.ravel())[1:].argmax())
    k, j, i = (round(n) for n in ndimage.center_of_mass(numbers == largest))
    return k, j, i


def _around(cut: Cut, place: tuple[int, int, int], grid: Grid) -> Region:
    """The frame in mm around a voxel of the fine grid, within the slice where it fits."""
    mask = np.zeros(grid.shape, dtype=bool)
    mask[place] = True
    plane, (height, width) = cut.of(mask), cut.whole.size
    row, column = np.argwhere(plane)[0] + 0.5
    top = np.clip(row / plane.shape[0] * height - _SIDE / 2, 0, max(0.0, height - _SIDE))
    left = np.clip(column / plane.shape[1] * width - _SIDE / 2, 0, max(0.0, width - _SIDE))
    return Region(float(top), float(top) + _SIDE, float(left), float(left) + _SIDE)


def _exact(torso: Torso, grid: Grid, k: int) -> NDArray[np.uint8]:
    """Labels (1, rows, columns) of one slice of a grid, much finer in its plane."""
    _, rows, columns = grid.shape
    plane = grid.crop(Box((k, 0, 0), (k + 1, rows, columns)))
    return torso.label_map(plane.finer((1, _EXACT, _EXACT))).array


def _shown_labels(exact: NDArray, cut: Cut, region: Region) -> list[Label]:
    """The labels that the truth has within the frame."""
    height, width = (n / length for n, length in zip(exact.shape, cut.whole.size, strict=True))
    part = exact[
        int(region.top * height) : math.ceil(region.bottom * height),
        int(region.left * width) : math.ceil(region.right * width),
    ]
    return [label for label in LABELS if (part == label.value).any()]


def _add_scale(ax: Axes, region: Region) -> None:
    """A bar of 10 mm."""
    x, y = region.left + 3, region.bottom - 3
    ax.plot([x, x + 10], [y, y], color="white", linewidth=2, solid_capstyle="butt")
    ax.text(x + 5, y - 1, "10 mm", color="white", fontsize=8, ha="center", va="bottom")
