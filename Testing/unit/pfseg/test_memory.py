"""Plans and precisions, the memory that they need, and cancelling."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import hrseg
from hrseg.errors import Cancelled, OutOfMemory
from hrseg.methods import Options
from hrseg.pfseg.forward import PLANS
from hrseg.pfseg.method import PFSeg
from hrseg.runtime import CPU, Run
from pfseg_helpers import method, probability, volume


def test_less_memory_gives_the_same_result_by_another_plan() -> None:
    made, image = method({"widths": [16, 16, 32], "tail_width": 16}), volume((96, 48, 48))
    low = (48, 24, 24)
    needs = [made._inference_bytes(low, image.grid.size, Options(), CPU, plan) for plan in PLANS]
    assert needs == sorted(needs, reverse=True)
    held = 4 * int(np.prod(low))
    plenty = made.segment(image, Options(keep_probability=True), Run())
    lean = made.segment(image, Options(keep_probability=True), Run(memory_budget=needs[-1] + held + 4 * 2 * 96 * 48**2))
    assert not plenty.notices
    assert lean.notices == ["The memory of cpu does not suffice for large chunks; using smaller ones."]
    torch.testing.assert_close(probability(lean), probability(plenty), atol=1e-4, rtol=0)
    with pytest.raises(OutOfMemory):
        made.segment(image, Options(), Run(memory_budget=needs[-1] // 2))


def test_what_cannot_be_done_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hrseg.pfseg.method.available", lambda device: 2**19)
    with pytest.raises(OutOfMemory, match=r"needs about 0\.\d+ GiB of memory, but 0\.00 GiB may be used"):
        method().forecast(volume(), Options(), CPU)
    # The CPU takes over from a GPU.
    assert method().forecast(volume(), Options(), torch.device("cuda")) > 2**19


def test_cancel_in_the_middle() -> None:
    cancel = threading.Event()

    def progress(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("inference", 2):
            cancel.set()

    with pytest.raises(Cancelled):
        method().segment(volume((96, 16, 16)), Options(), Run(progress=progress, cancel=cancel))


def test_maps_of_half_the_size_need_half_of_the_memory() -> None:
    float32, bfloat16 = (
        method({"widths": [16, 16, 32], "tail_width": 16}, {"precision": precision})
        for precision in ("float32", "bfloat16")
    )
    small, large = (8, 32, 32), (8, 128, 128)

    def grown(made: PFSeg, device: torch.device) -> int:
        """Bytes by which a larger volume needs more, its label map not counted."""
        needs = [made._inference_bytes(low, 0, Options(), device, PLANS[0]) for low in (small, large)]
        return needs[1] - needs[0]

    assert grown(bfloat16, CPU) == pytest.approx(grown(float32, CPU) / 2, rel=0.1)
    # A GPU runs in a precision of its own.
    gpu = torch.device("cuda")
    assert grown(bfloat16, gpu) == grown(float32, gpu)


def test_bfloat16_changes_little() -> None:
    image = volume((32, 32, 32))
    exact, half = (
        probability(method(inference={"precision": p}).segment(image, Options(keep_probability=True), Run()))
        for p in ("float32", "bfloat16")
    )
    assert 0 < (exact - half).abs().max() < 0.1


FORECAST = """
import json, sys
import numpy as np
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, method_of
from hrseg.pfseg.forward import PLANS
from hrseg.runtime import Run
from model_helpers import tiny_model
shape, precision = json.loads(sys.argv[1]), sys.argv[2]
del PLANS[: int(sys.argv[3])]
network = {"widths": [16, 16, 32], "guidance_widths": [8, 16], "tail_width": 8}
model = tiny_model(method="pfseg", network=network, inference={"precision": precision})
array = np.random.default_rng(0).integers(0, 99, (1, *shape)).astype(np.int16)
image, method = Image(array, Grid.from_spacing(shape)), method_of(model)
forecast = method.forecast(image, Options(), Run().device)
print(forecast / method.segment(image, Options(), Run()).peak_memory)
"""


@pytest.mark.parametrize(
    ("shape", "precision", "plan", "most"),
    [
        ((96, 96, 96), "float32", 0, 1.5),
        ((64, 128, 160), "float32", 0, 1.5),
        ((96, 96, 96), "bfloat16", 0, 1.6),
        # In thin slabs oneDNN must run, too. More than half of this is for code.
        ((48, 96, 96), "float32", len(PLANS) - 1, 2.0),
    ],
)
def test_forecast_is_near_what_is_measured(shape: tuple[int, int, int], precision: str, plan: int, most: float) -> None:
    testing = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{Path(hrseg.__file__).parents[1]}:{testing}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FORECAST, json.dumps(shape), precision, str(plan)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert 1 <= float(done.stdout) <= most
