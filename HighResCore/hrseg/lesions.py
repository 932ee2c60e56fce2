"""The lesions in a label map: place, size, longest diameter and mean probability. Needs numpy and SimpleITK alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hrseg.bounding_box import bounding_box
from hrseg.geometry import Box, Floats, Grid, as_shape
from hrseg.labels import Label

#: Thirds of a set of lesions or cases, by size.
SIZES = ("small", "medium", "large")
_LESION_WORDS = ("lesion", "tumor", "tumour", "nodule", "metastas", "polyp", "cyst")
#: Directions in which the ends of a large lesion are looked for: its diameter comes out 0.1 % too short at most.
_DIRECTIONS = 1500
#: With so few voxels at its border a lesion is measured exactly.
_EXACT = 1500
#: Directions that are tried at a time.
_AT_ONCE = 50


@dataclass(frozen=True)
class Lesion:
    """Connected voxels of one label (26 neighbours in 3D, 8 in 2D).

    Attributes:
        name: of the label, and its number among the label's lesions, from 1 for the largest.
        value: of the label.
        voxels: how many.
        size: cubic mm, of a 2D image (one slice) square mm.
        diameter: between the two points furthest apart, in mm, from outer edge to outer edge.
        probability: mean over its voxels, where it is known.
        center: RAS mm of the voxel centre nearest to its centre of mass: a point inside.
    """

    name: str
    value: int
    voxels: int
    size: float
    diameter: float
    probability: float | None
    center: tuple[float, float, float]


def ball_diameter(size: float, dimension: int) -> float:
    """Of the ball (in two dimensions the disc, in one the line) of this size."""
    unit_ball = math.pi ** (dimension / 2) / math.gamma(dimension / 2 + 1)
    return 2 * (size / unit_ball) ** (1 / dimension)


def terciles(sizes: Sequence[float]) -> tuple[float, float]:
    """The two sizes that part a set into :data:`SIZES`; infinite where the set is empty."""
    low, high = np.quantile(sizes, [1 / 3, 2 / 3]).tolist() if len(sizes) else (np.inf, np.inf)
    return low, high


def size_name(size: float, limits: tuple[float, float]) -> str:
    """Small up to the first limit, medium up to the second."""
    return SIZES[int(size > limits[0]) + int(size > limits[1])]


def lesion_labels(labels: Sequence[Label]) -> list[Label]:
    """Those whose names say that they are lesions; all where none does."""
    return [label for label in labels if any(word in label.name.lower() for word in _LESION_WORDS)] or list(labels)


def lesion_mask(array: NDArray, labels: Sequence[Label]) -> NDArray[np.bool_]:
    """Where a label map has one of :func:`lesion_labels`; of its shape."""
    return np.isin(array, [label.value for label in lesion_labels(labels)])


def lesions_of(
    array: NDArray[np.uint8],
    grid: Grid,
    labels: Sequence[Label],
    probability: NDArray[np.float32] | None = None,
    *,
    most: int = 200,
    advance: Callable[[int], None] = lambda units: None,
) -> tuple[list[Lesion], int]:
    """The largest lesions, largest first, and how many there are in all.

    Args:
        array: label map (K, J, I).
        grid: where its voxels lie.
        labels: what its values mean; see :func:`lesion_labels`.
        probability: of each label, (labels, K, J, I).
        most: so many are measured.
        advance: told of each label that is begun; may raise to end the work.
    """
    found: list[Lesion] = []
    count, voxel, wanted = 0, voxel_size(grid), lesion_labels(labels)
    for number, label in enumerate(labels):
        advance(1)
        if label not in wanted:
            continue
        of_label = None if probability is None else probability[number]
        lesions, in_all = _of_label(array == label.value, grid, label, of_label, voxel, most)
        found += lesions
        count += in_all
    found.sort(key=lambda lesion: -lesion.voxels)
    return found[:most], count


def _of_label(
    mask: NDArray[np.bool_],
    grid: Grid,
    label: Label,
    probability: NDArray[np.float32] | None,
    voxel: float,
    most: int,
) -> tuple[list[Lesion], int]:
    """The same of one label; ``voxel`` is what one voxel adds to a lesion's size."""
    block = bounding_box(mask)
    if block is None:
        return [], 0
    components = sitk.ConnectedComponent(sitk.GetImageFromArray(mask[block.slices].astype(np.uint8)), True)
    # Number 1 is the largest.
    components = sitk.RelabelComponent(components)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.ComputePerimeterOff()
    statistics.Execute(components)
    numbers, count = sitk.GetArrayViewFromImage(components), statistics.GetNumberOfLabels()
    lesions = []
    for n in range(1, min(count, most) + 1):
        bounds = statistics.GetBoundingBox(n)
        inner = Box(as_shape(bounds[2::-1]), as_shape(np.add(bounds[2::-1], bounds[5:2:-1])))
        outer = inner.shift(block.start)
        own = numbers[inner.slices] == n
        mean = None if probability is None else float(probability[outer.slices][own].mean(dtype=np.float64))
        voxels = np.argwhere(own)
        lesions.append(
            Lesion(
                name=f"{label.name} {n}",
                value=label.value,
                voxels=len(voxels),
                size=len(voxels) * voxel,
                diameter=_diameter(_border(own), grid.crop(outer)),
                probability=mean,
                center=_middle(voxels, grid.crop(outer)),
            )
        )
    return lesions, count


