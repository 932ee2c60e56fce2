from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hrseg
from hrseg.errors import Cancelled, InputError, ModelError, OutOfMemory
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, Result, method_of
from hrseg.model_file import Intensity, Preprocessing
from hrseg.pfseg.forward import PLANS
from hrseg.pfseg.method import PFSeg
from hrseg.pfseg.network import Guidance
from hrseg.resample import resample
from hrseg.runtime import CPU, Run
from model_helpers import tiny_model

WINDOW = Intensity(kind="window", low=0, high=100)
NETWORK = {"widths": [4, 6, 8], "guidance_widths": [4, 4], "tail_width": 4}
SHAPE = (13, 18, 21)


def volume(shape: tuple[int, int, int] = SHAPE, spacing: float | tuple[float, ...] = 1.0) -> Image:
    array = np.random.default_rng(0).integers(0, 100, (1, *shape)).astype(np.int16)
    return Image(array, Grid.from_spacing(shape, spacing), "volume")


def method(network: dict[str, Any] | None = None, inference: dict[str, Any] | None = None, **changes: Any) -> PFSeg:
    changes = {"preprocessing": Preprocessing(orientation="RAS", intensity=WINDOW), **changes}
    model = tiny_model(method="pfseg", network={**NETWORK, **(network or {})}, inference=inference or {}, **changes)
    made = method_of(model)
    assert isinstance(made, PFSeg)
    return made


def probability(result: Result) -> torch.Tensor:
    assert result.probability is not None
    return torch.from_numpy(result.probability)


# ---- at the image's resolution ----


def test_as_the_network_says() -> None:
    made, image = method(inference={"guidance": "center"}), volume((16, 16, 24))
    result = made.segment(image, Options(keep_probability=True), Run())
    grid = image.grid
    grey = (image.array / 100).astype(np.float32)
    low = torch.from_numpy(resample(grey, grid, grid.resized((8, 8, 12))))[None]
    crop = torch.from_numpy(grey[:, 6:10, 6:10, 9:15])[None]
    guidance = Guidance(crop, torch.full((1, 3), 0.5), torch.ones(1))
    expected = made.model.network(low, guidance)[0].softmax(1)[0]
    torch.testing.assert_close(probability(result), expected[1:], atol=1e-4, rtol=0)
    assert (result.label_map.array == expected.argmax(0).numpy()).all()
    assert result.label_map.grid.matches(grid)
    assert result.guidance is not None
    assert result.guidance.center.tolist() == [11.5, 7.5, 7.5]
    assert result.guidance.size.tolist() == [6, 4, 4]


@pytest.mark.parametrize("orientation", ["LPS", "SAR", "IRA"])
def test_volume_in_any_orientation(orientation: str) -> None:
    image, options = volume(), Options(keep_probability=True, resolution="fine", super_resolved=True)
    expected = method().segment(image, options, Run())
    change = image.grid.reorientation(orientation)
    found = method().segment(image.reoriented(change), options, Run())
    assert found.label_map.grid.matches(expected.label_map.grid.reoriented(change))
    turned = torch.from_numpy(change.apply(probability(expected).numpy()).copy())
    torch.testing.assert_close(probability(found), turned, atol=1e-5, rtol=0)
    assert found.super_resolved is not None
    assert expected.super_resolved is not None
    sharp = expected.super_resolved.reoriented(change)
    assert found.super_resolved.grid.matches(sharp.grid)
    np.testing.assert_allclose(found.super_resolved.array, sharp.array, atol=1e-3)


def test_any_shape_and_only_the_subject() -> None:
    image = volume((16, 25, 19))
    image.array[:, :, 14:] = 0
    preprocessing = Preprocessing(subject_above=5, subject_margin=1, intensity=WINDOW)
    result = method(preprocessing=preprocessing).segment(image, Options(keep_probability=True), Run())
    assert result.label_map.array.shape == image.grid.shape
    assert not probability(result)[:, :, 15:].any()
    assert probability(result)[:, :, :14].all()


def test_2d_image() -> None:
    made = method(dimension=2, preprocessing=Preprocessing(intensity=WINDOW))
    image = volume((1, 21, 34))
    result = made.segment(image, Options(keep_probability=True, super_resolved=True), Run())
    assert result.label_map.array.shape == (1, 21, 34)
    assert probability(result).min() > 0
    assert result.super_resolved is not None
    assert result.super_resolved.array.shape == (1, 1, 21, 34)
    assert made.segment(image, Options(resolution="fine"), Run()).label_map.array.shape == (1, 42, 68)


def test_thick_slices() -> None:
    made = method(network={"strides": [[1, 2, 2], [2, 2, 2]], "factor": [1, 2, 2]})
    image = volume((5, 20, 22), (4.0, 1.0, 1.0))
    fine = made.segment(image, Options(resolution="fine"), Run()).label_map
    assert fine.grid.spacing == (4, 0.5, 0.5)
    assert made.segment(image, Options(), Run()).label_map.grid.matches(image.grid)


# ---- finer ----


def test_a_finer_result_covers_the_same_field_of_view() -> None:
    image = volume((8, 12, 16), (3.0, 1.0, 2.0))
    result = method().segment(image, Options(resolution="fine"), Run())
    assert result.label_map.grid.matches(image.grid.finer(2))
    assert result.guidance is None
    assert not result.notices


def test_a_finer_result_is_the_networks_own() -> None:
    made, image = method(), volume((8, 8, 12))
    result = made.segment(image, Options(resolution="fine", keep_probability=True), Run())
    expected = made.model.network(torch.from_numpy(image.array / 100)[None].float())[0].softmax(1)[0]
    torch.testing.assert_close(probability(result), expected[1:], atol=1e-4, rtol=0)


