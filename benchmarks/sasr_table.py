r"""SASR-Net part by part, at equal steps, on the test cases of one data set.

    python benchmarks/sasr_table.py skin-lesion-sasr --data runs/skin.json --output runs/sasr --rows unet sr full hr

Rows, each adding to the one before: ``unet`` (the same encoder, plain decoder, logits interpolated), ``head`` (learned
layers at the fine resolution), ``sr`` (the image decoder), ``sdc`` (scale-aware convolutions), ``fa`` (feature
affinity), ``full`` (scale affinity: the recipe itself). ``hr`` is the U-Net at the fine resolution: on the image
itself where the recipe shrinks or resizes it, else on the image interpolated to the grid of the mask. What exists in
the output folder is not done again. Then the rows in the folder are printed as two tables: scores overall, and Dice by
tercile of lesion size, each with paired differences to ``unet``. Without --rows nothing else is done, and metrics that
results.py has stored suffice:

    python benchmarks/sasr_table.py skin-lesion-sasr --output docs/results
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from hrseg.data_list import DataList, read_data_list
from hrseg.errors import HrsegError, InputError
from hrseg.evaluation.compare import compare
from hrseg.evaluation.run import evaluate_model
from hrseg.evaluation.summary import Case, case_mean, read_metrics, size_terciles, summarise, unit_of
from hrseg.evaluation.summary import mean as mean_of
from hrseg.image import make_folder
from hrseg.lesions import SIZES
from hrseg.model_file import load_model
from hrseg.runtime import choose_device
from hrseg.sasr.settings import NetworkSettings
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
    resized = inference["feeds"] == "native" and "size" in inference
    if row == "hr" and inference["feeds"] == "native" and not resized:
        network["early"] = True
    elif row == "hr":
        # The image itself, in patches of the same field of view.
        factors = NetworkSettings(**base.network).all_factors(base.dimension)
        sides = {"patch": training.get("patch", inference["window"]), **inference}
        finer = {
            key: [side * factor for side, factor in zip(sides[key], factors, strict=True)]
            for key in ("patch", "window", *["size"] * resized)
        }
        network["factors"] = [1] * base.dimension
        training["patch"] = finer.pop("patch")
        inference = {**inference, **finer}
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


def read_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Metrics with their means by row and seed ("full-0"), in the order of ROWS; evaluated here, or stored."""
    files = {path.parent.name: path for path in folder.glob("*/metrics.json")}
    files |= {path.stem: path for path in folder.glob("*.json")}
    names = [name for row in ROWS for name in sorted(files) if name.rpartition("-")[0] == row]
    if not names:
        raise InputError(f'The folder "{folder}" has no metrics of {", ".join(ROWS)}; give another one by --output.')
    found = {name: read_metrics(files[name]) for name in names}
    return {name: {**metrics, **summarise(metrics["cases"])} for name, metrics in found.items()}


def print_tables(rows: dict[str, dict[str, Any]]) -> None:
    """All scores of each row, then Dice by tercile of the true size over the test cases."""
    first = next(iter(rows.values()))
    unit = unit_of(first)
    small, large = (_size(limit, unit) for limit in size_terciles(first["cases"])[1])
    head = ["row", "Dice", "Dice - unet (95 % interval)", "surface Dice", f"HD95 [{unit}]", "lesion F1", "s", "MiB"]
    _print_table(head, [_overall(name, metrics, rows) for name, metrics in rows.items()])
    parts = [text for size in SIZES for text in (size, f"{size} - unet (95 % interval)")]
    print(f"\nDice by size of the lesions of a case: small up to {small}, large above {large}.\n")
    _print_table(["row", *parts], [_by_size(name, metrics, rows) for name, metrics in rows.items()])


def _overall(name: str, metrics: dict[str, Any], rows: dict[str, dict[str, Any]]) -> list[str]:
    mean, cost = metrics["mean"], metrics["cost"]
    missed = f" ({mean['hd95_undefined']} undefined)" if mean["hd95_undefined"] else ""
    return [
        name,
        _number(mean["dice"], 100),
        _gain(metrics["cases"], name, rows),
        _number(mean["surface_dice"], 100),
        _number(mean["hd95_mm"], 1, 2) + missed,
        _number(mean.get("object_f1"), 100),
        _number(cost["seconds_mean"], 1, 2),
        _number(cost["peak_memory_mib_max"], 1, 0),
    ]


def _by_size(name: str, metrics: dict[str, Any], rows: dict[str, dict[str, Any]]) -> list[str]:
    names, _ = size_terciles(metrics["cases"])
    cells = [name]
    for size in SIZES:
        part = [case for case in metrics["cases"] if names[case["name"]] == size]
        cells += [f"{_number(mean_of(case_mean(case, 'dice') for case in part), 100)} ({len(part)})"]
        cells += [_gain(part, name, rows)]
    return cells


def _gain(cases: list[Case], name: str, rows: dict[str, dict[str, Any]]) -> str:
    """Dice of these cases less that of the U-Net of the same seed, in points."""
    row, _, seed = name.rpartition("-")
    base = rows.get(f"unet-{seed}")
    if base is None or row == "unet" or not cases:
        return ""
    found = compare(base, {"cases": cases}).overall
    if found is None or found.low is None or found.high is None:
        return "–"
    return f"{100 * found.difference:+.1f} ({100 * found.low:+.1f} … {100 * found.high:+.1f})"


def _size(limit: float, unit: str) -> str:
    """Of ml; of pictures, where a pixel counts as a cubic millimeter, in pixels."""
    return f"{1000 * limit:,.0f} pixels" if unit == "pixels" else f"{limit:.3g} ml"


def _number(value: float | None, scale: float, digits: int = 1) -> str:
    return "–" if value is None else f"{scale * value:.{digits}f}"


def _print_table(head: list[str], rows: list[list[str]]) -> None:
    for line in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(line) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="skin-lesion-sasr, breast-lesion-sasr or phantom-ct-sasr")
    parser.add_argument("--data", type=Path, help="data list; needed with --rows")
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
    try:
        if arguments.rows:
            make_rows(arguments, folder)
        print_tables(read_rows(folder))
    except HrsegError as error:
        sys.exit(f"Error: {error}")


def make_rows(arguments: argparse.Namespace, folder: Path) -> None:
    """Trains and scores what is wanted and not there yet."""
    if arguments.data is None:
        raise InputError("Rows are trained on a data list; give it by --data.")
    data = read_data_list(arguments.data)
    make_folder(folder)
    base = read_recipe(RECIPES / f"{arguments.recipe}.yaml", arguments.profile)
    if arguments.steps:
        fewer = {"steps": arguments.steps, "validation_every": max(1, arguments.steps // 4)}
        base = base.model_copy(update={"training": {**base.training, **fewer}})
    accelerator = {"cpu": "cpu", "auto": "auto"}.get(arguments.device, "gpu")
    options = TrainingOptions(profile=arguments.profile, accelerator=accelerator, seed=arguments.seed)
    for row in arguments.rows:
        run_row(base, data, row, folder, options, arguments.device)


if __name__ == "__main__":
    main()