def voxel_size(grid: Grid) -> float:
    """Area of a pixel of a 2D image, volume of a voxel of any other, in mm."""
    flat = grid.shape[0] == 1
    return float(np.linalg.norm(np.cross(grid.affine[:3, 0], grid.affine[:3, 1]))) if flat else grid.voxel_volume


def _middle(voxels: NDArray[np.intp], grid: Grid) -> tuple[float, float, float]:
    distances = np.square((voxels - voxels.mean(axis=0)) * grid.spacing).sum(axis=1)
    r, a, s = grid.to_world(voxels[distances.argmin()]).tolist()
    return r, a, s


def _border(own: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Voxels that come first or last in their rows along all axes; both ends of the diameter are among them."""
    ends = own.copy()
    for axis in range(3):
        first = own.argmax(axis=axis)
        last = own.shape[axis] - 1 - np.flip(own, axis).argmax(axis=axis)
        places = np.arange(own.shape[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
        ends &= (places == np.expand_dims(first, axis)) | (places == np.expand_dims(last, axis))
    return np.argwhere(ends)


def _diameter(voxels: NDArray[np.intp], grid: Grid) -> float:
    """Longest distance between voxels (k, j, i), and half a voxel beyond at each end."""
    points = grid.to_world(voxels)
    points -= points.mean(axis=0)
    if len(points) > _EXACT:
        ends = _ends(points)
        voxels, points = voxels[ends], points[ends]
    squared = np.square(points).sum(axis=1)
    distances = squared[:, None] + squared - 2 * points @ points.T
    a, b = np.unravel_index(int(distances.argmax()), distances.shape)
    step = voxels[a] - voxels[b]
    length = float(np.linalg.norm(points[a] - points[b]))
    if not step.any():
        return max(grid.spacing)
    # A voxel's extent along the line between both ends: one spacing for a line along an axis.
    return length + float(np.linalg.norm(step * np.square(grid.spacing))) / length


def _ends(points: Floats) -> NDArray[np.intp]:
    """Of points (number, 3), those that lie furthest out in some direction."""
    ends = []
    for some in np.array_split(_directions(), _DIRECTIONS // _AT_ONCE):
        along = points @ some.T
        ends += [along.argmax(axis=0), along.argmin(axis=0)]
    return np.unique(np.concatenate(ends))


def _directions() -> Floats:
    """Unit vectors spread evenly over half a sphere, (number, 3)."""
    n = np.arange(_DIRECTIONS)
    height = (n + 0.5) / _DIRECTIONS
    turn = n * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)
