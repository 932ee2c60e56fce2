"""``hrseg evaluate`` and ``hrseg compare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hrseg.cli.console import console, output, progress_bar


def evaluate(
    model: Annotated[str, typer.Option(help="Name of a model or a model file.")],
    data: Annotated[Path, typer.Option(help="Data list (JSON).")],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for metrics.json and report.html.")],
    split: Annotated[str, typer.Option(help="training, validation or test.")] = "test",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    count_objects: Annotated[
        bool, typer.Option("--count-objects", help="Also match single objects (lesions).")
    ] = False,
    instances: Annotated[
        bool,
        typer.Option(
            "--instances", help="Also match instances (AP50); needs a data list whose label files number them."
        ),
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Write the means into the model's header.")] = False,
) -> None:
    """Scores a model on the cases of a data list."""
    with console.status("Loading the model"):
        from hrseg.data_list import read_data_list
        from hrseg.evaluation.run import evaluate_model, record_metrics
        from hrseg.model_file import load_model
        from hrseg.model_store import find_model
        from hrseg.runtime import choose_device

        path = find_model(model)
        loaded = load_model(path)
    with progress_bar() as progress:
        metrics = evaluate_model(
            loaded,
            read_data_list(data),
            split,
            folder,
            choose_device(device),
            progress,
            count_objects=count_objects,
            instances=instances,
        )
    if record:
        record_metrics(path, split, metrics)
    _show(metrics)
    output.print(f"Report: {folder / 'report.html'}")


def compare(
    first: Annotated[Path, typer.Argument(metavar="A/metrics.json")],
    second: Annotated[Path, typer.Argument(metavar="B/metrics.json")],
    metric: Annotated[str, typer.Option(help="dice, hd95_mm, surface_dice, recall, precision ...")] = "dice",
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap samples.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Paired differences B - A of the cases that both have, with 95 % bootstrap intervals."""
    from hrseg.evaluation.compare import compare as compare_metrics
    from hrseg.evaluation.summary import read_metrics

    comparison = compare_metrics(read_metrics(first), read_metrics(second), metric=metric, samples=samples)
    content = asdict(comparison)
    if as_json:
        output.print_json(data=content)
        return
    table = Table("", "cases", "A", "B", "B - A", "95 % interval", "B better", title=metric, title_justify="left")
    for name, row in [("all", content["overall"]), *content["by_label"].items()]:
        table.add_row(name, *_cells(row))
    output.print(table)


def _cells(row: dict[str, Any] | None) -> list[str]:
    if row is None:
        return ["0", *["–"] * 5]
    between = "–" if row["low"] is None else f"{row['low']:+.4f} … {row['high']:+.4f}"
    numbers = [f"{row['mean_a']:.4f}", f"{row['mean_b']:.4f}", f"{row['difference']:+.4f}"]
    return [str(row["pairs"]), *numbers, between, f"{100 * row['better']:.0f} %"]


def _show(metrics: dict[str, Any]) -> None:
    from hrseg.evaluation.summary import unit_of

    columns = {
        "dice": "Dice",
        "surface_dice": "surface Dice",
        "hd95_mm": f"HD95 [{unit_of(metrics)}]",
        "recall": "recall",
        "precision": "precision",
        **({"instance_ap50": "AP50"} if "instance_ap50" in metrics["mean"] else {}),
    }
    table = Table("label", *columns.values())
    rows = [*metrics["by_label"].items(), ("mean", metrics["mean"])]
    for name, row in rows:
        values = [row.get(key) for key in columns]
        table.add_row(name, *("–" if value is None else f"{value:.3f}" for value in values))
    output.print(table)
