"""``hrseg train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hrseg.cli.console import console
from hrseg.errors import InputError


def train(
    recipe: Annotated[Path, typer.Argument(help="Recipe (YAML).")],
    data: Annotated[Path, typer.Option(help="Data list (JSON, Medical Segmentation Decathlon form).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model to write (.safetensors).")],
    profile: Annotated[str, typer.Option(help="Profile of the recipe, such as cpu or full.")] = "full",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    devices: Annotated[str, typer.Option(help="Number of devices, or their numbers such as 0,1.")] = "1",
    nodes: Annotated[int, typer.Option(min=1, help="Number of machines.")] = 1,
    strategy: Annotated[str, typer.Option(help="Lightning's strategy for several devices, such as ddp.")] = "auto",
    start_from: Annotated[
        str | None, typer.Option(help="Model, by name or path, whose weights training begins with where they fit.")
    ] = None,
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
        from hrseg.model_file import load_model
        from hrseg.model_store import find_model
        from hrseg.runtime import choose_device
        from hrseg.training.loop import TrainingOptions
        from hrseg.training.loop import train as run
        from hrseg.training.progress import TerminalProgress
        from hrseg.training.recipe import read_recipe
    chosen = choose_device(device)
    options = TrainingOptions(
        profile=profile,
        command=shlex.join(["hrseg", *sys.argv[1:]]),
        accelerator=chosen.type,
        devices=_devices(devices) if chosen.index is None else [chosen.index],
        nodes=nodes,
        strategy=strategy,
        max_minutes=max_minutes,
        resume=resume,
        seed=seed,
        workers=workers,
    )
    with TerminalProgress(console) as bar:
        header = run(
            read_recipe(recipe, profile),
            read_data_list(data),
            output,
            options,
            [bar],
            bar.show,
            start=load_model(find_model(start_from)) if start_from else None,
            tell=console.print,
        )
    if header:
        dice = header.training.metrics["validation"]["dice"]
        console.print(f'Model written to "{output}" (validation Dice {dice:.4f}).')


def _devices(text: str) -> int | list[int]:
    """``2`` to 2 devices, ``0,3`` to these two."""
    try:
        return [int(part) for part in text.split(",") if part] if "," in text else int(text)
    except ValueError as error:
        raise InputError(f'The devices "{text}" must be a number such as 2, or a list such as 0,1.') from error
