r"""A trained model becomes one that comes along: its test scores go into its header, and the file to Resources/Models.

    python benchmarks/bundle.py runs/tables/polyp/cascade-64-0.safetensors \
      --metrics runs/tables/polyp/cascade-64-0-cascade/metrics.json --data runs/polyps.json
    python benchmarks/bundle.py --refresh     # the headers of all models that came along already

What a header lacks of title, citation, intended use and limitations is taken from recipes/NAME.yaml; with --replace
also what it has. `--refresh` leaves the tensors as they are, bit by bit.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from hrseg.errors import HrsegError
from hrseg.evaluation.summary import read_metrics
from hrseg.model_file import Header, load_header, load_model, save_model, write_model
from hrseg.model_header import SUFFIX
from hrseg.training.recipe import read_recipe

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "Resources" / "Models"
KEYS = ("dice", "surface_dice", "hd95_mm")
#: What people read; the rest of a header is what the file is.
TEXTS = ("title", "citation", "intended_use", "limitations")


def test_scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a header says of an evaluation."""
    by_label = {name: {key: _rounded(row[key]) for key in KEYS} for name, row in metrics["by_label"].items()}
    mean = {key: _rounded(metrics["mean"][key]) for key in KEYS}
    return {**mean, "cases": len(metrics["cases"]), "by_label": by_label}


def described(header: Header, recipes: Path, *, replace: bool = False) -> Header:
    """The header with the texts of its recipe, where it has none of its own; with ``replace`` all that the recipe has.

    A header without a recipe in the folder stays as it is.
    """
    path = recipes / f"{header.name}.yaml"
    if not path.exists():
        return header
    recipe = read_recipe(path, header.training.profile)
    said = {key: getattr(recipe, key) for key in TEXTS if key in recipe.model_fields_set}
    nothing = {key: Header.model_fields[key].default for key in TEXTS}
    wanted = {key: text for key, text in said.items() if replace or getattr(header, key) == nothing[key]}
    return header.model_copy(update=wanted)


def refresh(models: Path, recipes: Path, *, replace: bool = False) -> list[Path]:
    """Writes the headers of all models in a folder anew; returns those that changed."""
    changed = []
    for path in sorted(models.glob(f"*{SUFFIX}")):
        header = load_header(path)
        better = described(header, recipes, replace=replace)
        if better != header:
            write_model(path, better, load_file(path))
            changed.append(path)
    return changed


def bundle(source: Path, metrics: Path, data: str, *, replace: bool = False) -> None:
    model = load_model(source)
    name, training = model.header.name, model.header.training
    begun = re.search(r" --start-from \S+", training.command)
    command = (
        f"hrseg train recipes/{name}.yaml --data {data} --profile {training.profile}{begun[0] if begun else ''} "
        f"--output runs/{name}{SUFFIX}"
    )
    scores = {**training.metrics, "test": test_scores(read_metrics(metrics))}
    known = training.model_copy(update={"metrics": scores, "command": command})
    header = described(model.header.model_copy(update={"training": known}), ROOT / "recipes", replace=replace)
    path = FOLDER / f"{name}{SUFFIX}"
    save_model(path, header, model.network)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, Dice {scores['test']['dice']:.3f}")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--metrics", type=Path, help="metrics.json of the test part")
    parser.add_argument("--data", help="the data list, as in the command that trains the model")
    parser.add_argument("--refresh", action="store_true", help="texts of all models in Resources/Models, nothing else")
    parser.add_argument("--replace", action="store_true", help="the recipe's texts, even where the model has its own")
    arguments = parser.parse_args()
    if arguments.refresh == bool(arguments.model):
        parser.error("give a model, or --refresh")
    if arguments.model and not (arguments.metrics and arguments.data):
        parser.error("a model needs --metrics and --data")
    try:
        if arguments.model:
            bundle(arguments.model, arguments.metrics, arguments.data, replace=arguments.replace)
        for path in refresh(FOLDER, ROOT / "recipes", replace=arguments.replace) if arguments.refresh else ():
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
    except HrsegError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
