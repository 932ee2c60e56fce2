r"""PFSeg and its helpers against windows, the whole volume at once, and a shrunk copy, at equal widths and steps.

    python benchmarks/pfseg_tables.py headneck-ct --data runs/headneck.json --output runs/pfseg \
      --rows windows whole low plain sr fusion guidance tell_place --seed 0

Rows: ``windows`` of half the sides of PFSeg's samples; ``whole``: the network of that row, but segmenting in windows as
large as PFSeg's samples, which are about whole volumes; ``low``: the same network trained on the shrunk copy, its
probabilities enlarged; ``plain``: PFSeg's mask alone; ``sr``: and the super-resolved image; ``fusion``: and the losses
that tie both together; ``guidance``: and the guidance crop; ``tell_place``: which the bottleneck is told the place of.
Each is trained with the profile of recipes/NAME-patch-based.yaml or NAME-pfseg.yaml and scored on the test part; what
exists in the output folder is not done again. In the end it prints a table of all rows in the folder, with paired gains
over ``windows``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hrseg.data_list import DataList, read_data_list
from hrseg.evaluation.compare import compare
from hrseg.evaluation.run import evaluate_model
from hrseg.evaluation.summary import read_metrics
from hrseg.model_file import Model, load_model
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import Recipe, read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
OFF = {"super_resolution": 0.0, "guidance": 0.0, "target_enhanced": 0.0, "similarity": 0.0}
NO_CROP: dict[str, Any] = {"guidance_widths": []}
#: PFSeg's rows: the weights that are not those of the recipe, and what is different in the network.
HELPERS: dict[str, tuple[dict[str, float], dict[str, Any]]] = {
    "plain": (OFF, NO_CROP),
    "sr": ({**OFF, "super_resolution": 0.5}, NO_CROP),
    "fusion": ({"guidance": 0.0}, NO_CROP),
    "guidance": ({}, {}),
    "tell_place": ({}, {"tell_place": True}),
}


def row_recipe(name: str, row: str, profile: str, steps: int | None = None, spacing: float | None = None) -> Recipe:
    """The recipe of a row, with other steps and another spacing in mm if given."""
    fewer = {"steps": steps, "validation_every": max(1, steps // 4)} if steps else {}
    pfseg = read_recipe(RECIPES / f"{name}-pfseg.yaml", profile)
    pfseg = pfseg.model_copy(update={"training": {**pfseg.training, **fewer}})
    if spacing:
        grid = pfseg.preprocessing.model_copy(update={"spacing": (spacing,) * 3})
        pfseg = pfseg.model_copy(update={"preprocessing": grid})
    if row in HELPERS:
        helpers, other = HELPERS[row]
        network = {**pfseg.network, **other}
        return pfseg.model_copy(update={"network": network, "training": {**pfseg.training, "helpers": helpers}})
    base = read_recipe(RECIPES / f"{name}-patch-based.yaml", profile)
    size = pfseg.training["size"]
    # Half of PFSeg's samples, or, of the shrunk copy, all that they show.
    patch = [n // 2 for n in size]
    training = {**base.training, **fewer, "patch": patch}
    changes: dict[str, Any] = {"training": training, "inference": {"window": patch, "overlap": 0.5}}
    changes |= {"network": {"widths": pfseg.network["widths"]}, "preprocessing": pfseg.preprocessing}
    if row == "low":
        spacing = pfseg.preprocessing.spacing
        assert spacing
        coarse = tuple(np.multiply(spacing, 2).tolist())
        changes["preprocessing"] = pfseg.preprocessing.model_copy(update={"spacing": coarse})
    return base.model_copy(update=changes)


def trained(recipe: Recipe, path: Path, data: DataList, options: TrainingOptions) -> Model:
    """The model of a row, trained if it is not there yet."""
    if not path.exists():
        resume = path.with_suffix(".training").exists()
        train(recipe, data, path, TrainingOptions(**{**vars(options), "resume": resume}))
    return load_model(path)


def run_row(recipe: Recipe, row: str, folder: Path, data: DataList, options: TrainingOptions) -> None:
    """Trains a row if there is no model of it, and scores it if there are no scores."""
    scores = folder / f"{row}-{options.seed}"
    if (scores / "metrics.json").exists():
        return
    if row == "whole":
        model = trained(recipe, folder / f"windows-{options.seed}.safetensors", data, options)
        model = model.with_inference({"window": [2 * n for n in recipe.training["patch"]]})
    else:
        model = trained(recipe, scores.with_suffix(".safetensors"), data, options)
    evaluate_model(model, data, "test", scores, torch.device("cpu"))


def print_table(folder: Path) -> None:
    """All rows of the folder."""
    keys = ["dice", "surface_dice", "hd95_mm"]
    print("| row | " + " | ".join(keys) + " | Dice over windows (95 % interval) | s | MiB |\n|" + " --- |" * 7)
    found = {path.parent.name: read_metrics(path) for path in sorted(folder.glob("*/metrics.json"))}
    for row, metrics in found.items():
        base = found.get(f"windows-{row.rpartition('-')[2]}")
        gain = compare(base, metrics).overall if base and base is not metrics else None
        text = f"{gain.difference:+.3f} ({gain.low:+.3f} … {gain.high:+.3f})" if gain else ""
        numbers = [f"{metrics['mean'][key]:.3f}" for key in keys]
        costs = f"{metrics['cost']['seconds_mean']:.1f} | {metrics['cost']['peak_memory_mib_max']:.0f}"
        print(f"| {row} | {' | '.join(numbers)} | {text} | {costs} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="headneck-ct, phantom-ct ...")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--profile", default="cpu")
    parser.add_argument("--steps", type=int, help="steps of every row, instead of the profile's")
    parser.add_argument("--spacing", type=float, help="of the fine grid in mm, instead of the recipe's")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    folder = arguments.output / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    options = TrainingOptions(profile=arguments.profile, accelerator="cpu", seed=arguments.seed)
    for row in arguments.rows:
        trained_as = "windows" if row == "whole" else row
        recipe = row_recipe(arguments.name, trained_as, arguments.profile, arguments.steps, arguments.spacing)
        run_row(recipe, row, folder, read_data_list(arguments.data), options)
    print_table(folder)


if __name__ == "__main__":
    main()
