"""From masks to objects and the boxes around them: the published rules, and ours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from hrseg.crop_cascade.merging import Region
from hrseg.crop_cascade.settings import InferenceSettings
from hrseg.geometry import Box, Floats, as_shape
from hrseg.prompts import RegionBox

#: Objects whose boxes share more than this of either one are the same.
JOIN = 0.5
#: How much neighbours share that cover a large object.
_OVERLAP = 0.25
#: The smallest side of a box in the published rules.
_PAPER_LEAST = 5
#: The largest random move of a face in the published training, in pixels.
_PAPER_JITTER = 16


@dataclass(frozen=True)
class ObjectBox:
    """An object and the crop in which the fine network sees it, both in voxels of the working grid.

    Attributes:
        tight: around the object itself, or as an expert drew it.
        crop: with context; it may reach outside the image.
        region: only these voxels of the crop count, where an expert drew the box.
        drawn: that box.
    """

    tight: Box
    crop: Box
    region: Region | None = None
    drawn: RegionBox | None = None


def components(mask: NDArray[np.bool_]) -> list[tuple[Box, int]]:
    """Tight box and voxels of each connected component (8- or 26-connected) of a mask (K, J, I), the largest first."""
    if not mask.any():
        return []
    labelled = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(labelled)
    found = []
    for value in statistics.GetLabels():
        i, j, k, width, height, depth = statistics.GetBoundingBox(value)
        found.append((Box((k, j, i), (k + depth, j + height, i + width)), statistics.GetNumberOfPixels(value)))
    return sorted(found, key=lambda entry: (-entry[1], entry[0].start))


def object_boxes(mask: NDArray[np.bool_], settings: InferenceSettings, spacing: Sequence[float]) -> list[ObjectBox]:
    """The objects in a coarse mask, by the rules of the settings' variant; see :func:`crop_around`.

    Ours ignores stray components, joins objects whose boxes overlap by more than half of either, so that each place
    is segmented once, and covers an object too large for one crop by several. The largest come first.
    """
    found = components(mask)
    if settings.published:
        crops = [(box, paper_crop(box, settings.size, mask.shape)) for box, _ in found]
        return [ObjectBox(box, crop) for box, crop in crops if crop is not None]
    least = max(16, int(settings.smallest * mask.size))
    whole = joined([box for box, voxels in found if voxels >= least])
    parts = [part for box in whole for part in divided(box, mask, settings)]
    parts.sort(key=lambda box: (-box.size, box.start))
    return [ObjectBox(box, crop_around(box, settings, spacing)) for box in parts]


def crop_around(box: Box, settings: InferenceSettings, spacing: Sequence[float]) -> Box:
    """The crop for an object: a square or cube in millimetres with context around ``box``.

    It is never smaller than the network's input, so that nothing is magnified beyond its own resolution, and it may
    reach outside the image. Axes with a single slice keep it.
    """
    sides = settings.sides
    extent = np.asarray(box.shape, dtype=float)
    used = np.array([n > 1 for n in sides])
    mm = np.asarray(spacing, dtype=float)
    longest = (extent * mm)[used].max()
    padding = np.maximum(np.asarray(sides) / 8, settings.context * longest / mm)
    side = np.maximum(np.ceil(longest / mm + 2 * padding), sides)
    return _centered(box, np.where(used, side, box.shape).astype(int))


def paper_crop(box: Box, size: Sequence[int], shape: Sequence[int]) -> Box | None:
    """The published crop (C1, steps 3 to 6): squared, padded by an eighth of ``size``, moved inside; None: rejected."""
    used = [axis for axis in range(3) if shape[axis] > 1]
    side = max(box.shape[axis] for axis in used)
    padding = size[-1] // 8
    start, stop = list(box.start), list(box.stop)
    for axis in used:
        # Step 3 moves by half the difference towards the origin, step 4 pads, step 5 clamps at the far side last.
        low = max(0, box.start[axis] - (side - box.shape[axis]) // 2 - padding)
        low -= max(0, low + side + 2 * padding - shape[axis])
        if low < 0 or side + 2 * padding < _PAPER_LEAST:
            return None
        start[axis], stop[axis] = low, low + side + 2 * padding
    return Box(as_shape(start), as_shape(stop))


def joined(boxes: list[Box]) -> list[Box]:
    """Boxes that share more than half of either one, made one; see :func:`share`."""
    start, stop = (np.array([getattr(box, end) for box in boxes]).reshape(-1, 3) for end in ("start", "stop"))
    kept = np.zeros(len(boxes), dtype=bool)
    for n in range(len(boxes)):
        common = (np.minimum(stop[:n], stop[n]) - np.maximum(start[:n], start[n])).clip(0).prod(axis=1)
        smaller = np.minimum((stop[:n] - start[:n]).prod(axis=1), (stop[n] - start[n]).prod())
        partners = np.flatnonzero(kept[:n] & (common > JOIN * np.maximum(1, smaller)))
        start[n], stop[n] = start[[n, *partners]].min(axis=0), stop[[n, *partners]].max(axis=0)
        kept[partners], kept[n] = False, True
    result = [Box(as_shape(start[n]), as_shape(stop[n])) for n in np.flatnonzero(kept)]
    # What grew by joining may overlap others now.
    return result if len(result) == len(boxes) else joined(result)


def divided(box: Box, mask: NDArray[np.bool_], settings: InferenceSettings) -> list[Box]:
    """``box``, or overlapping boxes whose crops need not be shrunk too much, where the mask has voxels."""
    if settings.shrink is None:
        return [box]
    sides = np.array(settings.sides)
    # What crop_around leaves of a crop of that side for the object.
    room = np.minimum(settings.shrink * sides / (1 + 2 * settings.context), (settings.shrink - 1 / 4) * sides)
    starts = []
    for start, stop, most in zip(box.start, box.stop, room, strict=True):
        side = min(stop - start, max(1, int(most)))
        count = 1 if side == stop - start else math.ceil((stop - start - side) / (side * (1 - _OVERLAP))) + 1
        starts.append([(int(n), int(n) + side) for n in np.linspace(start, stop - side, count)])
    parts = [Box(*zip(*ends, strict=True)) for ends in itertools.product(*starts)]
    return [part for part in parts if mask[part.slices].any()]


def jittered(box: Box, amount: float, rng: np.random.RandomState) -> Box:
    """``box`` with each face moved by a uniform random share, up to ``amount``, of its side; at least one voxel."""
    extent = np.asarray(box.shape, dtype=float)
    moves = rng.uniform(-amount, amount, size=(2, 3)) * extent
    start = np.rint(np.asarray(box.start) + moves[0]).astype(int)
    stop = np.maximum(np.rint(np.asarray(box.stop) + moves[1]).astype(int), start + 1)
    return Box(as_shape(start), as_shape(stop))


def paper_jittered(box: Box, rng: np.random.RandomState) -> Box:
    """``box`` with start and sides each changed by up to 16 pixels, as published (C1, step 2); at least one voxel."""
    used = np.asarray(box.shape) > 1
    start = np.asarray(box.start) + rng.randint(-_PAPER_JITTER, _PAPER_JITTER + 1, 3) * used
    sides = np.asarray(box.shape) + rng.randint(-_PAPER_JITTER, _PAPER_JITTER + 1, 3) * used
    return Box(as_shape(start), as_shape(start + np.maximum(sides, 1)))


def _centered(box: Box, side: NDArray[np.intp]) -> Box:
    middle: Floats = (np.asarray(box.start) + np.asarray(box.stop)) / 2
    start = np.floor(middle - side / 2 + 0.5).astype(int)
    return Box(as_shape(start), as_shape(start + side))


def share(a: Box, b: Box) -> float:
    """Common voxels over those of the smaller box."""
    return a.intersection(b).size / max(1, min(a.size, b.size))
