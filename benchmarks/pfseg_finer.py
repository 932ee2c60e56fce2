r"""Masks at 1 mm of images of 2 mm, against exact truth at 1 mm: PFSeg's own finer mask, and enlarged masks of 2 mm.

    hrseg phantom runs/finer --cases 8 --seed 7 --truth-spacing 1
    python benchmarks/pfseg_finer.py runs/finer --pfseg phantom-ct-pfseg --baseline phantom-ct-patch-based \
      --output runs/finer-results

Each model is scored as it is (``fine``, where it makes masks finer), with its label map of 2 mm taken over to 1 mm
(``labels``), and with its probabilities of 2 mm enlarged (``probability``). Surface Dice forgives a voxel of 1 mm, as
far as the staircase of voxels of 2 mm goes astray; the mean distance between both surfaces forgives nothing.
Pictures of all are written, and of the first image outlines.png, a part of a slice.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from oss_resolution import picture as outlines

from hrseg.bounding_box import bounding_box
from hrseg.evaluation.figures import png_bytes
from hrseg.evaluation.metrics import label_metrics, surface_distances
from hrseg.evaluation.pictures import CasePicture, contour_figure
from hrseg.geometry import Grid
from hrseg.image import Image, make_folder, read_image, read_label_map, replacing
from hrseg.methods import Options, method_of
from hrseg.model_file import Model, load_model
from hrseg.model_store import find_model
from hrseg.oss_net.field import Field
from hrseg.resample import resample, resample_labels
from hrseg.runtime import Run, choose_device

KEYS = ("dice", "surface_dice", "hd95_mm")
HEADS = ("Dice", "surface Dice", "HD95 [mm]", "mean surface distance [mm]")


def masks(model: Model, image: Image, grid: Grid) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The ways of one model."""
    method, run = method_of(model), Run(choose_device())
    if method.makes_finer:
        found = method.segment(image, Options(resolution="fine"), run).label_map
        yield "fine", resample_labels(found.array, found.grid, grid)
    result = method.segment(image, Options(keep_probability=True), run)
    yield "labels", resample_labels(result.label_map.array, image.grid, grid)
    assert result.probability is not None
    yield "probability", Field.labels_of(resample(result.probability, image.grid, grid))


def label_row(found: NDArray, truth: NDArray, grid: Grid, value: int) -> list[float | None]:
    """HEADS of one label."""
    values = label_metrics(found, truth, grid, value)
    return [*(values[key] for key in KEYS), mean_surface_distance(found == value, truth == value, grid)]


def mean_surface_distance(found: NDArray[np.bool_], truth: NDArray[np.bool_], grid: Grid) -> float | None:
    """How far the other surface is from the surface voxels of both masks (K, J, I), in mm; None if one is empty."""
    box = bounding_box(found | truth)
    if box is None or not found.any() or not truth.any():
        return None
    _, in_mm = surface_distances(found[box.slices], truth[box.slices], grid)
    return float(np.concatenate(in_mm).mean())


def print_tables(scores: dict[str, list[NDArray[np.float64]]], labels: list[str]) -> None:
    """Means over cases and labels, and each label's: of each mask the cases' (labels, HEADS), NaN for no value."""
    print(f"\n| mask | {' | '.join(HEADS)} |\n| --- |{' --- |' * len(HEADS)}")
    for name, tables in scores.items():
        means = np.nanmean(tables, axis=1).mean(axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in means) + " |")
    print(f"\nDice / surface Dice\n| mask | {' | '.join(labels)} |\n| --- |{' --- |' * len(labels)}")
    for name, tables in scores.items():
        cells = [f"{dice:.3f} / {surface:.3f}" for dice, surface, *_ in np.nanmean(tables, axis=0)]
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="phantoms with finer truth")
    parser.add_argument("--pfseg", required=True)
    parser.add_argument("--baseline", required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    make_folder(arguments.output)
    models = [load_model(find_model(name)) for name in (arguments.pfseg, arguments.baseline)]
    scores: dict[str, list[NDArray[np.float64]]] = {}
    for number, path in enumerate(sorted((arguments.folder / "images").glob("*.nii.gz"))):
        shown = {}
        image, truth = read_image(path), read_label_map(arguments.folder / "truth" / path.name)
        gray = resample(image.array[0], image.grid, truth.grid)
        for model in models:
            name, labels = model.header.name, model.header.labels
            for way, found in masks(model, image, truth.grid):
                rows = [label_row(found, truth.array, truth.grid, label.value) for label in labels]
                scores.setdefault(f"{name}, {way}", []).append(np.array(rows, dtype=float))
                shown[f"{name}, {way}"] = found
                picture = CasePicture(path.name, gray, truth.grid, truth.array, found, way, labels)
                with replacing(arguments.output / f"{path.name.split('.')[0]}-{name}-{way}.png") as temporary:
                    temporary.write_bytes(png_bytes(contour_figure(picture)))
        means = {key: np.nanmean(tables[-1], axis=0).round(4).tolist() for key, tables in scores.items()}
        print(path.name, means, flush=True)
        if number == 0:
            fine, *_, label_map, probability = shown
            chosen = {name: shown[name] for name in (label_map, probability, fine)}
            outlines(arguments.output / "outlines.png", chosen, truth.array, gray)
    print_tables(scores, [label.name for label in models[0].header.labels])


if __name__ == "__main__":
    main()
