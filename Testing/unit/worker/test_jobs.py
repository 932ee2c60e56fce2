"""What the worker does for each request, without a process."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hrseg.errors import Cancelled, InputError, ModelError, OutOfMemory, OutputError
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.methods import Options, method_of
from hrseg.model_file import load_model
from hrseg.prompts import RegionBox
from hrseg.runtime import Run
from hrseg.worker.arrays import read_array, write_array
from hrseg.worker.jobs import Jobs, devices, failure, leave_a_core, versions
from hrseg.worker.messages import (
    BoxEntry,
    Cancel,
    DescribeRequest,
    DevicesRequest,
    ForecastRequest,
    ImageFile,
    ProposeRequest,
    SegmentRequest,
)
from job_helpers import AFFINE, LEFT, LEFT_VOXELS, RIGHT_VOXELS, SQUARES, do
from model_helpers import tiny_file

# ---- segmenting ----


def test_result_is_that_of_the_method(jobs: Jobs, tmp_path: Path, file: ImageFile) -> None:
    model = tiny_file(tmp_path / "tiny.safetensors")
    rng = np.random.default_rng(0)
    array = rng.integers(0, 100, (1, 9, 10, 11)).astype(np.int16)
    write_array(tmp_path / "image2.npy", array)
    request = SegmentRequest(
        id=7,
        image=ImageFile("b", str(tmp_path / "image2.npy"), file.affine, "CT"),
        model=str(model),
        device="cpu",
        keep_probability=True,
    )
    got = do(jobs, request)
    expected = method_of(load_model(model)).segment(
        Image(array, Grid((9, 10, 11), AFFINE)), Options(keep_probability=True), Run()
    )
    np.testing.assert_array_equal(read_array(tmp_path, got["label_map"]), expected.label_map.array)
    np.testing.assert_allclose(read_array(tmp_path, got["probability"]), expected.probability, atol=1e-5)
    assert got["label_map"] == {"file": "job7-label_map.npy", "shape": [9, 10, 11], "dtype": "uint8"}
    assert got["instances"] is None
    assert got["affine"] == AFFINE.tolist()
    assert got["labels"][0] == {"value": 1, "name": "liver", "color": [221, 130, 101], "terminology": None}
    assert got["device"] == "cpu"
    assert got["boxes"] == got["notices"] == []
    assert {"preparing", "inference", "total"} <= got["seconds"].keys()
    assert got["peak_memory"] >= 0
    assert got["model"]["name"] == "tiny"


def test_boxes_in_and_out(jobs: Jobs, tmp_path: Path, file: ImageFile, cascade_file: Path) -> None:
    request = SegmentRequest(
        image=file, model=str(cascade_file), boxes=(BoxEntry.of(LEFT),), propose=False, instances=True
    )
    got = do(jobs, request)
    labels = read_array(tmp_path, got["label_map"])
    assert labels.sum() == LEFT_VOXELS
    np.testing.assert_array_equal(read_array(tmp_path, got["instances"]), labels)
    (box,) = got["boxes"]
    assert RegionBox(**box).name == "left"
    np.testing.assert_allclose(box["center"], LEFT.center)


def test_proposed_boxes_can_be_segmented(jobs: Jobs, tmp_path: Path, file: ImageFile, cascade_file: Path) -> None:
    stages: list[str] = []
    proposed = do(jobs, ProposeRequest(image=file, model=str(cascade_file)), stages)
    assert stages == ["loading", "preparing", "coarse", "boxes"]
    boxes = [RegionBox(**box) for box in proposed["boxes"]]
    assert [box.name for box in boxes] == ["object 1", "object 2"]
    assert {"device", "seconds", "peak_memory", "notices", "model"} <= proposed.keys()
    request = SegmentRequest(
        image=file, model=str(cascade_file), boxes=tuple(map(BoxEntry.of, boxes)), propose=False, instances=True
    )
    # The image is prepared already.
    stages.clear()
    got = do(jobs, request, stages)
    assert stages == ["loading", "crops", "joining", "saving"]
    counts = np.bincount(read_array(tmp_path, got["instances"]).ravel())[1:]
    # Resizing the crop of the larger one rounds its corners off.
    assert counts == pytest.approx([RIGHT_VOXELS, LEFT_VOXELS], abs=4)


def test_moving_one_box_looks_at_one_crop(jobs: Jobs, tmp_path: Path, file: ImageFile, cascade_file: Path) -> None:
    looked: list[int] = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "crops" and done == 0:
            looked.append(total)

    right = RegionBox(np.array([69.0, 45.0, 0.0]), np.array([24.0, 24.0, 2.0]), np.eye(3), "right")
    moved = RegionBox(right.center + np.array([2, 2, 0]), right.size, right.axes, "right")
    for boxes in ((LEFT, right), (LEFT, moved)):
        request = SegmentRequest(
            image=file, model=str(cascade_file), boxes=tuple(map(BoxEntry.of, boxes)), propose=False
        )
        jobs.do(request, progress, threading.Event())
    assert looked == [2, 1]


def test_method_that_does_not_propose(jobs: Jobs, tmp_path: Path, file: ImageFile) -> None:
    model = str(tiny_file(tmp_path / "tiny.safetensors"))
    with pytest.raises(InputError, match='"Sliding window" does not propose boxes'):
        do(jobs, ProposeRequest(image=file, model=model))


def test_image_is_opened_once(jobs: Jobs, tmp_path: Path, file: ImageFile, cascade_file: Path) -> None:
    request = ProposeRequest(image=file, model=str(cascade_file))
    first = do(jobs, request)
    # As it stays open, it does not matter that its file goes.
    (tmp_path / "image1.npy").unlink()
    assert do(jobs, request)["boxes"] == first["boxes"]
    write_array(tmp_path / "image2.npy", SQUARES[..., :24].copy())
    other = dataclasses.replace(file, key="b", path=str(tmp_path / "image2.npy"))
    assert len(do(jobs, ProposeRequest(image=other, model=str(cascade_file)))["boxes"]) == 1


def test_image_that_is_moved_is_another_one(jobs: Jobs, file: ImageFile, cascade_file: Path) -> None:
    first = do(jobs, ProposeRequest(image=file, model=str(cascade_file)))["boxes"][0]["center"]
    affine = AFFINE.copy()
    affine[0, 3] = 100
    moved = dataclasses.replace(file, affine=tuple(map(tuple, affine.tolist())))
    second = do(jobs, ProposeRequest(image=moved, model=str(cascade_file)))["boxes"][0]["center"]
    assert np.subtract(second, first).tolist() == [100, 0, 0]


def test_settings_of_inference_can_be_changed(jobs: Jobs, tmp_path: Path, file: ImageFile, cascade_file: Path) -> None:
    request = ProposeRequest(image=file, model=str(cascade_file), inference={"smallest": 0.05})
    assert len(do(jobs, request)["boxes"]) == 1
    assert len(do(jobs, dataclasses.replace(request, inference={}))["boxes"]) == 2


# ---- forecast, description, devices ----


def test_forecast(jobs: Jobs, file: ImageFile, cascade_file: Path) -> None:
    request = ForecastRequest(image=file, model=str(cascade_file), device="cpu")
    before = do(jobs, request)
    assert before["bytes"] > SQUARES.nbytes
    assert before["free_bytes"] > before["bytes"]
    assert before["seconds"] is None
    assert before["device"] == "cpu"
    done = do(jobs, SegmentRequest(image=file, model=str(cascade_file), device="cpu"))
    after = do(jobs, request)["seconds"]
    saving = done["seconds"].pop("saving")
    assert after == pytest.approx(done["seconds"]["total"] - saving, abs=0.01)


def test_description(jobs: Jobs, cascade_file: Path) -> None:
    got = do(jobs, DescribeRequest(model=str(cascade_file)))
    assert (got["method"], got["takes_boxes"]) == ("Segment-then-Segment", True)
    assert got["header"]["labels"][0]["name"] == "object"
    assert got["header"]["inference"]["size"] == [16, 16]


def test_devices() -> None:
    found = devices()
    assert found[-1]["name"] == "cpu"
    for device in found:
        assert 0 < device["free_bytes"] <= device["total_bytes"]
        assert isinstance(device["title"], str)


def test_request_for_devices(jobs: Jobs) -> None:
    got = do(jobs, DevicesRequest())
    assert got["devices"][-1]["name"] == "cpu"
    assert got["versions"] == versions()
    assert got["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(("cores", "threads", "expected"), [(8, 8, 7), (8, 2, 2), (2, 2, 2), (1, 1, 1), (None, 1, 1)])
def test_one_core_is_left(monkeypatch: pytest.MonkeyPatch, cores: int | None, threads: int, expected: int) -> None:
    state = [threads]
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: state[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: state.__setitem__(0, n))
    leave_a_core()
    assert state == [expected]


# ---- errors ----


def test_inputs_that_cannot_be_used(jobs: Jobs, tmp_path: Path, file: ImageFile, cascade_file: Path) -> None:
    good = SegmentRequest(image=file, model=str(cascade_file))
    far = RegionBox(LEFT.center + 500, LEFT.size, LEFT.axes, "far")
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"model": str(tmp_path / "none.safetensors")}, ModelError, "No such file"),
        ({"inference": {"threshold": 7}}, ModelError, "threshold.*found 7"),
        ({"device": "abacus"}, InputError, 'no device "abacus"'),
        ({"boxes": (BoxEntry.of(far),)}, InputError, 'box "far" lies wholly outside'),
        ({"options": {"wings": 2}}, InputError, "{'wings': 2} are not known"),
        ({"image": dataclasses.replace(file, affine=((0.0,) * 4,) * 4)}, InputError, "not an invertible"),
    ]
    for changes, kind, text in cases:
        with pytest.raises(kind, match=text):
            do(jobs, dataclasses.replace(good, **changes))
    assert read_array(tmp_path, do(jobs, good)["label_map"]).sum() == LEFT_VOXELS + RIGHT_VOXELS


def test_what_is_no_job(jobs: Jobs) -> None:
    with pytest.raises(InputError, match="cannot do Cancel"):
        do(jobs, Cancel(id=1))


def test_full_disk(
    jobs: Jobs, tmp_path: Path, file: ImageFile, cascade_file: Path, full_disk: Callable[[int], Any]
) -> None:
    before = sorted(tmp_path.iterdir())
    request = SegmentRequest(image=file, model=str(cascade_file))
    with full_disk(1000), pytest.raises(OutputError, match=r"temporary folder .* File too large; free some space"):
        do(jobs, request)
    assert sorted(tmp_path.iterdir()) == before
    do(jobs, request)


def test_cancelled_while_it_was_loaded(jobs: Jobs, file: ImageFile, cascade_file: Path) -> None:
    cancel = threading.Event()
    stages: list[str] = []

    def progress(stage: str, done: int, total: int) -> None:
        stages.append(stage)
        cancel.set()

    with pytest.raises(Cancelled):
        jobs.do(SegmentRequest(image=file, model=str(cascade_file)), progress, cancel)
    assert set(stages) == {"loading"}


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (Cancelled("Stop."), "cancelled", "Stop."),
        (OutOfMemory("Full."), "no_memory", "Full."),
        (ModelError("Bad model."), "bad_model", "Bad model."),
        (InputError("Bad input."), "bad_input", "Bad input."),
        (OutputError("No room."), "output", "No room."),
        (MemoryError(), "no_memory", "Memory ran out."),
        (RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"), "no_memory", "Memory ran out."),
        (KeyError("x"), "internal", "An error that should not happen: KeyError: 'x'"),
    ],
)
def test_kinds_of_failure(error: Exception, kind: str, message: str) -> None:
    failed = failure(5, error)
    assert (failed.id, failed.kind, failed.message) == (5, kind, message)
    # What our own errors say contains what to do.
    assert bool(failed.advice) == (type(error) in (MemoryError, RuntimeError, KeyError))
