"""Boundaries finer than voxels: the field against label maps and probabilities of the image's grid, made finer.

    python benchmarks/oss_resolution.py --field FIELD.safetensors --baseline BASELINE.safetensors OUTPUT

Both models were trained on the torsos of seed 1 (recipes phantom-ct-oss-net and phantom-ct-patch-based); those here
have the seed 100. Truth is exact at any resolution. Prints mean surface Dice and HD95 over torsos and the labels there,
2 and 4 times finer than the image's voxels of 2 mm, within a region around the liver, and how many labels were not
found at all, which have no HD95; writes rows.json and boundary.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hrseg.evaluation.metrics import label_metrics
from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.methods import Method, Options, method_of
from hrseg.model_file import load_model
from hrseg.oss_net.field import Field
from hrseg.oss_net.method import OssNet
from hrseg.phantom.cases import default_grid
from hrseg.phantom.torso import Torso
from hrseg.resample import resample, resample_labels
from hrseg.runtime import Run

SEED = 100
#: Voxels of the region (k, j, i).
REGION = (40, 56, 64)


def rows_of(image: Image, region: Box, fine: Grid, field: Field, baseline: Method) -> dict[str, NDArray[np.uint8]]:
    result = baseline.segment(image, Options(keep_probability=True), Run())
    assert result.probability is not None
    part = image.grid.crop(region)
    own = field.probability(part)
    upsampled = [resample(p, part, fine) for p in (result.probability[(..., *region.slices)], own)]
    return {
        "field": field.label_map(fine).array,
        "baseline, label map": resample_labels(result.label_map.array[region.slices], part, fine),
        "baseline, probability": Field.labels_of(upsampled[0]),
        "field, probability of the input's grid": Field.labels_of(upsampled[1]),
    }


def around_liver(torso: Torso, grid: Grid) -> Box:
    middle = np.argwhere(torso.label_map(grid).array == 1).mean(axis=0).astype(int)
    start = np.clip(middle - np.array(REGION) // 2, 0, np.array(grid.shape) - REGION)
    return Box.whole(REGION).shift(start.tolist())


def picture(path: Path, found: dict[str, NDArray[np.uint8]], truth: NDArray[np.uint8], gray: NDArray) -> None:
    """A part of the middle slice with the outlines of all labels, in red where they are true."""
    figure = Figure(figsize=(4 * len(found), 4.3), layout="constrained")
    k, side = truth.shape[0] // 2, 96
    j, i = (np.argwhere(truth[k] == 2) if (truth[k] == 2).any() else np.argwhere(truth[k] == 1)).mean(0).astype(int)
    window = slice(max(0, j - side // 2), j + side // 2), slice(max(0, i - side // 2), i + side // 2)
    for axes, (name, labels) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        axes.imshow(gray[k][window], cmap="gray")
        for value in range(1, int(truth.max()) + 1):
            for mask, color in ((truth, "red"), (labels, "deepskyblue")):
                outline = (mask[k][window] == value).astype(float)
                if 0 < outline.mean() < 1:
                    axes.contour(outline, [0.5], colors=color, linewidths=1)
        axes.set_title(name, fontsize=9)
        axes.axis("off")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--field", type=Path, required=True)
    parser.add_argument("--baseline", type=Path, required=True)
    parser.add_argument("--torsos", type=int, default=6)
    parser.add_argument("--factors", type=int, nargs="*", default=[2, 4])
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network, baseline = OssNet(load_model(arguments.field)), method_of(load_model(arguments.baseline))
    rows = []
    for case in range(arguments.torsos):
        torso, grid = Torso.random(SEED, case), default_grid()
        image, region = torso.image(grid), around_liver(torso, grid)
        field = network.field(image, Run())
        for factor in arguments.factors:
            fine = grid.crop(region).finer(factor)
            truth = torso.label_map(fine).array
            found = rows_of(image, region, fine, field, baseline)
            # A label that the region does not have would count as found perfectly.
            there = [label for label in network.model.header.labels if (truth == label.value).any()]
            for name, labels in found.items():
                for label in there:
                    scores = label_metrics(labels, truth, fine, label.value)
                    rows.append({"case": case, "factor": factor, "row": name, "label": label.name, **scores})
            if case == 0 and factor == max(arguments.factors):
                gray = resample_labels(image.array[0][region.slices], grid.crop(region), fine)
                picture(arguments.output / "boundary.png", found, truth, gray)
    (arguments.output / "rows.json").write_text(json.dumps(rows, indent=1))
    print("| times finer | | Dice | surface Dice | HD95 mm | not found |\n|---|---|---|---|---|---|")
    for factor in arguments.factors:
        for name in dict.fromkeys(row["row"] for row in rows):
            mine = [row for row in rows if row["row"] == name and row["factor"] == factor]
            means = [
                np.mean([r[key] for r in mine if r[key] is not None]) for key in ("dice", "surface_dice", "hd95_mm")
            ]
            lost = sum(row["hd95_mm"] is None for row in mine)
            print(f"| {factor} | {name} | {means[0]:.4f} | {means[1]:.4f} | {means[2]:.2f} | {lost} |", flush=True)


if __name__ == "__main__":
    main()
