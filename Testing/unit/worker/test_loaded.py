from __future__ import annotations

import os
from pathlib import Path

import pytest

from hrseg.errors import ModelError
from hrseg.model_file import file_sha256
from hrseg.runtime import CPU
from hrseg.worker.loaded import LoadedModels, Pace
from model_helpers import tiny_file

# ---- models ----


def test_model_stays_loaded(tmp_path: Path) -> None:
    path = str(tiny_file(tmp_path / "a.safetensors"))
    models = LoadedModels()
    first = models.get(path, CPU, {})
    again = models.get(path, CPU, {})
    assert again is first
    assert again.method is first.method
    assert first.about() == {
        "name": "tiny",
        "title": "",
        "method": "patch_based",
        "licence": "",
        "citation": "",
        "sha256": file_sha256(path),
    }


def test_other_settings_share_the_network(tmp_path: Path) -> None:
    path = str(tiny_file(tmp_path / "a.safetensors"))
    models = LoadedModels()
    loaded = models.get(path, CPU, {})
    method, network = loaded.method, loaded.model.network
    other = models.get(path, CPU, {"overlap": 0.25}).method
    assert other is not method
    assert other.model.network is network
    assert other.model.header.inference["overlap"] == 0.25
    assert models.get(path, CPU, {"overlap": 0.25}).method is other
    assert "overlap" not in models.get(path, CPU, {}).method.model.header.inference


def test_two_models_are_kept(tmp_path: Path) -> None:
    a, b, c = (str(tiny_file(tmp_path / f"{name}.safetensors")) for name in "abc")
    models = LoadedModels()
    first, second = models.get(a, CPU, {}), models.get(b, CPU, {})
    assert models.get(a, CPU, {}) is first
    models.get(c, CPU, {})
    assert models.get(a, CPU, {}) is first
    assert models.get(b, CPU, {}) is not second


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tiny_file(tmp_path / "a.safetensors", title="old")
    models = LoadedModels()
    first = models.get(str(path), CPU, {})
    os.utime(path, ns=(1, 1))
    again = models.get(str(path), CPU, {})
    assert again is not first
    tiny_file(path, title="a new one")
    assert models.get(str(path), CPU, {}).about()["title"] == "a new one"


def test_models_that_cannot_be_used(tmp_path: Path) -> None:
    models = LoadedModels()
    with pytest.raises(ModelError, match="No such file"):
        models.get(str(tmp_path / "none.safetensors"), CPU, {})
    path = str(tiny_file(tmp_path / "a.safetensors"))
    with pytest.raises(ModelError, match=r"overlap.*found 7"):
        models.get(path, CPU, {"overlap": 7})
    assert models.get(path, CPU, {}).about()["name"] == "tiny"


# ---- pace ----


def test_no_forecast_before_the_first_job() -> None:
    pace = Pace()
    assert pace.expect(100, 3) is None
    # Proposing tells how long the coarse pass takes, but not the rest.
    pace.learn({"coarse": 1.0}, 100)
    assert pace.expect(100, 3) is None


def test_stages_grow_with_voxels_and_crops_with_boxes() -> None:
    pace = Pace()
    pace.learn({"preparing": 2.0, "crops": 6.0}, voxels=1000, crops=3, boxes=4)
    assert pace.expect(2000, boxes=5) == pytest.approx(2 * 2.0 + 5 * 2.0)
    assert pace.expect(1000, boxes=None) == pytest.approx(2.0 + 4 * 2.0)
    assert pace.expect(1000, boxes=0) == pytest.approx(2.0)


def test_what_was_remembered_does_not_count() -> None:
    pace = Pace()
    pace.learn({"preparing": 2.0, "crops": 6.0}, voxels=1000, crops=3, boxes=3)
    pace.learn({"crops": 1e-6}, voxels=1000, crops=1, boxes=2)
    assert pace.expect(1000, boxes=None) == pytest.approx(2.0 + 2 * 2.0)
    pace.learn({"crops": 1.0}, voxels=1000, crops=1, boxes=2)
    assert pace.expect(1000, boxes=None) == pytest.approx(2.0 + 2 * 1.0)
