"""Training steps on a GPU, beside the same ones on the CPU."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from device_cases import NETWORKS, header
from hrseg.data_list import read_data_list
from hrseg.methods import method_class
from hrseg.model_file import load_model
from hrseg.training import history
from hrseg.training.cases import voxels_by_label
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import Recipe
from hrseg.training.task import Task, TrainingCase
from training_helpers import recipe_content, scene, write_data

STILL = {"rotation": [0], "scale": 0, "probability": 0}
SETTINGS: dict[str, dict[str, Any]] = {
    "patch_based": {"patch": [16] * 3},
    "pfseg": {"size": [16] * 3},
    "sasr": {"patch": [8] * 3},
    "oss_net": {"patch": [16] * 3, "points": {"count": 256}},
    "crop_cascade": {},
}


def case() -> TrainingCase:
    array, label = scene(0, 24)
    annotated = (True, True)
    image = (array[None] / 200).astype(np.float32)
    return TrainingCase("scene", image, label, annotated, voxels_by_label(label, annotated))


def begun(name: str) -> tuple[Task, nn.Module, dict[str, Tensor]]:
    """The last stage of a method's training, its fresh network, and a batch of two."""
    # Only shrunk images have finer ones to learn from here.
    inference = {"inference": {"window": [16] * 3, "feeds": "shrunk"}} if name == "sasr" else {}
    made = header(name, **inference)
    settings = {"steps": 4, "augmentation": STILL, **SETTINGS[name]}
    torch.manual_seed(0)
    task = method_class(name).training_tasks(made, settings)[-1]
    parts = dict(method_class(name).build(made).named_children())
    network, cases = task.begin(parts, [case()])
    samples = [task.sample(cases[0], np.random.RandomState(seed)) for seed in range(2)]
    return task, network.train(), {key: torch.stack([s[key] for s in samples]) for key in samples[0]}


def step(
    task: Task, network: nn.Module, batch: dict[str, Tensor], device: torch.device
) -> tuple[dict[str, float], Any]:
    """The losses, and the norm of each gradient, of a copy of the network."""
    network = copy.deepcopy(network).to(device)
    losses = task.loss(network, {key: value.to(device) for key, value in batch.items()})
    losses["loss"].backward()
    gradients = {key: p.grad.norm().item() for key, p in network.named_parameters() if p.grad is not None}
    return [{key: value.item() for key, value in losses.items()}, gradients]


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_gradients(name: str, device: torch.device) -> None:
    task, network, batch = begun(name)
    expected, wanted = step(task, network, batch, torch.device("cpu"))
    losses, gradients = step(task, network, batch, device)
    assert losses["loss"] > 0
    assert losses == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert max(wanted.values()) > 0
    assert gradients == pytest.approx(wanted, rel=1e-2, abs=1e-3 * max(wanted.values()))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_mixed_precision(name: str, dtype: torch.dtype, device: torch.device) -> None:
    if device.type == "cpu" and dtype == torch.float16:
        pytest.skip("processors are trained in bfloat16")
    task, network, batch = begun(name)
    expected, _ = step(task, network, batch, torch.device("cpu"))
    with torch.autocast(device.type, dtype):
        losses, gradients = step(task, network, batch, device)
    assert losses["loss"] == pytest.approx(expected["loss"], rel=0.05)
    assert all(np.isfinite(value) for value in gradients.values())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", pytest.param("16-mixed", marks=pytest.mark.gpu)])
def test_a_run(precision: str, device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if (device.type, precision) == ("cpu", "16-mixed"):
        pytest.skip("for GPUs")
    monkeypatch.setattr(history, "draw_curves", lambda *_: None)
    content = recipe_content(steps=2, validation_every=1, precision=precision)
    del content["profiles"]
    data = read_data_list(write_data(tmp_path))
    options = TrainingOptions(accelerator="gpu" if device.type == "cuda" else "cpu")
    found = train(Recipe.model_validate(content), data, tmp_path / "a.safetensors", options)
    assert found is not None
    assert 0 < found.training.metrics["validation"]["dice"] <= 1
    model = load_model(tmp_path / "a.safetensors")
    assert all(p.isfinite().all() for p in model.network.parameters())
    assert {p.device.type for p in model.network.parameters()} == {"cpu"}
