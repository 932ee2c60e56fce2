r"""The picture of README.md: the staircase of a label map in the image's voxels, and a model's own boundary.

    python benchmarks/readme_picture.py --model phantom-ct-oss-net

A phantom that no model has seen, with voxels of 2 mm, is segmented by the baseline in the image's voxels (before) and
by the model in finer ones (after). Both are outlined along their voxels; the thin white line is the exact truth. Prints
the Dice of both, in voxels of 0.5 mm of the slice that is shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from hrseg.demo.panels import INK, Cut, Region, add_legend, dark_figure, outline, rgb, show_image, write_figure
from hrseg.errors import InputError
from hrseg.geometry import Box
from hrseg.image import Image, LabelMap
from hrseg.labels import Label
from hrseg.methods import Options, method_of, segment_on
from hrseg.model_file import load_model
from hrseg.model_store import find_model
from hrseg.phantom import LABELS, Torso, default_grid
from hrseg.runtime import Run, choose_device

PICTURE = Path(__file__).parents[1] / "Resources" / "Screenshots" / "Boundary.png"
#: As the demo's; far from those that models are trained, validated and tested with.
SEED = 20_260
WINDOW = (-160.0, 240.0)
#: What is shown around the lesion, in mm; how many times finer than the image the exact truth is drawn.
MARGIN, EXACT = 8.0, 4
LESION = next(label for label in LABELS if "lesion" in label.name)


def segmented(name: str, image: Image, *, finest: bool) -> tuple[LabelMap, Sequence[Label]]:
    """What a model finds, in the image's voxels or in finer ones, and its labels."""
    method = method_of(load_model(find_model(name)))
    grid = image.grid.finer(EXACT if method.any_spacing else 2) if finest else image.grid
    result, _ = segment_on(method, image, grid, Options(), Run(choose_device()))
    if finest and result.label_map.grid.shape == image.grid.shape:
        raise InputError(f'The model "{name}" has no boundary finer than the voxels; use a PFSeg or OSS-Net model.')
    return result.label_map, result.labels


def exact_slice(torso: Torso, image: Image) -> tuple[Cut, NDArray[np.uint8]]:
    """The slice of the image with most lesion, and its exact labels (rows, columns), much finer in its plane."""
    coarse = torso.label_map(image.grid)
    k = int((coarse.array == LESION.value).sum(axis=(1, 2)).argmax())
    plane = image.grid.crop(Box((k, 0, 0), (k + 1, *image.grid.shape[1:])))
    cut = Cut.through(image.grid, 0, (k + 0.5) / image.grid.shape[0])
    return cut, cut.of(torso.label_map(plane.finer((1, EXACT, EXACT))).array)


def around_lesion(mask: NDArray[np.bool_], size: tuple[float, float]) -> Region:
    """A square in mm around the largest object of a mask (rows, columns) over a slice of ``size`` mm."""
    numbers, _ = ndimage.label(mask)
    largest = ndimage.find_objects(numbers)[np.bincount(numbers.ravel())[1:].argmax()]
    step = np.divide(size, mask.shape)
    low, high = (np.array([getattr(part, end) for part in largest]) * step for end in ("start", "stop"))
    side = (high - low).max() + 2 * MARGIN
    top, left = ((low + high - side) / 2).tolist()
    return Region(top, top + side, left, left + side)


def picture(image: Image, cut: Cut, truth: NDArray, results: Sequence[tuple[str, LabelMap, Sequence[Label]]]) -> Figure:
    """The part of a slice around the lesion, and in it each result with its title; ``truth`` is (rows, columns)."""
    region = around_lesion(truth == LESION.value, cut.whole.size)
    figure, axes = dark_figure(1, 1 + len(results), (3.3, 3.1))
    titles = [f"a CT with voxels of {image.grid.spacing[0]:g} mm", *(title for title, _, _ in results)]
    for ax, title in zip(axes, titles, strict=True):
        show_image(ax, image, cut, WINDOW, region)
        ax.set_title(title, color=INK, fontsize=10)
    for ax, (_, found, labels) in zip(axes[1:], results, strict=True):
        plane = cut.of(found.array)
        for label in labels:
            outline(ax, plane == label.value, cut.whole, rgb(label), 2.4)
        for label in LABELS:
            outline(ax, truth == label.value, cut.whole, "white", 0.8)
    add_legend(figure, shown(truth, region, cut), "exact truth")
    return figure


def shown(truth: NDArray, region: Region, cut: Cut) -> list[Label]:
    """The labels that the truth has in a part of a slice."""
    rows, columns = (n / mm for n, mm in zip(truth.shape, cut.whole.size, strict=True))
    part = truth[
        max(0, int(region.top * rows)) : int(region.bottom * rows),
        max(0, int(region.left * columns)) : int(region.right * columns),
    ]
    return [label for label in LABELS if (part == label.value).any()]


def lesion_dice(plane: NDArray, labels: Sequence[Label], truth: NDArray) -> float:
    """Dice of the lesions in a slice (rows, columns), in the voxels of the truth, of which each other one has many."""
    value = next(label.value for label in labels if label.name == LESION.name)
    rows, columns = (large // small for large, small in zip(truth.shape, plane.shape, strict=True))
    found, drawn = (plane == value).repeat(rows, 0).repeat(columns, 1), truth == LESION.value
    return 2 * np.count_nonzero(found & drawn) / (np.count_nonzero(found) + np.count_nonzero(drawn))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phantom-ct-pfseg", help="the model with the finer boundary (after)")
    parser.add_argument("--before", default="phantom-ct-patch-based", help="the model in the image's voxels")
    parser.add_argument("--output", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    torso = Torso.random(SEED)
    image = torso.image(default_grid())
    cut, truth = exact_slice(torso, image)
    results = []
    for name, when, finest in ((arguments.before, "before", False), (arguments.model, "after", True)):
        found, labels = segmented(name, image, finest=finest)
        title = f"{when}: a label map of {min(found.grid.spacing):g} mm"
        results.append((title, found, labels))
        print(f"{title} ({name}): Dice of the lesions {lesion_dice(cut.of(found.array), labels, truth):.3f}")
    write_figure(arguments.output, picture(image, cut, truth, results))
    print(arguments.output)


if __name__ == "__main__":
    main()
