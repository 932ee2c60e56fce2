"""Inference: resolutions, orientations, windows, memory, the super-resolved image."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import hrseg
from hrseg.errors import InputError, ModelError, OutOfMemory
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, Result, method_of, segment_on
from hrseg.model_file import Intensity, Model, Preprocessing
from hrseg.runtime import CPU, Run
from hrseg.sasr.method import _PROBE, Sasr
from model_helpers import tiny_header, tiny_model

FINE = Options(resolution="fine")
WINDOW = Intensity(kind="window", low=0, high=100)


def header_fields(dimension: int = 3, **changes: Any) -> dict[str, Any]:
    orientation = "LPS" if dimension == 3 else None
    fields: dict[str, Any] = {
        "method": "sasr",
        "dimension": dimension,
        "preprocessing": Preprocessing(orientation=orientation, intensity=WINDOW),
        "network": {"widths": [2, 3, 4]},
        "inference": {"window": [16] * dimension},
    }
    return {**fields, **changes}


def random_model(dimension: int = 3, **changes: Any) -> Model:
    """Every weight counts, also those that begin as zeros."""
    model = tiny_model(**header_fields(dimension, **changes))
    torch.manual_seed(0)
    for tensor in model.network.state_dict().values():
        tensor.uniform_(-0.5, 0.5) if tensor.ndim > 1 else tensor.uniform_(0.5, 1)
    return model


class Threshold(nn.Module):
    """Not trained, but right: labels above 0.3 and 0.6 of the grey values, interpolated to twice the resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.seen: list[torch.Size] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.shape)
        fine = F.interpolate(x, scale_factor=2, mode="nearest")
        return 50 * torch.cat([0.3 - fine, torch.zeros_like(fine), fine - 0.6], dim=1)

    def with_image(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self(x), F.interpolate(x, scale_factor=2, mode="nearest")


def threshold_method(dimension: int = 3, **changes: Any) -> Sasr:
    return Sasr(Model(tiny_header(**header_fields(dimension, **changes)), Threshold()))


def seen_by(method: Sasr) -> list[torch.Size]:
    """Shapes of what the network was given, without the small one that memory is measured with."""
    network = method.model.network
    assert isinstance(network, Threshold)
    small = _PROBE[len(network.seen[0]) - 2]
    return [shape for shape in network.seen if set(shape[2:]) not in ({small}, {2 * small})]


def steps(shape: tuple[int, int, int]) -> Image:
    """Values far from the thresholds, in blocks of two voxels, none of them symmetric."""
    coarse = np.random.default_rng(0).choice([10, 45, 90], [-(-n // 2) for n in shape])
    array = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)[: shape[0], : shape[1], : shape[2]]
    return Image(array[None].astype(np.int16), Grid.from_spacing(shape, (2.0, 1.0, 0.5), (5, 6, 7)), "steps")


def labels_of(image: Image) -> Any:
    return (image.array[0] > 30).astype(int) + (image.array[0] > 60)


# ---- resolutions ----


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "IRA"])
def test_fine_label_maps_in_any_orientation(orientation: str) -> None:
    image = steps((6, 9, 10))
    image = image.reoriented(image.grid.reorientation(orientation))
    result = threshold_method().segment(image, FINE, Run())
    expected = labels_of(image).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert np.array_equal(result.label_map.array, expected)
    assert result.label_map.grid.matches(image.grid.finer(2))


def test_factors_follow_the_axes_that_they_were_trained_on() -> None:
    model = random_model(network={"widths": [2, 3, 4], "factors": [1, 2, 4]})
    image = steps((6, 9, 10))
    image = image.reoriented(image.grid.reorientation("RSA"))
    result = method_of(model).segment(image, FINE, Run())
    # j of the image runs along k of the model, k along j.
    assert result.label_map.grid.shape == (image.grid.shape[0] * 2, image.grid.shape[1], image.grid.shape[2] * 4)
    assert result.label_map.grid.matches(image.grid.finer((2, 1, 4)))


def test_a_native_network_answers_at_the_image_resolution_by_averaging() -> None:
    model, image = random_model(2), steps((1, 9, 14))
    keep = Options(keep_probability=True)
    method = method_of(model)
    fine = method.segment(image, Options(keep_probability=True, resolution="fine"), Run()).probability
    found = method.segment(image, keep, Run())
    assert fine is not None
    assert found.label_map.grid is image.grid
    mean = fine.reshape(2, 1, 9, 2, 14, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(found.probability, mean, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 9, 14), (5, 6, 7)])
def test_all_of_four_finer_voxels_count(shape: tuple[int, int, int]) -> None:
    dimension, image = (2 if shape[0] == 1 else 3), steps(shape)
    factors = [4, 4] if dimension == 2 else [1, 4, 2]
    method = method_of(random_model(dimension, network={"widths": [2, 3, 4], "factors": factors}))
    fine = method.segment(image, Options(keep_probability=True, resolution="fine"), Run()).probability
    found = method.segment(image, Options(keep_probability=True), Run())
    assert fine is not None
    k, j, i = [1] * (3 - dimension) + factors
    mean = fine.reshape(2, shape[0], k, shape[1], j, shape[2], i).mean(axis=(2, 4, 6))
    np.testing.assert_allclose(found.probability, mean, atol=1e-6)
    sharp = method.segment(image, Options(super_resolved=True), Run()).super_resolved
    assert sharp is not None
    assert sharp.array.shape[1:] == (shape[0] * k, shape[1] * j, shape[2] * i)


