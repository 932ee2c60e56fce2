r"""SASR-Net part by part, at equal steps, on the test cases of one data set.

    python benchmarks/sasr_table.py skin-lesion-sasr --data runs/skin.json --output runs/sasr --rows unet sr full hr

Rows, each adding to the one before: ``unet`` (the same encoder, plain decoder, logits interpolated), ``head`` (learned
layers at the fine resolution), ``sr`` (the image decoder), ``sdc`` (scale-aware convolutions), ``fa`` (feature
affinity), ``full`` (scale affinity: the recipe itself). ``hr`` is the U-Net at the fine resolution: on the image
itself where the recipe shrinks it, else on the image interpolated to the grid of the mask. What exists in the output
folder is not done again. Then a table of all rows in the folder is printed: Dice overall and by tercile of lesion size,
with paired differences to ``unet``.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hrseg.data_list import DataList, read_data_list
from hrseg.evaluation.compare import bootstrap_interval
from hrseg.evaluation.run import evaluate_model
from hrseg.evaluation.summary import case_mean, read_metrics
from hrseg.model_file import load_model
from hrseg.runtime import choose_device
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import Recipe, read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
#: What each row's network lacks, and which weights are 0.
_OFF = {"image_weight": 0, "feature_weight": 0, "scale_weight": 0}
_NO_AFFINITY = {"feature_weight": 0, "scale_weight": 0}
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "unet": ({"sr": False, "sdc": False, "head": "interpolate"}, _OFF),
    "head": ({"sr": False, "sdc": False}, _OFF),
    "sr": ({"sdc": False}, _NO_AFFINITY),
    "sdc": ({}, _NO_AFFINITY),
    "fa": ({}, {"scale_weight": 0}),
    "full": ({}, {}),
    "hr": ({"sr": False, "sdc": False, "head": "interpolate"}, _OFF),
}


def row_recipe(base: Recipe, row: str) -> Recipe:
    """The recipe with the parts of a row."""
    lacks, weights = ROWS[row]
    network, training, inference = {**base.network, **lacks}, {**base.training, **weights}, base.inference
    if row == "hr" and inference["feeds"] == "native":
        network["early"] = True
    elif row == "hr":
        # The image itself, in patches of the same field of view.
        network["factors"] = [1] * base.dimension
        training["patch"] = [2 * side for side in training.get("patch", inference["window"])]
        inference = {**inference, "window": [2 * side for side in inference["window"]]}
    return base.model_copy(update={"network": network, "training": training, "inference": inference})


def run_row(base: Recipe, data: DataList, row: str, folder: Path, options: TrainingOptions, device: str) -> None:
    """Trains a row if there is no model of it, and scores it if there are no scores."""
    path = folder / f"{row}-{options.seed}.safetensors"
    if not path.exists():
        resume = path.with_suffix(".training").joinpath("last.ckpt").exists()
        train(row_recipe(base, row), data, path, TrainingOptions(**{**vars(options), "resume": resume}))
    scores = folder / path.stem
    if not (scores / "metrics.json").exists():
        evaluate_model(load_model(path), data, "test", scores, choose_device(device), count_objects=True)


def sizes(metrics: Mapping[str, Any]) -> dict[str, float]:
    """True volume of the label, by case."""
    return {case["name"]: sum(s["truth_ml"] for s in case["labels"].values()) for case in metrics["cases"]}


def print_table(folder: Path) -> None:
    """A line for each scored row; terciles are those of the true size over the test cases."""
    found = {path.parent.name: read_metrics(path) for path in folder.glob("*/metrics.json")}
    order = sorted(found, key=lambda name: (list(ROWS).index(name.split("-")[0]), name))
    columns = ["row", "Dice", "small", "medium", "large", "surface Dice", "HD95", "lesion F1", "s", "MiB"]
    print("| " + " | ".join([*columns, "Dice - unet (95 % interval)", "small - unet"]) + " |")
    print("|" + " --- |" * (len(columns) + 2))
    for name in order:
        metrics = found[name]
        size = sizes(metrics)
        low, high = np.quantile(list(size.values()), [1 / 3, 2 / 3])
        bins = {case: int(ml > low) + int(ml > high) for case, ml in size.items()}
        dice = {case["name"]: case_mean(case, "dice") for case in metrics["cases"]}
        by_size = [np.mean([dice[case] for case in dice if bins[case] == n]) for n in range(3)]
        mean, cost = metrics["mean"], metrics["cost"]
        base = found.get(f"unet-{name.split('-')[1]}")
        gains = ["", ""]
        if base is not None and not name.startswith("unet"):
            before = {case["name"]: case_mean(case, "dice") for case in base["cases"]}
            small = [case for case in dice if bins[case] == 0]
            gains = [_gain([dice[c] - before[c] for c in chosen]) for chosen in (list(dice), small)]
        numbers = [f"{100 * value:.1f}" for value in (mean["dice"], *by_size, mean["surface_dice"])]
        others = [f"{mean['hd95_mm']:.2f}", f"{100 * mean['object_f1']:.1f}", f"{cost['seconds_mean']:.2f}"]
        print("| " + " | ".join([name, *numbers, *others, f"{cost['peak_memory_mib_max']:.0f}", *gains]) + " |")


def _gain(differences: list[float]) -> str:
    low, high = bootstrap_interval(np.array(differences), 10_000, 0)
    return f"{100 * np.mean(differences):+.1f} ({100 * low:+.1f} … {100 * high:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="skin-lesion-sasr, breast-lesion-sasr or phantom-lesion-sasr")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", nargs="*", default=[], choices=ROWS)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="steps of every row, instead of the profile's")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    folder = arguments.output / arguments.recipe
    folder.mkdir(parents=True, exist_ok=True)
    base = read_recipe(RECIPES / f"{arguments.recipe}.yaml", arguments.profile)
    if arguments.steps:
        fewer = {"steps": arguments.steps, "validation_every": max(1, arguments.steps // 4)}
        base = base.model_copy(update={"training": {**base.training, **fewer}})
    accelerator = {"cpu": "cpu", "auto": "auto"}.get(arguments.device, "gpu")
    options = TrainingOptions(profile=arguments.profile, accelerator=accelerator, seed=arguments.seed)
    for row in arguments.rows:
        run_row(base, read_data_list(arguments.data), row, folder, options, arguments.device)
    print_table(folder)


if __name__ == "__main__":
    main()
