"""Metrics that count objects: lesions found in a label map, and instances matched one to one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hrseg.errors import InputError
from hrseg.evaluation.metrics import axes_in_use, check_shapes
from hrseg.geometry import Grid
from hrseg.lesions import ball_diameter

#: Share of an object's voxels that must be overlapped for it to count as found.
OVERLAP = 0.1


def object_metrics(prediction: NDArray, truth: NDArray, grid: Grid, value: int) -> dict[str, Any]:
    """How many objects of one label are found, objects being connected (26 neighbours in 3D, 8 in 2D).

    A true object is found when the predicted mask covers at least 10 % of its voxels; a predicted object is correct
    when the true mask covers at least 10 % of its own. F1 is the harmonic mean of the two shares: the lesion-wise F1 of
    the multiple sclerosis challenges (Commowick et al. 2018, Sci Rep 8:13650) without their limit on how many
    lesions one prediction may join. No objects on either side give 1, on one side 0.

    Args:
        prediction: label map (K, J, I).
        truth: label map (K, J, I).
        grid: where the voxels of both lie.
        value: the label to measure.

    Returns:
        ``objects_truth``, ``objects_predicted``, ``object_recall``, ``object_precision``, ``object_f1``, and
        ``objects``: for each true object its ``diameter_mm`` (of the ball, in 2D the disc, of its size) and
        whether it was ``found``.

    Raises:
        InputError: the label maps are not on the grid.
    """
    check_shapes(prediction, truth, grid)
    predicted, true = prediction == value, truth == value
    sizes, found = _covered(true, predicted)
    _, correct = _covered(predicted, true)
    recall, precision = _share(found, correct), _share(correct, found)
    return {
        "objects_truth": len(found),
        "objects_predicted": len(correct),
        "object_recall": recall,
        "object_precision": precision,
        "object_f1": 2 * recall * precision / (recall + precision) if recall + precision else 0.0,
        "objects": [
            {"diameter_mm": _diameter(int(n), grid), "found": bool(f)} for n, f in zip(sizes, found, strict=True)
        ],
    }


def instance_metrics(prediction: NDArray, truth: NDArray) -> dict[str, float]:
    """Agreement of two instance maps: 0 is background, every other number one instance.

    An instance is matched when its intersection over union with one of the other map exceeds 0.5, which at most
    one can. AP50 is TP / (TP + FP + FN) at this threshold, as in the 2018 Data Science Bowl (Caicedo et al. 2019,
    Nat Methods 16:1247). No instances in both maps give 1.

    Returns:
        ``instance_ap50``, ``instance_f1``, ``instances_truth``, ``instances_predicted``.

    Raises:
        InputError: different shapes.
    """
    if prediction.shape != truth.shape:
        raise InputError(f"The instance maps have different shapes, {prediction.shape} and {truth.shape}.")
    true_sizes, predicted_sizes = _sizes(truth), _sizes(prediction)
    shared = (truth != 0) & (prediction != 0)
    pairs, overlaps = np.unique(np.stack([truth[shared], prediction[shared]]), axis=1, return_counts=True)
    matched = sum(
        2 * int(overlap) > true_sizes[int(t)] + predicted_sizes[int(p)] - int(overlap)
        for (t, p), overlap in zip(pairs.T, overlaps, strict=True)
    )
    total = len(true_sizes) + len(predicted_sizes)
    return {
        "instance_ap50": matched / (total - matched) if total else 1.0,
        "instance_f1": 2 * matched / total if total else 1.0,
        "instances_truth": len(true_sizes),
        "instances_predicted": len(predicted_sizes),
    }


def _covered(objects: NDArray, other: NDArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Voxels of each connected object, and whether ``other`` covers enough of it."""
    components, count = ndimage.label(objects, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    shared = np.bincount(components[other], minlength=count + 1)[1:]
    return sizes, shared >= OVERLAP * sizes


def _share(hits: NDArray[np.bool_], others: NDArray[np.bool_]) -> float:
    """Share of hits; without any object 1 if the other side has none either, else 0."""
    return float(hits.mean()) if len(hits) else float(len(others) == 0)


def _diameter(voxels: int, grid: Grid) -> float:
    """Of the ball, disc or segment with the measure of so many voxels, in mm."""
    axes = axes_in_use(grid)
    return ball_diameter(voxels * math.prod(grid.spacing[a] for a in axes), len(axes))


def _sizes(instances: NDArray) -> dict[int, int]:
    """Voxels of each instance."""
    values, counts = np.unique(instances[instances != 0], return_counts=True)
    return {int(v): int(n) for v, n in zip(values, counts, strict=True)}
