r"""Lesions found and their Dice by diameter, of models on the test cases of the phantom lesions, at 1 mm.

    python benchmarks/sasr_lesions.py --data runs/phantom-lesions.json \
      --models runs/sasr/phantom-ct-sasr/*.safetensors --picture lesions.png

The images have voxels of 2 mm, the truth is exact at 1 mm, where masks are compared; diameters are those of balls of
the same volume. A lesion is found when the mask covers 10 % of it; a piece of the mask (connected, 26 neighbors) is
wrong when less than 10 % of it is lesion. Lesion F1 is 2 found / (2 found + missed + wrong), over all cases together,
where wrong pieces count in the column of their own diameter. A lesion's Dice is that of the part of the mask nearer to
it than to other lesions, 0 where it was missed; pieces that touch no lesion count in F1 alone. Intervals are over
lesions. Models may have further labels; the one called lesion counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from hrseg.bounding_box import bounding_box
from hrseg.data_list import DataList, read_case, read_data_list
from hrseg.errors import HrsegError, InputError
from hrseg.evaluation.compare import bootstrap_interval
from hrseg.evaluation.figures import INK, bare, png_bytes
from hrseg.evaluation.objects import OVERLAP
from hrseg.geometry import Floats
from hrseg.image import replacing
from hrseg.lesions import ball_diameter
from hrseg.methods import Method, Options, method_of, segment_on
from hrseg.model_file import Header, load_model
from hrseg.model_store import find_model
from hrseg.runtime import Run, choose_device

#: Diameters in mm that part the columns; phantoms have lesions from 3 to 60 mm.
EDGES = [0, 5, 10, 20, 35, np.inf]
NAMES = ["below 5 mm", "5-10 mm", "10-20 mm", "20-35 mm", "above 35 mm"]
Mask = NDArray[np.bool_]


class Scores(NamedTuple):
    """``lesions``: diameter in mm, found, Dice of each true one; ``wrong``: diameters of wrong pieces of the mask."""

    lesions: Floats
    wrong: Floats


def lesion_scores(found: Mask, truth: Mask, voxel: float) -> Scores:
    """Scores of one case, from two masks (K, J, I) whose voxels have ``voxel`` cubic mm."""
    pieces, piece_count = ndimage.label(found, np.ones((3, 3, 3)))
    piece_size, right = _sizes(pieces, piece_count), _sizes(pieces[truth], piece_count)
    wrong = _diameters(piece_size[right < OVERLAP * piece_size], voxel)
    # The whole of a piece that touches a lesion counts, however far it leaks.
    touching = np.append(False, right > 0)[pieces]
    box = bounding_box(truth | touching)
    if not truth.any() or box is None:
        return Scores(np.empty((0, 3)), wrong)
    found, truth, touching = found[box.slices], truth[box.slices], touching[box.slices]
    numbers, count = ndimage.label(truth, np.ones((3, 3, 3)))
    size, covered = _sizes(numbers, count), _sizes(numbers[found], count)
    nearest = ndimage.distance_transform_edt(~truth, return_distances=False, return_indices=True)
    mine = _sizes(numbers[tuple(axis[touching] for axis in nearest)], count)
    dice = 2 * covered / (size + mine)
    return Scores(np.stack([_diameters(size, voxel), covered >= OVERLAP * size, dice], axis=1), wrong)


def _sizes(numbers: NDArray, count: int) -> NDArray[np.int64]:
    """How often 1 to ``count`` occur."""
    return np.bincount(numbers.ravel(), minlength=count + 1)[1:]


def _diameters(voxels: NDArray[np.int64], voxel: float) -> Floats:
    return np.array([ball_diameter(voxel * int(n), 3) for n in voxels], dtype=np.float64)


def score(method: Method, data: DataList, device: str) -> Scores:
    """Scores of all test cases. Raises InputError for a model that has not one label of lesions."""
    header = method.model.header
    cases, lesion = [], lesion_value(header)
    for case in data.cases("test"):
        image, truth = read_case(case, data.value_map(header.labels))
        _, found = segment_on(method, image, truth.grid, Options(), Run(choose_device(device)))
        cases.append(lesion_scores(found == lesion, truth.array == lesion, truth.grid.voxel_volume))
    return Scores(*(np.concatenate(column) for column in zip(*cases, strict=True)))


def lesion_value(header: Header) -> int:
    """Value of the label whose name says that it is of lesions. Raises InputError where not exactly one does."""
    values = [label.value for label in header.labels if "lesion" in label.name]
    if len(values) != 1:
        raise InputError(
            f'{len(values)} of the labels of the model "{header.name}" are called lesion; choose a model with one.'
        )
    return values[0]


def by_size(scores: Scores) -> Iterator[Scores]:
    """All of them, then those of each column."""
    yield scores
    for low, high in pairwise(EDGES):
        lesions, wrong = scores
        inside = (lesions[:, 0] >= low) & (lesions[:, 0] < high)
        yield Scores(lesions[inside], wrong[(wrong >= low) & (wrong < high)])


def f1(part: Scores) -> float | None:
    """Lesion F1; None where there is neither a lesion nor a wrong piece."""
    hits = part.lesions[:, 1].sum()
    total = hits + len(part.lesions) + len(part.wrong)
    return float(2 * hits / total) if total else None


def dice(part: Scores) -> tuple[float, float, float] | None:
    """Mean over lesions, and its 95 % interval; None without lesions."""
    values = part.lesions[:, 2]
    return (float(values.mean()), *bootstrap_interval(values, 10_000, 0)) if len(values) else None


def print_tables(found: dict[str, Scores]) -> None:
    counts = [len(part.lesions) for part in by_size(next(iter(found.values())))]
    heads = [f"{name} ({count})" for name, count in zip(["all", *NAMES], counts, strict=True)]
    f1_cells = {name: [_number(f1(part)) for part in by_size(scores)] for name, scores in found.items()}
    dice_cells = {name: [_with_interval(dice(part)) for part in by_size(scores)] for name, scores in found.items()}
    for title, rows in (("Lesion F1", f1_cells), ("Dice of lesions (95 % interval)", dice_cells)):
        print(f"\n{title}, by diameter (lesions)\n\n| model | " + " | ".join(heads) + " |")
        print("|" + " --- |" * (1 + len(heads)))
        for name, cells in rows.items():
            print(f"| {name} | " + " | ".join(cells) + " |")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _with_interval(values: tuple[float, float, float] | None) -> str:
    return "–" if values is None else "{:.3f} ({:.3f} … {:.3f})".format(*values)


def draw(found: dict[str, Scores]) -> Figure:
    """F1 and Dice over the columns of sizes, a line per model."""
    figure = Figure(figsize=(10, 3.8), layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2)
    for n, (name, scores) in enumerate(found.items()):
        parts = list(by_size(scores))[1:]
        # Side by side, so that intervals do not hide each other.
        places = np.arange(len(parts)) + 0.08 * (n - (len(found) - 1) / 2)
        values = [f1(part) for part in parts]
        panels[0].plot(places, [np.nan if v is None else v for v in values], marker="o", label=name)
        means = np.array([dice(part) or (np.nan,) * 3 for part in parts])
        ends = [means[:, 0] - means[:, 1], means[:, 2] - means[:, 0]]
        panels[1].errorbar(places, means[:, 0], yerr=ends, marker="o", capsize=2)
    for axes, title in zip(panels, ("lesion F1", "Dice of lesions, 95 % intervals"), strict=True):
        axes.set(title=title, xlabel="diameter in mm", ylim=(0, 1.02), xlim=(-0.7, len(NAMES) - 0.3))
        axes.set_xticks(np.arange(len(NAMES)), [name.removesuffix(" mm") for name in NAMES])
        bare(figure, axes, INK[0], "y")
    figure.patch.set_alpha(1)
    figure.legend(loc="outside lower center", ncols=min(4, len(found)), frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True, help="names, or paths")
    parser.add_argument("--picture", type=Path, help="PNG to write")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    try:
        data, found = read_data_list(arguments.data), {}
        for path in map(find_model, arguments.models):
            found[path.stem] = score(method_of(load_model(path)), data, arguments.device)
            print(f"{path.stem}: {len(found[path.stem].wrong)} wrong pieces", flush=True)
        print_tables(found)
        if arguments.picture:
            with replacing(arguments.picture) as temporary:
                temporary.write_bytes(png_bytes(draw(found)))
    except HrsegError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
