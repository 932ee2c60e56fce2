r"""Whether the place of the guidance crop matters: Dice with the crop at several places and without.

    python benchmarks/pfseg_guidance.py --model headneck-ct-pfseg --data runs/headneck.json

``searched`` is the default; ``random``: the mean over some places; ``center``; ``flattest``: where grey values vary
least; ``worst``: the place of lowest Dice among all that were tried, which only the truth tells; ``none``: without.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hrseg.data_list import read_case, read_data_list
from hrseg.evaluation.metrics import label_metrics
from hrseg.geometry import Grid
from hrseg.image import Image, LabelMap
from hrseg.methods import Method, Options, method_of
from hrseg.model_file import Model, load_model
from hrseg.model_store import find_model
from hrseg.pfseg.guidance import variances
from hrseg.preprocess import prepare
from hrseg.runtime import Run, choose_device


def flattest(model: Model, image: Image, size_mm: np.ndarray) -> tuple[float, float, float]:
    """Centre (RAS mm) of the crop of smallest variance; ``size_mm`` along (i, j, k) of the model's orientation."""
    prepared = prepare(image, model.header)
    sides = np.rint(size_mm[::-1] / prepared.grid.spacing).astype(int)
    sides = np.minimum(sides, prepared.grid.shape).tolist()
    starts, found = variances(prepared.array, sides)
    place = np.unravel_index(int(found.argmin()), found.shape)
    start = np.array([s[n] for s, n in zip(starts, place, strict=True)])
    right, anterior, superior = prepared.grid.to_world(start + (np.array(sides) - 1) / 2).tolist()
    return right, anterior, superior


def random_place(grid: Grid, rng: np.random.RandomState) -> tuple[float, float, float]:
    """Any voxel's centre (RAS mm); crops are moved inside."""
    right, anterior, superior = grid.to_world([rng.randint(n) for n in grid.shape]).tolist()
    return right, anterior, superior


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--places", type=int, default=8)
    arguments = parser.parse_args()
    model, data, device = load_model(find_model(arguments.model)), read_data_list(arguments.data), choose_device()
    value_map, rng = data.value_map(model.header.labels), np.random.RandomState(0)
    ways = {way: method_of(model.with_inference({"guidance": way})) for way in ("variance", "center", "none")}
    rows: dict[str, list[float]] = {
        key: [] for key in ("searched", "random", "center", "flattest", "worst", "none", "spread over places")
    }
    for case in data.cases(arguments.split):
        image, truth = read_case(case, value_map)
        drawn = [
            label.value
            for label, is_drawn in zip(model.header.labels, case.annotated(model.header.labels), strict=True)
            if is_drawn
        ]

        def score(
            method: Method,
            center: tuple[float, float, float] | None = None,
            image: Image = image,
            truth: LabelMap = truth,
            drawn: list[int] = drawn,
        ) -> float:
            found = method.segment(image, Options(guidance_center=center), Run(device)).label_map.array
            return float(np.mean([label_metrics(found, truth.array, truth.grid, value)["dice"] for value in drawn]))

        box = ways["variance"].segment(image, Options(), Run(device)).guidance
        assert box is not None
        places = [score(ways["variance"], random_place(image.grid, rng)) for _ in range(arguments.places)]
        found = {
            "searched": score(ways["variance"]),
            "random": float(np.mean(places)),
            "center": score(ways["center"]),
            "flattest": score(ways["variance"], flattest(model, image, box.size)),
            "none": score(ways["none"]),
        }
        found["worst"] = min(*places, *(found[key] for key in ("searched", "center", "flattest")))
        found["spread over places"] = max(places) - min(places)
        for key, value in found.items():
            rows[key].append(value)
        print(case.name, {key: round(value, 4) for key, value in found.items()}, flush=True)
    print("\n| crop | Dice | against searched |\n| --- | --- | --- |")
    for key, values in rows.items():
        away = np.subtract(values, rows["searched"])
        print(f"| {key} | {np.mean(values):.4f} ± {np.std(values):.4f} | {away.mean():+.4f} ± {away.std():.4f} |")


if __name__ == "__main__":
    main()
