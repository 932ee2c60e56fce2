"""Windows, and the memory that they need: forecast, measured, too little."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hrseg
from hrseg.errors import OutOfMemory
from hrseg.image import Image
from hrseg.methods import Options, Result
from hrseg.runtime import CPU, Run
from hrseg.sasr.method import Sasr
from sasr_helpers import FINE, Threshold, random_model, steps, threshold_method


def test_windows_to_try() -> None:
    method = Sasr(random_model(2, inference={"window": [128, 256]}))
    assert method._windows((500, 301)) == [[500, 304], [128, 256], [64, 128], [32, 64], [32, 32]]
    assert method._windows((20, 33)) == [[20, 36], [20, 36]][:1]


def probabilities(result: Result) -> Any:
    assert result.probability is not None
    return result.probability


@pytest.mark.parametrize("dimension", [2, 3])
def test_windows_where_memory_is_short(dimension: int) -> None:
    shape = (1, 256, 320) if dimension == 2 else (48, 64, 80)
    image = steps(shape)
    options = Options(keep_probability=True, resolution="fine")
    method = threshold_method(dimension, inference={"window": [64] * dimension if dimension == 2 else [32] * 3})
    seen = image.grid.shape[3 - dimension :]
    network = method.model.network
    assert isinstance(network, Threshold)
    method._peaks = {False: (0.0, 2000.0)}
    costs = [
        method._bytes(seen, method._view(image, _prepared(method, image), options).output.size, options, CPU, w)
        + 4 * image.grid.size
        for w in method._windows(seen)
    ]
    assert costs == sorted(costs, reverse=True)
    whole = method.segment(image, options, Run(memory_budget=costs[0]))
    assert whole.notices == []
    assert len(network.seen) == 1
    parts = method.segment(image, options, Run(memory_budget=costs[1]))
    assert parts.notices == ["The memory of cpu does not suffice for large chunks; using smaller ones."]
    assert len(network.seen) > 2
    np.testing.assert_allclose(probabilities(parts), probabilities(whole), atol=1e-6)
    with pytest.raises(OutOfMemory):
        method.segment(image, options, Run(memory_budget=costs[-1] - 2**20))


def _prepared(method: Sasr, image: Image) -> Any:
    from hrseg.preprocess import prepare

    return prepare(image, method.model.header)


def test_what_cannot_be_done_is_said_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hrseg.sasr.method.available", lambda device: 2**12)
    with pytest.raises(OutOfMemory, match=r"This needs about .* GiB of memory, but 0\.00 GiB may be used"):
        Sasr(random_model(2)).forecast(steps((1, 64, 64)), Options(), CPU)


def test_forecast_grows_with_what_is_asked_for() -> None:
    method, image = Sasr(random_model(2)), steps((1, 64, 64))
    plain = method.forecast(image, Options(), CPU)
    fine = method.forecast(image, FINE, CPU)
    assert fine - plain == 3 * image.grid.size
    kept = method.forecast(image, Options(keep_probability=True), CPU)
    assert kept - plain == 2 * 4 * image.grid.size
    assert method.forecast(image, Options(super_resolved=True), CPU) > plain
    shrunk = Sasr(random_model(2, inference={"window": [16, 16], "feeds": "shrunk"}))
    assert shrunk.forecast(image, Options(), CPU) < plain


def test_progress_names_the_stages() -> None:
    run = Run()
    result = Sasr(random_model(2)).segment(steps((1, 8, 8)), Options(), run)
    assert list(result.seconds) == ["preparing", "inference", "total"]
    assert result.device == "cpu"


FORECAST = """
import json, sys
import numpy as np, torch
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, method_of
from hrseg.runtime import Run
from model_helpers import tiny_model
torch.set_num_threads(1)
shape, sharp = tuple(json.loads(sys.argv[1])), bool(int(sys.argv[2]))
dimension = 2 if shape[0] == 1 else 3
inference = {"window": [64] * dimension}
model = tiny_model(method="sasr", dimension=dimension, network={"widths": [16, 32, 64]}, inference=inference)
array = np.random.default_rng(0).integers(0, 99, (1, *shape)).astype(np.int16)
image, method, run = Image(array, Grid.from_spacing(shape)), method_of(model), Run()
options = Options(resolution="fine", super_resolved=sharp)
forecast = method.forecast(image, options, run.device)
print(forecast / method.segment(image, options, run).peak_memory)
"""


@pytest.mark.parametrize(("shape", "sharp"), [((1, 512, 640), 0), ((1, 512, 640), 1), ((48, 64, 64), 0)])
def test_forecast_is_near_what_is_measured(shape: tuple[int, ...], sharp: int) -> None:
    testing = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{Path(hrseg.__file__).parents[1]}:{testing}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FORECAST, json.dumps(shape), str(sharp)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert 0.9 <= float(done.stdout) <= 1.5
