"""What the worker answers about continuous fields, without a process but for the last test."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from field_models import ball_image, threshold_model
from hrseg import memory
from hrseg.errors import Cancelled, InputError, OutOfMemory
from hrseg.geometry import Box
from hrseg.image import Image
from hrseg.methods import method_of
from hrseg.model_file import load_model, save_model
from hrseg.oss_net.field import Field
from hrseg.oss_net.method import OssNet
from hrseg.runtime import Run
from hrseg.worker.arrays import read_array, write_array
from hrseg.worker.client import WorkerClient
from hrseg.worker.connection import WorkerError
from hrseg.worker.jobs import Jobs
from hrseg.worker.messages import GridEntry, ImageFile, SampleRequest, SurfaceRequest
from job_helpers import do
from model_helpers import tiny_file

#: A ball of 6 voxels radius in 20 x 24 x 28 voxels of 2 mm.
BALL = ball_image((20, 24, 28), 6, 2.0)
VOLUME = 4 / 3 * np.pi * 12**3


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label 1 where it is bright, label 2 nowhere."""
    path, model = tmp_path_factory.mktemp("models") / "field.safetensors", threshold_model()
    save_model(path, model.header, model.network, half=False)
    return path


@pytest.fixture(scope="module")
def field(model_path: Path) -> Field:
    method = method_of(load_model(model_path))
    assert isinstance(method, OssNet)
    return method.field(BALL, Run())


@pytest.fixture
def request_(tmp_path: Path, model_path: Path) -> SampleRequest:
    return SampleRequest(id=3, image=image_file(tmp_path), model=str(model_path), device="cpu")


def image_file(folder: Path, key: str = "a", image: Image = BALL) -> ImageFile:
    write_array(folder / f"{key}.npy", image.array)
    return ImageFile(key, str(folder / f"{key}.npy"), tuple(map(tuple, image.grid.affine.tolist())), "ball")


def test_label_map_on_the_images_own_grid(jobs: Jobs, tmp_path: Path, request_: SampleRequest, field: Field) -> None:
    got = do(jobs, request_)
    assert got["label_map"] == {"file": "job3-label_map.npy", "shape": [20, 24, 28], "dtype": "uint8"}
    found = read_array(tmp_path, got["label_map"])
    np.testing.assert_array_equal(found, field.label_map().array)
    assert found.sum() * 8 == pytest.approx(VOLUME, rel=0.05)
    assert got["affine"] == BALL.grid.affine.tolist()
    assert [label["name"] for label in got["labels"]] == ["liver", "spine"]
    assert (got["device"], got["model"]["method"]) == ("cpu", "oss_net")


def test_a_finer_region(jobs: Jobs, tmp_path: Path, request_: SampleRequest, field: Field) -> None:
    grid = BALL.grid.finer(4).crop(Box((30, 40, 40), (50, 60, 70)))
    got = do(jobs, dataclasses.replace(request_, grid=GridEntry.of(grid)))
    np.testing.assert_array_equal(read_array(tmp_path, got["label_map"]), field.label_map(grid).array)
    np.testing.assert_allclose(got["affine"], grid.affine)


def test_probability_of_one_label(jobs: Jobs, tmp_path: Path, request_: SampleRequest, field: Field) -> None:
    one = dataclasses.replace(request_, what="probability", labels=(2,))
    got = do(jobs, one)
    assert "label_map" not in got
    assert [label["value"] for label in got["labels"]] == [2]
    np.testing.assert_array_equal(read_array(tmp_path, got["probability"]), field.probability()[1:])
    both = do(jobs, dataclasses.replace(one, labels=()))
    assert both["probability"]["shape"] == [2, 20, 24, 28]


def test_label_map_of_one_label(jobs: Jobs, tmp_path: Path, request_: SampleRequest) -> None:
    for label, found in ((1, {0, 1}), (2, {0})):
        got = do(jobs, dataclasses.replace(request_, labels=(label,)))
        assert set(np.unique(read_array(tmp_path, got["label_map"]))) == found


