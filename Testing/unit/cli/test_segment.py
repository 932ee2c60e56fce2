import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from hrseg.geometry import Grid
from hrseg.image import read_image, read_label_map, write_image
from hrseg.model_file import load_header
from hrseg.model_file import write_model as write_tensors
from hrseg.prompts import RegionBox, read_boxes, write_boxes
from training_helpers import GRID, LABEL, write_model


def test_a_file_with_report_and_probabilities(hrseg, tmp_path, model, image):
    out, report = tmp_path / "out [b].seg.nrrd", tmp_path / "report.json"
    probability = tmp_path / "p.nii.gz"
    done = hrseg("segment", image, "--model", model, "-o", out, "--report", report, "--save-probability", probability)
    assert (done.code, done.err) == (0, "")
    assert f"{image} → {out}" in done.out
    assert "cpu: reading" in done.out
    content = json.loads(report.read_text())
    assert set(content) == {
        *("image", "model", "method", "device", "seconds", "peak_memory_mib", "output_grid", "labels"),
        *("notices", "forecast_memory_mib", "stage_memory_mib"),
    }
    assert set(content["labels"][0]) == {"value", "name", "voxels", "millilitres"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("out [b].seg.nrrd", "p-ball.nii.gz", "p-cube.nii.gz", "report.json", "scan.nii.gz")
    ]
    assert read_label_map(out).grid.matches(GRID)


def test_nothing_found_is_said(hrseg, tmp_path, image):
    path = write_model(tmp_path / "blind.safetensors")
    zeros = {name: torch.zeros_like(value) for name, value in load_file(path).items()}
    write_tensors(path, load_header(path), zeros)
    done = hrseg("segment", image, "--model", path, "-o", tmp_path / "o.nii.gz")
    assert done.code == 0
    assert done.err == "Note: Nothing was found; is the image of the kind that the model is for?\n"


@pytest.fixture
def cascade(tmp_path_factory):
    """A crop cascade with random weights, and a 2D image for it."""
    folder = tmp_path_factory.mktemp("cascade")
    grid = Grid.from_spacing((1, 40, 50))
    write_image(folder / "plane.nrrd", np.random.default_rng(0).integers(0, 200, grid.shape).astype(np.uint8), grid)
    path = write_model(
        folder / "cascade.safetensors",
        method="crop_cascade",
        dimension=2,
        labels=LABEL[:1],
        network={"coarse": {"width": 2, "depth": 1}, "fine": {"width": 2, "depth": 1}},
        inference={"size": [16, 16]},
        preprocessing={"intensity": {"kind": "window", "low": 0, "high": 200}},
    )
    return folder / "plane.nrrd", path, grid


def test_boxes_drawn_by_hand(hrseg, tmp_path, cascade):
    image, model, grid = cascade
    drawn = RegionBox(np.array([19.5, 14.5, 0]), np.array([12.0, 10, 3]), np.eye(3), "mine")
    write_boxes(tmp_path / "in.mrk.json", [drawn])
    out = {name: tmp_path / name for name in ("o.nrrd", "out.mrk.json", "i.nrrd", "r.json")}
    done = hrseg(
        *("segment", image, "--model", model, "-o", out["o.nrrd"], "--boxes", tmp_path / "in.mrk.json"),
        *("--save-boxes", out["out.mrk.json"], "--save-instances", out["i.nrrd"], "--report", out["r.json"]),
    )
    assert done.code == 0
    assert "Boxes: 1\n" in done.out
    (box,) = read_boxes(out["out.mrk.json"], grid)
    assert (box.name, box.center.tolist(), box.size.tolist()) == ("mine", [19.5, 14.5, 0], [12, 10, 3])
    assert [entry["name"] for entry in json.loads(out["r.json"].read_text())["boxes"]] == ["mine"]
    labels, instances = read_label_map(out["o.nrrd"]), read_label_map(out["i.nrrd"])
    assert labels.grid.matches(grid)
    assert instances.array.dtype == np.uint16
    assert ((instances.array == 1) == (labels.array == 1)).all()
    assert 0 < labels.array.sum() == labels.array[0, 10:20, 14:26].sum()


