from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import hrseg
from hrseg import runtime
from hrseg.errors import Cancelled, InputError, OutOfMemory
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options
from hrseg.model_file import Intensity, Model, Preprocessing
from hrseg.patch_based import method as module
from hrseg.patch_based.method import PatchBased
from hrseg.preprocess import prepare
from hrseg.runtime import CPU, Run
from hrseg.windows import blend_windows
from model_helpers import tiny_header, tiny_model

WINDOW = Intensity(kind="window", low=0, high=100)
PLAIN = Preprocessing(intensity=WINDOW)
MODEL_3D = Preprocessing(orientation="LPS", spacing=(1, 1, 1), subject_above=5, subject_margin=1, intensity=WINDOW)
SHAPE = (11, 13, 10)


def volume(shape: tuple[int, int, int] = SHAPE, spacing: float = 1.0) -> Image:
    array = np.random.default_rng(0).integers(0, 100, (1, *shape)).astype(np.int16)
    return Image(array, Grid.from_spacing(shape, spacing), "volume")


class Threshold(nn.Module):
    """Not trained, but right: label 1 above 0.3, label 2 above 0.6 of the prepared grey values."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return 20 * torch.cat([0.3 - x, torch.zeros_like(x), x - 0.6], dim=1)


def threshold_method(**changes: Any) -> PatchBased:
    return PatchBased(Model(tiny_header(**changes), Threshold()))


def expected_labels(image: Image) -> Any:
    return (image.array[0] > 30).astype(int) + (image.array[0] > 60)


# ---- segmenting ----


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "IRA"])
def test_volume_in_any_orientation(orientation: str) -> None:
    image = volume()
    image = image.reoriented(image.grid.reorientation(orientation))
    before = image.array.copy()
    result = threshold_method(preprocessing=MODEL_3D).segment(image, Options(), Run())
    certain = ~np.isin(image.array[0], (30, 60))
    assert np.array_equal(result.label_map.array[certain], expected_labels(image)[certain])
    assert result.label_map.grid.matches(image.grid)
    assert result.label_map.names == {1: "liver", 2: "spine"}
    assert result.probability is None
    assert np.array_equal(image.array, before)
    assert image.array.dtype == np.int16


def test_2d_image() -> None:
    image = volume((1, 21, 13))
    result = threshold_method(dimension=2).segment(image, Options(keep_probability=True), Run())
    certain = ~np.isin(image.array[0], (30, 60))
    assert np.array_equal(result.label_map.array[certain], expected_labels(image)[certain])
    assert result.probability is not None
    assert result.probability.shape == (2, 1, 21, 13)


def test_as_the_network_and_the_windows_say() -> None:
    model, image = tiny_model(), volume()
    result = PatchBased(model).segment(image, Options(keep_probability=True), Run())
    space = torch.from_numpy(prepare(image, model.header).array)
    expected = blend_windows(space, (8, 8, 8), lambda x: model.network(x).softmax(dim=1), overlap=0.5)
    np.testing.assert_allclose(result.probability, expected[1:].numpy(), atol=1e-5)
    assert np.array_equal(result.label_map.array, expected.argmax(0).numpy())
    torch.testing.assert_close(expected.sum(0), torch.ones(SHAPE))


@pytest.mark.parametrize(
    ("shape", "padded", "fit"), [((11, 13, 10), (16, 16, 16), (12, 14, 10)), ((11, 40, 10), (16, 16, 16), (12, 16, 10))]
)
def test_windows_may_be_no_longer_than_the_volume(
    shape: tuple[int, int, int], padded: tuple[int, ...], fit: tuple[int, ...]
) -> None:
    image = volume(shape)
    for fit_window, expected in ((False, padded), (True, fit)):
        model, seen = tiny_model(inference={"window": [16, 16, 16], "fit_window": fit_window}), []
        model.network.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(tuple(inputs[0].shape[2:])))
        PatchBased(model).segment(image, Options(), Run())
        assert seen[-1] == expected


@pytest.mark.parametrize("dimension", [2, 3])
def test_batch_makes_no_difference(dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = volume(SHAPE if dimension == 3 else (1, 21, 13))
    method = PatchBased(tiny_model(dimension=dimension))
    results = []
    for batch in (1, 4):
        monkeypatch.setitem(module._BATCH, "cpu", batch)
        results.append(method.segment(image, Options(keep_probability=True), Run()).probability)
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)


def test_coarser_working_grid() -> None:
    image = volume((8, 8, 8), spacing=0.5)
    smooth = np.broadcast_to(np.arange(0, 80, 10)[:, None, None], (1, 8, 8, 8)).astype(np.uint8)
    method = threshold_method(preprocessing=MODEL_3D.model_copy(update={"subject_above": None}))
    labels = method.segment(Image(smooth, image.grid), Options(), Run()).label_map.array
    assert labels.shape == (8, 8, 8)
    assert labels[:, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 2] or labels[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 2]


def test_outside_the_subject_is_background() -> None:
    image = volume((16, 9, 9))
    image.array[:, 6:] = 0
    result = threshold_method(preprocessing=MODEL_3D).segment(image, Options(keep_probability=True), Run())
    assert not result.label_map.array[7:].any()
    assert result.probability is not None
    assert not result.probability[:, 7:].any()
    assert result.label_map.array[:6].any()


def test_image_that_the_model_cannot_take() -> None:
    for image in (volume((1, 9, 9)), Image(np.zeros((1, 9, 9, 9)), Grid.from_spacing((9, 9, 9)))):
        with pytest.raises(InputError):
            threshold_method().segment(image, Options(), Run())
        with pytest.raises(InputError):
            threshold_method().forecast(image, Options(), CPU)


# ---- progress, cancelling, what is recorded ----


def test_progress_and_records() -> None:
    told: list[tuple[str, int, int]] = []
    run = Run(progress=lambda *step: told.append(step))
    result = threshold_method().segment(volume((8, 8, 17)), Options(), run)
    assert told == [("preparing", 0, 1), ("preparing", 1, 1), *[("inference", n, 4) for n in range(5)]]
    assert list(result.seconds) == ["preparing", "inference", "total"]
    assert result.seconds["total"] == pytest.approx(result.seconds["preparing"] + result.seconds["inference"])
    assert result.device == "cpu"
    assert result.peak_memory == max(run.peak_memory.values())
    assert result.notices == []


def test_cancel_in_the_middle_and_once_more() -> None:
    cancel = threading.Event()
    told: list[int] = []

    def progress(stage: str, done: int, total: int) -> None:
        told.append(done)
        if (stage, done) == ("inference", 1):
            cancel.set()

    method, image = threshold_method(), volume((8, 8, 17))
    with pytest.raises(Cancelled):
        method.segment(image, Options(), Run(progress=progress, cancel=cancel))
    assert told == [0, 1, 0, 1]
    assert method.segment(image, Options(), Run()).label_map.array.any()


# ---- memory ----


def test_smaller_batches_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._BATCH, "cpu", 4)
    method, image = PatchBased(tiny_model(inference={"window": [8, 64, 64]})), volume((8, 64, 128))
    one, four = (
        method._inference_bytes(image.grid, image.grid, Options(), CPU, batch) + 4 * image.grid.size for batch in (1, 4)
    )
    assert one < four
    plenty = method.segment(image, Options(), Run(memory_budget=four))
    assert plenty.notices == []
    short = method.segment(image, Options(), Run(memory_budget=one))
    assert short.notices == ["The memory of cpu does not suffice for large chunks; using smaller ones."]
    assert np.array_equal(short.label_map.array, plenty.label_map.array)
    with pytest.raises(OutOfMemory, match="GiB of memory"):
        method.segment(image, Options(), Run(memory_budget=one - 1))


def test_image_too_large_to_be_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.memory, "available", lambda device: 1000)
    with pytest.raises(OutOfMemory, match="GiB of memory"):
        threshold_method().segment(volume(), Options(), Run())


def test_forecast_grows_with_what_is_kept() -> None:
    method, image = PatchBased(tiny_model()), volume()
    plain, kept = (method.forecast(image, Options(keep_probability=keep), CPU) for keep in (False, True))
    assert kept - plain == 2 * 4 * image.grid.size
    # On the GPU there are neither the image nor the sums.
    assert method.forecast(image, Options(), torch.device("cuda")) < plain


FORECAST = """
import json, sys
import numpy as np, torch
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, method_of
from hrseg.runtime import Run
from model_helpers import tiny_model
torch.set_num_threads(1)
shape = tuple(json.loads(sys.argv[1]))
dimension = 2 if shape[0] == 1 else 3
window = [32, 48, 48] if dimension == 3 else [256, 256]
inference = {"window": window, "overlap": 0}
model = tiny_model(dimension=dimension, network={"widths": [16, 32, 64, 128]}, inference=inference)
array = np.random.default_rng(0).integers(0, 99, (1, *shape)).astype(np.int16)
image, method, run = Image(array, Grid.from_spacing(shape)), method_of(model), Run()
forecast = method.forecast(image, Options(), run.device)
print(forecast / method.segment(image, Options(), run).peak_memory)
"""


@pytest.mark.parametrize("shape", [(40, 48, 48), (48, 128, 96), (160, 96, 96)])
def test_forecast_is_near_what_is_measured(shape: tuple[int, int, int]) -> None:
    testing = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{Path(hrseg.__file__).parents[1]}:{testing}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", FORECAST, json.dumps(shape)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert 0.9 <= float(done.stdout) <= 1.5
