r"""A trained model becomes one that comes along: its test scores go into its header, and the file to Resources/Models.

    python benchmarks/bundle.py runs/tables/polyp/cascade-64-0.safetensors \
      --metrics runs/tables/polyp/cascade-64-0-cascade/metrics.json --data runs/polyps.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from hrseg.evaluation.summary import read_metrics
from hrseg.model_file import load_model, save_model

FOLDER = Path(__file__).parents[1] / "Resources" / "Models"
KEYS = ("dice", "surface_dice", "hd95_mm")


def test_scores(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a header says of an evaluation."""
    by_label = {
        name: {key: round(row[key], 4) for key in ("dice", "hd95_mm")} for name, row in metrics["by_label"].items()
    }
    mean = {key: round(metrics["mean"][key], 4) for key in KEYS}
    return {**mean, "cases": len(metrics["cases"]), "by_label": by_label}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json of the test part")
    parser.add_argument("--data", required=True, help="the data list, as in the command that trains the model")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    name, training = model.header.name, model.header.training
    command = (
        f"hrseg train recipes/{name}.yaml --data {arguments.data} --profile {training.profile} "
        f"--output runs/{name}.safetensors"
    )
    scores = {**training.metrics, "test": test_scores(read_metrics(arguments.metrics))}
    known = training.model_copy(update={"metrics": scores, "command": command})
    path = FOLDER / f"{name}.safetensors"
    save_model(path, model.header.model_copy(update={"training": known}), model.network)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, Dice {scores['test']['dice']:.3f}")


if __name__ == "__main__":
    main()