def test_the_low_resolution_of_a_finer_result_is_the_models() -> None:
    made = method(preprocessing=Preprocessing(spacing=(1, 1, 1), intensity=WINDOW))
    coarse = made.segment(volume((8, 8, 8), 2.0), Options(resolution="fine"), Run())
    assert coarse.label_map.grid.spacing == (1, 1, 1)
    assert not coarse.notices
    (notice,) = made.segment(volume((16, 16, 16), 1.0), Options(resolution="fine"), Run()).notices
    assert notice.startswith("The image has voxels of 1 x 1 x 1 mm, finer than the 2 x 2 x 2 mm")


# ---- the super-resolved image ----


def test_the_super_resolved_image_has_grey_values_and_place_of_the_image() -> None:
    made, image = method(), volume((8, 8, 12), 2.0)
    decoder = made.model.network.super_resolution
    decoder.head.weight.zero_()  # type: ignore[union-attr, operator]
    decoder.head.bias.fill_(0.25)  # type: ignore[union-attr, operator]
    result = made.segment(image, Options(super_resolved=True, resolution="fine"), Run())
    assert result.super_resolved is not None
    assert result.super_resolved.grid.matches(image.grid.finer(2))
    np.testing.assert_allclose(result.super_resolved.array, 25, atol=1e-4)
    assert made.segment(image, Options(), Run()).super_resolved is None


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [(np.uint8, 0.256, 26), (np.uint8, -1, 0), (np.uint8, 9, 255), (np.float32, 0.5, 50), (np.float64, 2.25, 225)],
)
def test_it_has_the_type_of_the_image(kind: type, value: float, expected: int) -> None:
    made, image = method(), volume((8, 8, 12), 2.0)
    decoder = made.model.network.super_resolution
    decoder.head.weight.zero_()  # type: ignore[union-attr, operator]
    decoder.head.bias.fill_(value)  # type: ignore[union-attr, operator]
    sharp = made.segment(replace(image, array=image.array.astype(kind)), Options(super_resolved=True), Run())
    assert sharp.super_resolved is not None
    assert sharp.super_resolved.array.dtype == (np.uint8 if kind == np.uint8 else np.float32)
    assert np.unique(sharp.super_resolved.array).tolist() == [expected]


def test_a_model_without_the_decoder() -> None:
    made = method(network={"super_resolution": False})
    for call in (made.segment, made.forecast):
        with pytest.raises(InputError, match='The model "tiny" cannot rebuild the image'):
            call(volume(), Options(super_resolved=True), Run() if call == made.segment else CPU)  # type: ignore[operator]


# ---- the guidance crop ----


def test_the_crop_lies_where_it_is_put() -> None:
    made, image = method(), volume((24, 24, 24))
    # 24 voxels: the crop has 6. From 15 to 21 its centre is at 17.5.
    result = made.segment(image, Options(guidance_center=(17.4, 9.8, 6.6)), Run())
    assert result.guidance is not None
    assert result.guidance.center.tolist() == [17.5, 9.5, 6.5]
    assert not result.notices
    border = made.segment(image, Options(guidance_center=(23, 10, 6)), Run())
    assert border.guidance is not None
    assert border.guidance.center[0] == 20.5
    assert border.notices == ["The guidance crop was moved to stay inside the image."]


def test_the_place_of_the_crop_matters() -> None:
    made, image = method(), volume((24, 24, 24))
    image.array[:, :12] //= 4
    here, there, none = (
        probability(made.segment(image, Options(keep_probability=True, **options), Run()))
        for options in ({"guidance_center": (6, 6, 4)}, {"guidance_center": (6, 6, 19)}, {})
    )
    assert (here - there).abs().max() > 1e-4
    assert (none - here).abs().max() > 1e-4
    without = method(inference={"guidance": "none"}).segment(image, Options(keep_probability=True), Run())
    assert without.guidance is None
    assert (probability(without) - none).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("options", "network", "message"),
    [
        (
            {"guidance_center": (60, 1, 1)},
            {},
            r'The guidance center \[60, 1, 1\] \(R, A, S in mm\) lies outside the image "volume"',
        ),
        ({"guidance_center": (1, 1, 1), "resolution": "fine"}, {}, "A result finer than the image has no guidance"),
        ({"guidance_center": (1, 1, 1)}, {"guidance_widths": []}, 'The model "tiny" uses no guidance crop'),
    ],
)
def test_crops_that_cannot_be(options: dict[str, Any], network: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        method(network).segment(volume(), Options(**options), Run())


def test_what_is_remembered_is_not_made_again() -> None:
    made, image = method(), volume((24, 24, 24))
    first = Run()
    made.segment(image, Options(remember=True), first)
    again = Run()
    moved = made.segment(image, Options(remember=True, guidance_center=(6, 6, 6)), again)
    assert "preparing" in first.seconds
    assert list(again.seconds) == ["guidance", "inference"]
    fresh = method().segment(image, Options(guidance_center=(6, 6, 6)), Run())
    assert np.array_equal(moved.label_map.array, fresh.label_map.array)
    for other in (Options(resolution="fine"), Options()):
        run = Run()
        made.segment(image, other, run)
        assert "preparing" in run.seconds


# ---- settings, memory, cancelling ----


@pytest.mark.parametrize(
    ("network", "message"),
    [({"factor": [1, 1, 1]}, "factor"), ({"guidance_widths": [4]}, "guidance_widths"), ({"depth": 3}, "depth")],
)
def test_settings_that_do_not_fit(network: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        method(network)


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