def test_boxes_of_several_files(hrseg, tmp_path, cascade):
    image, model, _ = cascade
    for name, start in (("a", 4), ("b", 40)):
        entry = {"name": name, "start": [start, 10, 0], "stop": [start + 12, 20, 1]}
        (tmp_path / f"{name}.json").write_text(json.dumps([entry]))
    options = ["--boxes", tmp_path / "a.json", "--boxes", tmp_path / "b.json", "--report", tmp_path / "r.json"]
    assert hrseg("segment", image, "--model", model, "-o", tmp_path / "o.nrrd", *options).code == 0
    assert [entry["name"] for entry in json.loads((tmp_path / "r.json").read_text())["boxes"]] == ["a", "b"]


def test_the_coarse_network_runs_only_where_it_may_propose(hrseg, tmp_path, cascade):
    image, model, _ = cascade
    (tmp_path / "in.json").write_text('[{"name": "mine", "start": [40, 30, 0], "stop": [46, 38, 1]}]')
    drawn = ["--boxes", tmp_path / "in.json"]
    report = tmp_path / "r.json"
    for options, coarse in ((drawn, False), ([*drawn, "--propose"], True), ([], True)):
        done = hrseg("segment", image, "--model", model, "-o", tmp_path / "o.nrrd", "--report", report, *options)
        assert done.code == 0
        assert ("coarse" in json.loads(report.read_text())["seconds"]) == coarse


def test_boxes_for_a_method_that_takes_none(hrseg, tmp_path, model, image):
    done = hrseg("segment", image, "--model", model, "-o", tmp_path / "o.nrrd", "--save-instances", tmp_path / "i.nrrd")
    assert done.code == 2
    assert done.error == 'The method "patch_based" of the model "tiny" takes no boxes; use a crop cascade model.'


@pytest.fixture
def pfseg(tmp_path_factory):
    """A PFSeg model with random weights."""
    network = {"widths": [4, 6, 8], "guidance_widths": [2, 4], "tail_width": 4}
    path = tmp_path_factory.mktemp("pfseg") / "pfseg.safetensors"
    return write_model(path, method="pfseg", network=network, inference={})


def test_a_finer_result_and_a_sharper_image(hrseg, tmp_path, pfseg, image):
    out, sharp = tmp_path / "out.nii.gz", tmp_path / "sharp.nrrd"
    done = hrseg(
        *("segment", image, "--model", pfseg, "-o", out, "--resolution", "fine", "--save-super-resolved", sharp)
    )
    assert (done.code, done.err) == (0, "")
    assert read_label_map(out).grid.matches(GRID.finer(2))
    assert read_image(sharp).grid.matches(GRID.finer(2))


def test_the_place_of_the_guidance_crop(hrseg, tmp_path, pfseg, image):
    report = tmp_path / "report.json"
    arguments = ["segment", image, "--model", pfseg, "-o", tmp_path / "out.nii.gz", "--report", report]
    done = hrseg(*arguments, "--guidance-center", "4.5,9.5,14.5")
    assert done.code == 0
    guidance = json.loads(report.read_text())["guidance"]
    # The 20 voxels are padded to 24; the crop has a quarter of that.
    assert guidance["size"] == [6, 6, 6]
    assert np.abs(np.subtract(guidance["center"], [4.5, 9.5, 14.5])).max() <= 1
    assert "Guidance crop: center" in done.out
    wrong = hrseg(*arguments, "--guidance-center", "4,5")
    assert wrong.error == 'The guidance center "4,5" must be three numbers of mm, such as 12.5,-30,41.'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resolution", "fine"], "makes neither finer masks nor sharper images"),
        (["--save-super-resolved", "sharp.nrrd"], "makes neither finer masks nor sharper images"),
        (["--guidance-center", "1,2,3"], "uses no guidance crop"),
    ],
)
def test_what_the_baseline_has_not(hrseg, tmp_path, model, image, options, message):
    options = [tmp_path / option if option.endswith(".nrrd") else option for option in options]
    done = hrseg("segment", image, "--model", model, "-o", tmp_path / "o.nii.gz", *options)
    assert done.code == 2
    assert message in done.error


def test_the_result_of_a_subprocess(tmp_path, model, image):
    """As users call it."""
    core = Path(__file__).parents[3] / "HighResCore"
    done = subprocess.run(
        [sys.executable, "-m", "hrseg", "segment", image, "--model", model, "-o", tmp_path / "out.nii.gz"],
        env={**os.environ, "PYTHONPATH": str(core)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert read_image(tmp_path / "out.nii.gz").grid.matches(GRID)
