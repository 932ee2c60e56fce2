"""What the worker does where more is asked for: finer masks, sharper images, the guidance crop, lesions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrseg.errors import InputError
from hrseg.prompts import RegionBox
from hrseg.worker.arrays import read_array, write_array
from hrseg.worker.jobs import Jobs
from hrseg.worker.messages import ForecastRequest, ImageFile, SegmentRequest
from job_helpers import AFFINE, LEFT_VOXELS, RIGHT_VOXELS, do
from model_helpers import tiny_file


@pytest.fixture
def cube(tmp_path: Path) -> ImageFile:
    """Random grey values, 16 x 16 x 24 voxels of 2 mm."""
    array = np.random.default_rng(0).integers(0, 100, (1, 16, 16, 24)).astype(np.int16)
    write_array(tmp_path / "image3.npy", array)
    return ImageFile("c", str(tmp_path / "image3.npy"), tuple(map(tuple, AFFINE.tolist())), "cube")


@pytest.fixture
def pfseg_file(tmp_path: Path) -> Path:
    network = {"widths": [4, 6, 8], "guidance_widths": [4, 4], "tail_width": 4}
    return tiny_file(tmp_path / "pfseg.safetensors", method="pfseg", network=network, inference={})


def test_the_guidance_crop_is_told_and_can_be_given(
    jobs: Jobs, tmp_path: Path, cube: ImageFile, pfseg_file: Path
) -> None:
    request = SegmentRequest(image=cube, model=str(pfseg_file), device="cpu")
    first = do(jobs, request)
    crop = RegionBox(**first["guidance"])
    # A quarter of each side of the image: 4 x 4 x 6 voxels.
    np.testing.assert_allclose(crop.size, [12, 8, 8])
    assert first["super_resolved"] is first["lesions"] is None
    options = {"guidance_center": (crop.center + np.array([2, -2, 4])).tolist()}
    moved = do(jobs, dataclasses.replace(request, options=options))["guidance"]
    np.testing.assert_allclose(moved["center"], np.clip(options["guidance_center"], [5, 3, 3], [41, 27, 27]))


def test_a_finer_mask_and_the_super_resolved_image(
    jobs: Jobs, tmp_path: Path, cube: ImageFile, pfseg_file: Path
) -> None:
    options = {"resolution": "fine", "super_resolved": True}
    got = do(jobs, SegmentRequest(id=4, image=cube, model=str(pfseg_file), device="cpu", options=options))
    assert got["guidance"] is None
    assert got["label_map"]["shape"] == [32, 32, 48]
    # Each voxel of 2 mm is split in two per axis, so that the first centre moves by a quarter of it.
    expected = np.diag([1.0, 1.0, 1.0, 1.0])
    expected[:3, 3] = -0.5
    np.testing.assert_allclose(got["affine"], expected)
    sharp = got["super_resolved"]
    assert sharp["file"] == "job4-super_resolved.npy"
    assert sharp["shape"] == [1, 32, 32, 48]
    np.testing.assert_allclose(sharp["affine"], expected)
    assert read_array(tmp_path, sharp).shape == (1, 32, 32, 48)


def test_lesions_are_measured_where_asked_for(jobs: Jobs, file: ImageFile, cascade_file: Path) -> None:
    stages: list[str] = []
    got = do(jobs, SegmentRequest(image=file, model=str(cascade_file), device="cpu", lesions=True), stages)
    assert stages[-2:] == ["lesions", "saving"]
    assert [lesion["name"] for lesion in got["lesions"]] == ["object 1", "object 2"]
    assert [lesion["voxels"] for lesion in got["lesions"]] == [RIGHT_VOXELS, LEFT_VOXELS]
    largest = got["lesions"][0]
    # 100 pixels of 2 x 2 mm.
    assert largest["size"] == pytest.approx(400)
    assert 0.9 < largest["probability"] <= 1
    # The probability was needed, but not asked for.
    assert got["probability"] is None


def test_what_a_method_does_not_offer_is_refused(jobs: Jobs, tmp_path: Path, file: ImageFile) -> None:
    request = SegmentRequest(image=file, model=str(tiny_file(tmp_path / "tiny.safetensors")), device="cpu")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"resolution": "fine"}, '"tiny" makes neither finer masks nor sharper images'),
        ({"super_resolved": True}, "makes neither"),
        ({"guidance_center": [0.0, 0.0, 0.0]}, '"Sliding window" uses no guidance crop'),
    ]
    for options, text in cases:
        with pytest.raises(InputError, match=text):
            do(jobs, dataclasses.replace(request, options=options))


def test_a_forecast_of_seconds_is_for_the_same_resolution(jobs: Jobs, cube: ImageFile, pfseg_file: Path) -> None:
    coarse = {"image": cube, "model": str(pfseg_file), "device": "cpu"}
    fine = {**coarse, "options": {"resolution": "fine"}}
    do(jobs, SegmentRequest(**coarse))
    assert do(jobs, ForecastRequest(**coarse))["seconds"] is not None
    assert do(jobs, ForecastRequest(**fine))["seconds"] is None
    assert do(jobs, ForecastRequest(**fine))["bytes"] > do(jobs, ForecastRequest(**coarse))["bytes"]
