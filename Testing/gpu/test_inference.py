"""All methods give on a GPU what they give on the CPU."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from device_cases import CASES, NETWORKS, DeviceCase, agreement, image, lead, on_the_cpu, probabilities
from hrseg.methods import Options, method_names, method_of
from hrseg.model_file import load_model
from hrseg.oss_net.field_file import load_field
from hrseg.oss_net.method import OssNet
from hrseg.phantom import default_grid
from hrseg.phantom.anatomy import random_torso
from hrseg.phantom.scanner import scan
from hrseg.runtime import CPU, Run

MODELS = Path(__file__).parents[2] / "Resources" / "Models"
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def test_no_method_is_left_out() -> None:
    assert {case.method for case in CASES.values()} == set(method_names()) == set(NETWORKS)


@each_case
def test_single_precision(case: DeviceCase, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = on_the_cpu(case)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    found = case.run(case.made(), device)
    # Random, but neither constant nor undecided.
    assert np.ptp(probabilities(expected)) > 0.3
    assert np.sort(np.bincount(expected.label_map.array.ravel()))[-2] > 0.1 * expected.label_map.array.size
    away = np.abs(probabilities(found) - probabilities(expected))
    # The field keeps what the encoder says in half precision, where a rounding error can become one of 2**-11.
    assert away.max() <= (5e-3 if case.method == "oss_net" else 1e-4)
    assert away.mean() <= 1e-4
    sure = lead(expected) > 2 * away.max()
    assert sure.mean() > 0.9
    assert np.array_equal(found.label_map.array[sure], expected.label_map.array[sure])
    assert found.label_map.grid.matches(expected.label_map.grid)
    if expected.super_resolved is not None:
        assert found.super_resolved is not None
        # Grey values as the image has them, 0 to 200; whole numbers may be rounded to the next one.
        np.testing.assert_allclose(found.super_resolved.array, expected.super_resolved.array, atol=1, rtol=1e-3)
    if expected.instances is not None:
        assert found.instances is not None
        assert (found.instances == expected.instances).mean() > 0.999


@each_case
def test_as_users_run_it(case: DeviceCase, device: torch.device) -> None:
    """In half precision on a GPU, in single precision on the CPU, where the network may be moved afterwards."""
    expected, method = on_the_cpu(case), case.made()
    found = case.run(method, device)
    away = np.abs(probabilities(found) - probabilities(expected))
    assert away.max() < 0.05
    assert away.mean() < 0.003
    sure = lead(expected) > 0.05
    assert sure.mean() > 0.5
    assert (found.label_map.array == expected.label_map.array)[sure].mean() >= 0.999
    assert np.array_equal(probabilities(case.run(method)), probabilities(expected))


def test_bfloat16(device: torch.device) -> None:
    """A setting of PFSeg for processors; a GPU keeps to its half precision."""
    case = CASES["pfseg finer"]
    expected, found = on_the_cpu(case), case.run(case.made(precision="bfloat16"), device)
    away = np.abs(probabilities(found) - probabilities(expected))
    assert 0 < away.mean() < 0.02
    sure = lead(expected) > 0.1
    assert sure.mean() > 0.5
    assert (found.label_map.array == expected.label_map.array)[sure].mean() >= 0.999


def test_a_saved_field_is_one_for_all_devices(device: torch.device, tmp_path: Path) -> None:
    method = CASES["oss_net"].made()
    assert isinstance(method, OssNet)
    field = method.field(image(), Run(device))
    before = field.probability()
    path = tmp_path / "scene.field.safetensors"
    field.save(path)
    for target in (CPU, device):
        after = load_field(path, CASES["oss_net"].made().model, target).probability()
        np.testing.assert_allclose(after, before, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("path", sorted(MODELS.glob("phantom-*.safetensors")), ids=lambda path: path.stem)
def test_trained_models_in_half_precision(path: Path) -> None:
    torso = scan(random_torso(9, 0), default_grid((96, 96, 64), 2.5))
    method = method_of(load_model(path))
    expected, found = (method.segment(torso, Options(), Run(torch.device(name))) for name in ("cpu", "cuda"))
    assert torch.device(found.device).type == "cuda"
    assert agreement(found, expected) >= 0.999
    one, two = found.label_map.array > 0, expected.label_map.array > 0
    assert two.any()
    assert 2 * (one & two).sum() / (one.sum() + two.sum()) >= 0.995