def test_a_lower_level_finds_more(jobs: Jobs, tmp_path: Path, request_: SampleRequest) -> None:
    counts = [
        int(read_array(tmp_path, do(jobs, dataclasses.replace(request_, level=level))["label_map"]).sum())
        for level in (0.2, 0.5, 0.9)
    ]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("level", [None, 0.1, 0.9])
def test_surface_of_what_is_there(
    jobs: Jobs, tmp_path: Path, request_: SampleRequest, field: Field, level: float | None
) -> None:
    surface = SurfaceRequest(id=4, image=request_.image, model=request_.model, device="cpu", level=level)
    stages: list[str] = []
    (got,) = do(jobs, surface, stages)["surfaces"]
    # One label map for the surfaces of both labels.
    assert (stages.count("field"), stages.count("surface")) == (1, 2)
    points, triangles = (read_array(tmp_path, got[key]) for key in ("points", "triangles"))
    assert got["label"] == 1
    assert (points.dtype, triangles.dtype) == (np.float32, np.int64)
    assert triangles.max() < len(points)
    # All corners lie where the field says the level, or both classes are as probable as each other.
    np.testing.assert_allclose(field.probability_at(points).sum(axis=0), level or 0.5, atol=0.02)
    middle = BALL.grid.to_world((np.array(BALL.grid.shape) - 1) / 2)
    radius = np.linalg.norm(points - middle, axis=1)
    # The logit rises by 20 from black to white, which are 16 mm apart.
    expected = 12 - 16 * np.log((level or 0.5) / (1 - (level or 0.5))) / 20
    np.testing.assert_allclose(radius.mean(), expected, atol=0.15)


def test_the_image_is_encoded_once(jobs: Jobs, tmp_path: Path, request_: SampleRequest) -> None:
    first, second, third = [], [], []
    do(jobs, request_, first)
    do(jobs, dataclasses.replace(request_, grid=GridEntry.of(BALL.grid.finer(2))), second)
    assert "encoding" in first
    assert "encoding" not in second
    assert "field" in second
    other = dataclasses.replace(request_, image=image_file(tmp_path, "b"))
    do(jobs, other, third)
    assert "encoding" in third


def test_what_is_not_remembered_is_refused_on_demand(jobs: Jobs, tmp_path: Path, request_: SampleRequest) -> None:
    only, stages = dataclasses.replace(request_, remembered_only=True), list[str]()

    def refused() -> None:
        with pytest.raises(InputError, match='field of "ball" is not in memory any more'):
            do(jobs, only, stages)

    refused()
    do(jobs, request_)
    do(jobs, dataclasses.replace(only, grid=GridEntry.of(BALL.grid.finer(2))), stages)
    assert "field" in stages
    # Another image, other settings, or two other models take its place.
    do(jobs, dataclasses.replace(request_, image=image_file(tmp_path, "b")))
    refused()
    do(jobs, request_)
    do(jobs, dataclasses.replace(request_, inference={"chunk": 2048}))
    refused()
    do(jobs, request_)
    for name in "cd":
        copy = shutil.copy(request_.model, tmp_path / f"{name}.safetensors")
        do(jobs, dataclasses.replace(request_, model=str(copy)))
    refused()
    assert "encoding" not in stages


def test_the_field_goes_with_its_image(jobs: Jobs, tmp_path: Path, request_: SampleRequest) -> None:
    """Another model's image takes the place of the one that was encoded."""
    do(jobs, request_)
    (loaded,) = jobs._models._models.values()
    assert loaded.method._seen is not None  # type: ignore[attr-defined]
    jobs._opened(image_file(tmp_path, "b"))
    assert loaded.method._seen is None  # type: ignore[attr-defined]


