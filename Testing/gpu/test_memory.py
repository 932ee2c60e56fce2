"""Memory of a GPU: what is measured, foreseen, and done when it runs out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from device_cases import CASES, NETWORKS, agreement, boxes, header, image
from hrseg import memory
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.memory import MIB
from hrseg.methods import Method, Options, Result, method_class, method_of
from hrseg.model_file import Model
from hrseg.patch_based import method as patch_based
from hrseg.runtime import CPU, Run, choose_device
from hrseg.worker.jobs import devices

CUDA = torch.device("cuda")
#: As wide as in use, so that a forecast is about activations.
WIDE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "patch_based": ({"widths": [16, 32, 64, 128]}, {"window": [64] * 3}),
    "pfseg": ({"widths": [16, 32, 64, 128], "tail_width": 16, "guidance_widths": [8, 16, 32]}, {}),
    "sasr": ({"widths": [16, 32, 64], "path_divisor": 2}, {"window": [64] * 3}),
    "oss_net": ({"variant": "field", "field": {"strides": [2] * 3, "widths": [16, 32, 64, 128]}}, {}),
    "crop_cascade": (
        {part: {"width": 16, "depth": 3} for part in ("coarse", "fine")},
        {"size": [64] * 3, "batch": 4},
    ),
}


def wide(name: str) -> Method:
    network, inference = WIDE[name]
    made = header(name, network=network, inference=inference)
    torch.manual_seed(0)
    return method_of(Model(made, method_class(name).build(made).eval().requires_grad_(False)))


def noise(side: int) -> Image:
    array = np.random.default_rng(0).integers(0, 200, (1, side, side, side)).astype(np.int16)
    return Image(array, Grid.from_spacing(array.shape[1:]), "noise")


def segmented(method: Method, of: Image, run: Run) -> Result:
    drawn = boxes(of, 4) if method.takes_boxes else ()
    return method.segment(of, Options(boxes=drawn, propose=not drawn), run)


def test_peak_of_a_stage(device: torch.device) -> None:
    run = Run(device)
    with run.stage("large"):
        block = torch.ones(64 * MIB, dtype=torch.uint8, device=device)
        del block
    with run.stage("small"):
        kept = torch.ones(8 * MIB, dtype=torch.uint8, device=device)
    assert kept.all()
    assert run.peak_memory["large"] == pytest.approx(64 * MIB, abs=4 * MIB)
    assert run.peak_memory["small"] == pytest.approx(8 * MIB, abs=4 * MIB)


def test_a_budget_is_kept_to(device: torch.device) -> None:
    """Just what is foreseen suffices; with a byte less, fewer crops go at once, and nothing else changes."""
    case = CASES["crop_cascade"]
    of, method = image(), case.made()
    options = Options(boxes=boxes(of), propose=False)
    need = method.forecast(of, options, device)
    plenty = method.segment(of, options, Run(device, memory_budget=need))
    assert plenty.notices == []
    short = method.segment(of, options, Run(device, memory_budget=need - 1))
    assert short.notices == [f"The memory of {device} does not suffice for large chunks; using smaller ones."]
    assert torch.device(short.device).type == device.type
    assert agreement(short, plenty) >= 0.999


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_forecast(name: str) -> None:
    """Against what PyTorch allocated at most, the model's weights included."""
    method, of = wide(name), noise(96)
    drawn = boxes(of, 4) if method.takes_boxes else ()
    foreseen = method.forecast(of, Options(boxes=drawn, propose=not drawn), CUDA)
    # The libraries' own work space is there from the first time on.
    segmented(method, noise(96), Run(CUDA))
    method.model.network.to(CPU)
    torch.cuda.empty_cache()
    # torch.cuda.max_memory_allocated() of each stage, above what there was before the model came.
    result = segmented(method, of, Run(CUDA))
    assert torch.device(result.device).type == "cuda"
    assert result.notices == []
    assert 0.5 <= foreseen / result.peak_memory <= 2


@pytest.mark.gpu
def test_freed_memory_counts_as_available() -> None:
    torch.cuda.empty_cache()
    before = memory.available(CUDA)
    block = torch.empty(512 * MIB, dtype=torch.uint8, device=CUDA)
    assert memory.available(CUDA) <= before - 500 * MIB
    del block
    assert torch.cuda.memory_reserved() >= 512 * MIB
    assert memory.available(CUDA) >= before - 64 * MIB


def limit(count: int) -> None:
    """From now on PyTorch may reserve so many bytes in all; what the driver says is free stays as it is."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(count / torch.cuda.get_device_properties(CUDA).total_memory)


def peak(method: Method, of: Image, batch: int, monkeypatch: pytest.MonkeyPatch) -> int:
    with monkeypatch.context() as patch:
        patch.setitem(patch_based._BATCH, "cuda", batch)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        segmented(method, of, Run(CUDA))
        return torch.cuda.max_memory_reserved()


@pytest.mark.gpu
def test_smaller_chunks_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    method, of = wide("patch_based"), noise(96)
    expected = segmented(method, of, Run(CUDA))
    one, four = (peak(method, of, batch, monkeypatch) for batch in (1, 4))
    assert four > 1.3 * one
    limit((one + four) // 2)
    run = Run(CUDA)
    found = segmented(method, of, run)
    assert found.notices == ["The memory of cuda does not suffice for large chunks; using smaller ones."]
    assert torch.device(found.device).type == "cuda"
    assert agreement(found, expected) >= 0.999


@pytest.mark.gpu
@pytest.mark.parametrize("name", NETWORKS)
def test_the_cpu_comes_last(name: str) -> None:
    case = CASES[name]
    method, of = case.made(), image()
    expected = segmented(method, of, Run(CPU))
    limit(1)
    found = segmented(method, of, Run(CUDA))
    # Smaller chunks were tried before, where there are any.
    assert found.notices[-1] == "The memory of cuda does not suffice; running on cpu instead."
    assert found.device == "cpu"
    assert agreement(found, expected) >= 0.999
    # And back, as soon as there is room again.
    torch.cuda.set_per_process_memory_fraction(1.0)
    again = segmented(case.made(), of, Run(CUDA))
    assert torch.device(again.device).type == "cuda"
    assert again.notices == []


@pytest.mark.gpu
def test_the_devices_there_are() -> None:
    first, *_, last = devices()
    assert first["name"] == "cuda:0"
    assert 0 < first["free_bytes"] <= first["total_bytes"]
    assert first["title"] == torch.cuda.get_device_name(0)
    assert last["name"] == "cpu"
    assert choose_device() == choose_device("cuda") == CUDA
