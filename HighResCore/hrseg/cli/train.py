"""``hrseg train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hrseg.cli.console import console


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe (YAML).")],
    data: Annotated[Path, typer.Option(help="Data list (JSON, Medical Segmentation Decathlon form).")],
    output: Annotated[Path, typer.Option(help="Model to write (.safetensors).")],
    profile: Annotated[str, typer.Option(help="Profile of the recipe: cpu or full.")] = "full",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[str, typer.Option(help="Number of devices, or their numbers such as 0,1.")] = "1",
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines.")] = 1,
    strategy: Annotated[str, typer.Option(help="Lightning's strategy for several devices, such as ddp.")] = "auto",
    max_minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after this time; the best so far is kept.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Two runs with equal seeds are equal on the CPU.")] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make samples.")] = 1,
) -> None:
    """Trains a model. Checkpoints, log and curves go to OUTPUT's name with .training."""
    with console.status("Loading libraries"):
        from hrseg.data_list import read_data_list
        from hrseg.training.loop import TrainingOptions
        from hrseg.training.loop import train as run
        from hrseg.training.progress import TerminalProgress
        from hrseg.training.recipe import read_recipe
    settings = read_recipe(recipe, profile)
    options = TrainingOptions(
        profile, _accelerator(device), _devices(devices), nodes, strategy, max_minutes, resume, seed, workers
    )
    run(settings, read_data_list(data), output, options, [TerminalProgress()])
    console.print(f'Model written to "{output}".')


def _accelerator(device: str) -> str:
    from hrseg.runtime import choose_device

    kind = choose_device(device).type
    return {"cuda": "gpu"}.get(kind, kind)


def _devices(text: str) -> Any:
    return [int(part) for part in text.split(",")] if "," in text else text if text == "auto" else int(text)