@pytest.mark.parametrize("shape", [(1, 16, 24), (1, 15, 21)])
def test_a_network_of_shrunk_images_sees_them_shrunk(shape: tuple[int, int, int]) -> None:
    method = threshold_method(2, inference={"window": [16, 16], "feeds": "shrunk"})
    image = steps(shape)
    result = method.segment(image, Options(), Run())
    assert np.array_equal(result.label_map.array, labels_of(image))
    assert result.label_map.grid is image.grid
    # 8 x 12, the odd sides being filled up.
    assert seen_by(method) == [(1, 1, 8, 12)]
    method.segment(image, FINE, Run())
    assert seen_by(method)[1] == (1, 1, 16, 24)


def test_pictures_are_resized_to_what_the_network_knows() -> None:
    method = threshold_method(2, inference={"window": [16, 16], "size": [8, 12]})
    image = Image(np.repeat([10, 90], 12)[None, None, None].repeat(16, axis=2), Grid.from_spacing((1, 16, 24)))
    result = method.segment(image, Options(), Run())
    assert seen_by(method) == [(1, 1, 8, 12)]
    # Shrinking blurs the edge by a pixel.
    assert result.label_map.array[0, :, :11].max() == 0
    assert result.label_map.array[0, :, 13:].min() == 2
    assert method.segment(image, FINE, Run()).label_map.grid.shape == (1, 32, 48)


def test_compared_on_the_grid_of_a_finer_truth() -> None:
    method, image = threshold_method(2), steps((1, 10, 12))
    result, found = segment_on(method, image, image.grid.finer((1, 2, 2)), Options(), Run())
    assert result.label_map.grid.shape == (1, 20, 24)
    assert np.array_equal(found, labels_of(image).repeat(2, 1).repeat(2, 2))
    # Four times as fine is enlarged from twice.
    _, found = segment_on(method, image, image.grid.finer((1, 4, 4)), Options(), Run())
    assert np.array_equal(found, labels_of(image).repeat(4, 1).repeat(4, 2))
    result, found = segment_on(method, image, image.grid, Options(), Run())
    assert result.label_map.grid is image.grid
    assert found is result.label_map.array


def test_a_network_at_the_image_s_resolution_is_compared_with_finer_truth() -> None:
    plain, image = random_model(2, network={"widths": [2, 3], "factors": [1, 1], "sr": False}), steps((1, 10, 12))
    method = method_of(plain)
    assert not method.makes_finer
    assert method_of(random_model(2)).makes_finer
    result, found = segment_on(method, image, image.grid.finer((1, 2, 2)), Options(), Run())
    assert result.label_map.grid is image.grid
    assert np.array_equal(found, result.label_map.array.repeat(2, 1).repeat(2, 2))


# ---- the super-resolved image ----


@pytest.mark.parametrize("feeds", ["native", "shrunk"])
def test_super_resolved_image_has_the_greys_and_the_place_of_the_image(feeds: str) -> None:
    image = steps((6, 8, 10))
    image = image.reoriented(image.grid.reorientation("IRA"))
    method = threshold_method(inference={"window": [16] * 3, "feeds": feeds})
    result = method.segment(image, Options(super_resolved=True), Run())
    sharp = result.super_resolved
    assert sharp is not None
    assert sharp.array.dtype == np.int16
    expected = image.array if feeds == "shrunk" else image.array.repeat(2, 1).repeat(2, 2).repeat(2, 3)
    assert np.array_equal(sharp.array, expected)
    assert sharp.grid.matches(image.grid if feeds == "shrunk" else image.grid.finer(2))


def test_grey_pictures_become_colour_where_the_model_has_colour() -> None:
    model = random_model(2, channels=["red", "green", "blue"])
    result = method_of(model).segment(steps((1, 8, 8)), Options(super_resolved=True), Run())
    assert result.super_resolved is not None
    assert result.super_resolved.array.shape == (3, 1, 16, 16)


def test_the_sharp_image_is_made_only_on_request() -> None:
    method = method_of(random_model(2))
    network: Any = method.model.network
    calls: list[int] = []
    network.image_head.register_forward_hook(lambda *_: calls.append(1))
    plain = method.segment(steps((1, 8, 8)), Options(), Run())
    assert plain.super_resolved is None
    assert calls == []
    asked = method.segment(steps((1, 8, 8)), Options(super_resolved=True), Run())
    # Twice to measure memory on a few pixels, once for the image.
    assert calls == [1, 1, 1]
    assert np.array_equal(plain.label_map.array, asked.label_map.array)


def test_what_a_model_cannot_do() -> None:
    image = steps((1, 8, 8))
    plain = random_model(2, network={"widths": [2, 3], "factors": [1, 1], "sr": False})
    with pytest.raises(InputError, match='"tiny" makes no masks finer than the image; use the resolution "input"'):
        method_of(plain).segment(image, FINE, Run())
    with pytest.raises(InputError, match='"tiny" was trained without super-resolving images'):
        method_of(plain).forecast(image, Options(super_resolved=True), CPU)
    assert method_of(plain).segment(image, Options(), Run()).label_map.grid is image.grid


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"widths": [2]}},
        {"network": {"widths": [2, 3], "factors": [2]}},
        {"inference": {"window": [15, 16]}},
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match='settings of the model "tiny" do not fit its method'):
        Sasr.build(tiny_header(**header_fields(2, **changes)))


# ---- windows and memory ----


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
