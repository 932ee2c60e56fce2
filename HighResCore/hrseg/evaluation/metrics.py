"""Overlap, surface and volume metrics of one label in one case.

Conventions, the same for every method:

- Truth and prediction both empty: overlaps and surface Dice 1, distances and errors 0.
- One of them empty: overlaps and surface Dice 0; HD95 has no value (None). It is counted as undefined in summaries and
  never replaced by a number, which could look like a good score.
- The truth empty but not the prediction: the volume error in per cent has no value.
- A label that nobody annotated in this case: no values at all.
- A surface is made of the voxels of an object that touch the outside through a face; voxels at the border of the image
  belong to it. Axes with a single voxel do not count, so that 2D images have 2D outlines.
- HD95 is the larger of the two directed 95th percentiles (linear interpolation) of the distances in mm between
  the centres of surface voxels, as in MONAI's ``compute_hausdorff_distance``.
- Surface Dice is the share of both surfaces' voxels that have the other surface within one voxel, distances being
  counted in voxels: on thick slices a tolerance in mm would forgive many pixels in the plane. It equals MONAI's
  ``compute_surface_dice`` without spacing (Nikolov et al. 2021, J Med Internet Res 23(7):e26151).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from hrseg.bounding_box import bounding_box
from hrseg.errors import InputError
from hrseg.geometry import Floats, Grid

Scores = dict[str, float | None]
Mask = NDArray[np.bool_]

_KEYS = ("dice", "iou", "recall", "precision", "surface_dice", "hd95_mm")
_VOLUME_KEYS = ("truth_ml", "predicted_ml", "volume_error_ml", "volume_error_percent")


def label_metrics(prediction: NDArray, truth: NDArray, grid: Grid, value: int, *, annotated: bool = True) -> Scores:
    """Metrics of the voxels equal to ``value`` in two label maps (K, J, I) on the same grid.

    Args:
        prediction: label map.
        truth: label map.
        grid: where the voxels of both lie.
        value: the label to measure.
        annotated: whether somebody looked for this label in this case.

    Returns:
        ``dice``, ``iou``, ``recall``, ``precision``, ``surface_dice`` (0 to 1), ``hd95_mm``, ``truth_ml``,
        ``predicted_ml``, ``volume_error_ml`` and ``volume_error_percent`` (predicted minus true); None is "no value".

    Raises:
        InputError: the label maps are not on the grid.
    """
    check_shapes(prediction, truth, grid)
    if not annotated:
        return dict.fromkeys((*_KEYS, *_VOLUME_KEYS))
    predicted, true = _cropped(prediction == value, truth == value)
    sizes = int(predicted.sum()), int(true.sum())
    scores: Scores
    if sizes == (0, 0):
        scores = {**dict.fromkeys(_KEYS, 1.0), "hd95_mm": 0.0}
    elif 0 in sizes:
        scores = {**dict.fromkeys(_KEYS, 0.0), "hd95_mm": None}
    else:
        scores = _overlaps(predicted, true) | _surfaces(predicted, true, grid)
    return scores | _volumes(*sizes, grid.voxel_volume / 1000)


def check_shapes(prediction: NDArray, truth: NDArray, grid: Grid) -> None:
    """Raises InputError unless both label maps have the grid's shape."""
    if not prediction.shape == truth.shape == grid.shape:
        raise InputError(
            f"The prediction {prediction.shape} and the truth {truth.shape} must both have their grid's shape "
            f"{grid.shape} (K, J, I); resample the prediction to the grid of the truth first."
        )


def axes_in_use(grid: Grid) -> list[int]:
    """Array axes with more than one voxel: three of a volume, two of a 2D image; the last one of a single voxel."""
    return [axis for axis, length in enumerate(grid.shape) if length > 1] or [2]


def _cropped(a: Mask, b: Mask) -> tuple[Mask, Mask]:
    """Both within the bounding box of their union, which is all that a metric depends on."""
    box = bounding_box(a | b)
    return (a[box.slices], b[box.slices]) if box else (a, b)


def _overlaps(predicted: Mask, true: Mask) -> Scores:
    both = int(np.count_nonzero(predicted & true))
    n_predicted, n_true = int(predicted.sum()), int(true.sum())
    return {
        "dice": 2 * both / (n_predicted + n_true),
        "iou": both / (n_predicted + n_true - both),
        "recall": both / n_true,
        "precision": both / n_predicted,
    }


def surface_distances(predicted: Mask, true: Mask, grid: Grid) -> tuple[list[Floats], list[Floats]]:
    """From each surface voxel of a mask to the nearest of the other, both ways: in voxels, and in mm.

    Args:
        predicted: (K, J, I), with at least one voxel.
        true: likewise.
        grid: whose spacing the masks have; they may be a part of it.
    """
    axes = axes_in_use(grid)
    spacing = np.asarray(grid.spacing)[axes]
    surfaces = [_surface_voxels(np.squeeze(m, tuple({0, 1, 2} - set(axes)))) for m in (predicted, true)]
    in_voxels = _distances(*surfaces)
    # A second search only where it can give something else.
    in_mm = (
        [d * spacing[0] for d in in_voxels] if np.ptp(spacing) < 1e-6 else _distances(*[s * spacing for s in surfaces])
    )
    return in_voxels, in_mm


def _surfaces(predicted: Mask, true: Mask, grid: Grid) -> Scores:
    in_voxels, in_mm = surface_distances(predicted, true, grid)
    close = sum(int(np.count_nonzero(d <= 1)) for d in in_voxels)
    return {
        "surface_dice": close / sum(len(d) for d in in_voxels),
        "hd95_mm": float(max(np.percentile(d, 95) for d in in_mm)),
    }


def _surface_voxels(mask: Mask) -> Floats:
    """Indices (N, axes) of the voxels that touch the outside through a face."""
    return np.argwhere(mask & ~ndimage.binary_erosion(mask)).astype(np.float64)


def _distances(a: Floats, b: Floats) -> list[Floats]:
    """From each point of ``a`` to the nearest of ``b``, and the other way round."""
    return [KDTree(b).query(a)[0], KDTree(a).query(b)[0]]


def _volumes(n_predicted: int, n_true: int, voxel_ml: float) -> Scores:
    difference = n_predicted - n_true
    percent = 100 * difference / n_true if n_true else None if difference else 0.0
    return {
        "truth_ml": n_true * voxel_ml,
        "predicted_ml": n_predicted * voxel_ml,
        "volume_error_ml": difference * voxel_ml,
        "volume_error_percent": percent,
    }