def test_forecast_in_seconds_is_that_of_the_images_own_grid(jobs: Jobs, request_: SampleRequest) -> None:
    fine = dataclasses.replace(request_, grid=GridEntry.of(BALL.grid.finer(2)))
    do(jobs, fine)
    (loaded,) = jobs._models._models.values()
    assert loaded.pace({}).expect(BALL.grid.size, None) is None
    seconds = do(jobs, request_)["seconds"]
    assert seconds["field"] - 1e-6 <= loaded.pace({}).expect(BALL.grid.size, None) <= seconds["total"] + 1e-6


def test_what_cannot_be_answered(jobs: Jobs, tmp_path: Path, request_: SampleRequest) -> None:
    eye = tuple(map(tuple, np.eye(4).tolist()))
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"labels": (3,)}, InputError, "There is no label 3; this model has 1, 2"),
        ({"grid": GridEntry((4, 4), eye)}, InputError, r"shape \[4, 4\] of the grid must be three numbers"),
        ({"grid": GridEntry((4, 4, 0), eye)}, InputError, "every axis needs at least one voxel"),
        ({"level": 1.5}, InputError, "decision level 1.5 must lie between 0 and 1"),
        ({"model": str(tiny_file(tmp_path / "t.safetensors"))}, InputError, "gives no continuous field"),
    ]
    for changes, kind, text in cases:
        with pytest.raises(kind, match=text):
            do(jobs, dataclasses.replace(request_, **changes))


def test_no_room_is_said_before_anything_is_computed(
    jobs: Jobs, request_: SampleRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda device: 5 * 2**30)
    grid, stages = GridEntry.of(BALL.grid.finer(100)), list[str]()
    with pytest.raises(OutOfMemory, match=r"2800 x 2400 x 2000 voxels need 25.0 GB of memory, but 5.0 GB are free"):
        do(jobs, dataclasses.replace(request_, grid=grid), stages)
    assert "encoding" not in stages


def test_surfaces_need_more_room_than_label_maps(
    jobs: Jobs, request_: SampleRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda device: 30 * 2**30)
    surface = SurfaceRequest(id=4, image=request_.image, model=request_.model, device="cpu")
    with pytest.raises(OutOfMemory, match=r"2800 x 2400 x 2000 voxels need 137.7 GB of memory, but 30.0 GB are free"):
        do(jobs, dataclasses.replace(surface, grid=GridEntry.of(BALL.grid.finer(100))))


def test_one_label_needs_room_for_one(jobs: Jobs, request_: SampleRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    probability = Field.probability
    monkeypatch.setattr(Field, "probability", lambda *a, **more: asked.append(probability(*a, **more)) or asked[-1])
    do(jobs, dataclasses.replace(request_, what="probability", labels=(2,)))
    assert asked[0].shape == (1, 20, 24, 28)


def test_cancelled_while_it_is_asked(jobs: Jobs, request_: SampleRequest) -> None:
    cancel = threading.Event()

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "field":
            cancel.set()

    with pytest.raises(Cancelled):
        jobs.do(request_, progress, cancel)


def test_encoded_again_after_a_crash(tmp_path: Path, model_path: Path) -> None:
    """The caller asks as before, of a genuine process that was killed in between."""
    client = WorkerClient()
    try:
        image = client.image_file("a", BALL.array, BALL.grid.affine, "ball")
        request = SampleRequest(image=image, model=str(model_path), device="cpu")
        found = []
        for encoded in (True, False, True):
            client.submit(request)
            done = client.wait(120)
            assert ("encoding" in done.result["seconds"]) == encoded
            found.append(client.array(done.result["label_map"]))
            if not encoded:
                client.submit(dataclasses.replace(request, grid=GridEntry.of(BALL.grid.finer(16))))
                assert client.pid is not None
                os.kill(client.pid, signal.SIGKILL)
                with pytest.raises((OutOfMemory, WorkerError)):
                    client.wait(60)
        np.testing.assert_array_equal(found[0], found[2])
    finally:
        client.close()
