r"""The cascade against the plain network, ours and as published, over input sizes and seeds.

    python benchmarks/cascade_tables.py nuclei --data runs/nuclei.json --output runs/tables \
      --rows cascade:64:0 paper:64:0

A row is VARIANT:SIZE:SEED, or cascade:SIZE:SEED:NETWORK for one of MONAI's networks. Each is trained with the recipe's
profile and scored on the test part, once as the cascade and once with its coarse network alone (plain); what exists in
the output folder is not done again. In the end it prints a table of all rows in the folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from hrseg.data_list import DataList, read_data_list
from hrseg.evaluation.compare import compare
from hrseg.evaluation.run import evaluate_model
from hrseg.evaluation.summary import read_metrics
from hrseg.model_file import load_model
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import Recipe, read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"


def row_recipe(base: Recipe, variant: str, size: int, network: str | None) -> Recipe:
    """The recipe with another variant, input size and, if wanted, network."""
    inference = {**base.inference, "size": [size] * base.dimension, "variant": variant}
    choice = {"coarse": {"kind": network}, "fine": {"kind": network}} if network else base.network
    return base.model_copy(update={"inference": inference, "network": choice})


def run_row(base: Recipe, data: DataList, row: str, folder: Path, options: TrainingOptions) -> None:
    """Trains a row if there is no model of it, and scores it if there are no scores."""
    variant, size, seed, *network = row.split(":")
    name = row.replace(":", "-")
    path = folder / f"{name}.safetensors"
    if not path.exists():
        recipe = row_recipe(base, variant, int(size), network[0] if network else None)
        resume = any(path.with_suffix(".training").rglob("last.ckpt"))
        train(recipe, data, path, TrainingOptions(**{**vars(options), "seed": int(seed), "resume": resume}))
    for scored in (variant, "plain" if variant == "cascade" else "paper_plain"):
        scores = folder / f"{name}-{scored}"
        if not (scores / "metrics.json").exists():
            model = load_model(path).with_inference({"variant": scored})
            metrics = evaluate_model(model, data, "test", scores, torch.device("cpu"))
            mean = metrics["mean"]
            print(
                name, scored, {key: round(mean[key], 4) for key in ("dice", "iou", "recall", "precision")}, flush=True
            )


def print_table(folder: Path) -> None:
    """All rows of the folder, with the paired gain of each cascade over its own coarse network."""
    scores = ["dice", "iou", "precision", "recall"]
    columns = ["row", "plain Dice", "gain (95 % interval)", "better", *scores, "s plain", "s"]
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
    for path in sorted(folder.glob("*-*plain/metrics.json")):
        name = path.parent.name.removesuffix("-paper_plain").removesuffix("-plain")
        plain, full = read_metrics(path), read_metrics(folder / f"{name}-{name.split('-')[0]}" / "metrics.json")
        mean, gain = full["mean"], compare(plain, full).overall
        assert gain
        numbers = [f"{100 * mean[key]:.1f} ± {100 * full['std'][key]:.1f}" for key in scores]
        base = f"{100 * plain['mean']['dice']:.1f} ± {100 * plain['std']['dice']:.1f}"
        interval = f"{100 * gain.difference:+.1f} ({100 * gain.low:+.1f} … {100 * gain.high:+.1f})"
        seconds = [f"{m['cost']['seconds_mean']:.3f}" for m in (plain, full)]
        print("| " + " | ".join([name, base, interval, f"{100 * gain.better:.0f} %", *numbers, *seconds]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="nuclei, polyp ...: recipes/NAME-crop-cascade.yaml")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    folder = arguments.output / arguments.recipe
    folder.mkdir(parents=True, exist_ok=True)
    base = read_recipe(RECIPES / f"{arguments.recipe}-crop-cascade.yaml", arguments.profile)
    options = TrainingOptions(profile=arguments.profile, accelerator="cpu", workers=0)
    for row in arguments.rows:
        run_row(base, read_data_list(arguments.data), row, folder, options)
    print_table(folder)


if __name__ == "__main__":
    main()
