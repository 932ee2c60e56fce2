"""Fine-tuning: a network begins with what another model has learned."""

from __future__ import annotations

from torch import nn

from hrseg.errors import InputError
from hrseg.model_file import Model
from hrseg.training.task import Task


def left_to_learn(tasks: list[Task], start: Model) -> list[Task]:
    """Of a method's stages those that go on from ``start``.

    A model of the method itself knows what the stages with another method's network are there to teach.
    """
    method = tasks[-1].header.method
    return tasks if start.header.method != method else [task for task in tasks if task.header.method == method]


def take_over(task: Task, network: nn.Module, start: Model) -> str:
    """Gives ``network``, which ``task`` trains, those weights of ``start`` that have the same names and shapes.

    What fits nothing stays as it is, such as the last layer where the labels are others.

    Returns:
        What was taken over, in a sentence; empty if nothing.
    """
    part = next(name for name, module in task.whole(network).named_modules() if module is network)
    known, wanted = start.network.state_dict(), network.state_dict()
    named = {name: known.get(f"{part}.{name}" if part else name) for name in wanted}
    found = {name: value for name, value in named.items() if value is not None and value.shape == wanted[name].shape}
    network.load_state_dict(found, strict=False)
    stage = f'The stage "{task.name}"' if task.name else "Training"
    return f'{stage} begins with {len(found)} of {len(wanted)} tensors from "{start.header.name}".' if found else ""


def check_taken(taken: str, task: Task, start: Model) -> None:
    """Raises InputError where nothing was taken over."""
    if not taken:
        ours, theirs = task.header, start.header
        raise InputError(
            f'The model "{theirs.name}" ({theirs.method}, {theirs.dimension}D) has no weights that "{ours.name}" '
            f"({ours.method}, {ours.dimension}D) could begin with; choose one of the same method and widths."
        )
