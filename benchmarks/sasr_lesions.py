r"""Lesions found and their Dice by diameter, of models on the test cases of the phantom lesions, at 1 mm.

    python benchmarks/sasr_lesions.py --data runs/phantom-lesions.json \
      --models runs/sasr/phantom-lesion-sasr/*.safetensors

The images have voxels of 2 mm, the truth is exact at 1 mm. A lesion is found when the mask covers 10 % of it. Its Dice
is that of the mask around it: up to half way to other lesions.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hrseg.data_list import DataList, read_case, read_data_list
from hrseg.evaluation.objects import OVERLAP, object_metrics
from hrseg.methods import Method, Options, method_of, segment_on
from hrseg.model_file import load_model
from hrseg.runtime import Run, choose_device

#: Diameters in mm that part the table's columns.
EDGES = [0, 5, 10, 20, 35, np.inf]
NAMES = ["3-5 mm", "5-10", "10-20", "20-35", "35-60"]


def lesion_scores(found: NDArray, truth: NDArray, voxel_volume: float) -> list[tuple[float, bool, float]]:
    """Of each true lesion: diameter in mm, whether it was found, Dice in the part of the image nearest to it."""
    numbers, count = ndimage.label(truth, np.ones((3, 3, 3)))
    nearest = ndimage.distance_transform_edt(numbers == 0, return_distances=False, return_indices=True)
    # What is predicted far from every lesion belongs to none; it counts in precision.
    owner = np.where(found | truth, numbers[tuple(nearest)], 0)
    rows = []
    for n in range(1, count + 1):
        true, mine = numbers == n, found & (owner == n)
        near = ndimage.binary_dilation(true, iterations=5)
        size, both = int(true.sum()), int((true & mine).sum())
        diameter = (6 * size * voxel_volume / np.pi) ** (1 / 3)
        rows.append((diameter, both >= OVERLAP * size, 2 * both / (size + int((mine & near).sum()))))
    return rows


def score(method: Method, data: DataList, device: str) -> tuple[list[tuple[float, bool, float]], float, float]:
    """Scores of all test lesions, and the means of lesion F1 and lesion precision over cases."""
    header = method.model.header
    rows, f1, precision = [], [], []
    for case in data.cases("test"):
        image, truth = read_case(case, data.value_map(header.labels))
        _, found = segment_on(method, image, truth.grid, Options(), Run(choose_device(device)))
        whole = object_metrics(found, truth.array, truth.grid, 1)
        f1.append(whole["object_f1"])
        precision.append(whole["object_precision"])
        rows += lesion_scores(found == 1, truth.array == 1, truth.grid.voxel_volume)
    return rows, float(np.mean(f1)), float(np.mean(precision))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    data = read_data_list(arguments.data)
    print("| model | lesion F1 | precision | " + " | ".join(f"{n}: found, Dice (lesions)" for n in NAMES) + " |")
    print("|" + " --- |" * (3 + len(NAMES)))
    for path in arguments.models:
        rows, f1, precision = score(method_of(load_model(path)), data, arguments.device)
        cells = []
        for low, high in pairwise(EDGES):
            part = [row for row in rows if low <= row[0] < high]
            means = f"{100 * np.mean([r[1] for r in part]):.0f} %, {np.mean([r[2] for r in part]):.3f}" if part else "–"
            cells.append(f"{means} ({len(part)})")
        print("| " + " | ".join([path.stem, f"{f1:.3f}", f"{precision:.3f}", *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
