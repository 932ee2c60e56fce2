import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors.torch import load_file

from hrseg.geometry import Grid
from hrseg.image import read_image, read_label_map, write_image
from hrseg.model_file import load_header
from hrseg.model_file import write_model as write_tensors
from hrseg.prompts import RegionBox, read_boxes, write_boxes
from training_helpers import LABEL, scene, write_model

SIDE = 20
GRID = Grid.from_spacing((SIDE,) * 3)


@pytest.fixture
def image(tmp_path):
    write_image(tmp_path / "scan.nii.gz", scene(0)[0], GRID)
    return tmp_path / "scan.nii.gz"


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


def volume(path, array):
    write_image(path, array, Grid.from_spacing(array.shape))


def four_dimensions(path):
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(scene(0)[0])] * 2), str(path))


WRONG_IMAGES = {
    "missing": (lambda path: None, 'There is no file "{}"; check the path.'),
    "folder": (lambda path: path.mkdir(), "holds no DICOM series"),
    "four": (four_dimensions, "has 4 dimensions"),
    "nan": (lambda path: volume(path, np.where(scene(0)[1], np.nan, 1.0)), "NaN or infinite"),
    "constant": (lambda path: volume(path, np.full((SIDE,) * 3, 7, np.int16)), "is constant (every voxel is 7)"),
    "voxel": (lambda path: volume(path, np.ones((1, 1, 1), np.int16)), "has 1 x 1 x 1 voxels"),
    "text": (lambda path: path.write_text("no image"), 'Cannot read "{}"'),
}


@pytest.mark.parametrize("kind", WRONG_IMAGES)
def test_wrong_images(hrseg, tmp_path, model, kind):
    make, message = WRONG_IMAGES[kind]
    path = tmp_path / f"[bold]{kind}[x].nii.gz"
    make(path)
    done = hrseg("segment", path, "--model", model, "-o", tmp_path / "out.nii.gz")
    assert done.code == 2
    assert message.format(path) in done.error
    assert done.out == ""
    assert not (tmp_path / "out.nii.gz").exists()


def test_wrong_models(hrseg, tmp_path, model, image):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(model.read_bytes()[:-100])
    for name, message in ((cut, "is truncated"), ("magic", 'There is no model "magic"; found: none.')):
        done = hrseg("segment", image, "--model", name, "-o", tmp_path / "out.nii.gz")
        assert done.code == 2
        assert message in done.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--colour"], 'No such option: --colour; see "hrseg segment --help".'),
        (["--memory-budget", "0"], "Invalid value for '--memory-budget'"),
        (["--device", "abacus"], 'There is no device "abacus"'),
        (["--report", "{}/none/r.json"], "there is no folder"),
        (["--boxes", "{}/nothing.json"], 'Cannot read the boxes file "'),
        (["-o", "{}/out.doc"], 'Cannot write "out.doc": the name must end in one of'),
    ],
)
def test_wrong_options(hrseg, tmp_path, model, image, options, message):
    options = [option.format(tmp_path) for option in options]
    done = hrseg("segment", image, "--model", model, "-o", tmp_path / "out.nii.gz", *options)
    assert done.code == (4 if "none" in options[-1] else 2)
    assert message in done.error


def test_an_image_is_not_overwritten(hrseg, tmp_path, model, image):
    before = image.read_bytes()
    assert "is one of the inputs" in hrseg("segment", image, "--model", model, "-o", tmp_path).error
    assert image.read_bytes() == before


def test_files_of_single_labels_overwrite_neither_image_nor_result(hrseg, tmp_path, model, image):
    scan = image.rename(tmp_path / "p-ball.nii.gz")
    before = scan.read_bytes()
    probability = ["--save-probability", tmp_path / "p.nii.gz"]
    done = hrseg("segment", scan, "--model", model, "-o", tmp_path / "o.nii.gz", *probability)
    assert (done.code, done.error.split('"')[2]) == (
        2,
        " is one of the inputs; choose another name or folder for the result.",
    )
    assert scan.read_bytes() == before
    done = hrseg("segment", scan, "--model", model, "-o", tmp_path / "p-cube.nii.gz", *probability)
    assert 'p-cube.nii.gz" would be written more than once' in done.error


def test_label_names_that_a_segmentation_cannot_hold(hrseg, tmp_path, image):
    path = write_model(tmp_path / "m.safetensors", labels=[*LABEL[:-1], replace(LABEL[-1], name="Würfel")])
    done = hrseg("segment", image, "--model", path, "-o", tmp_path / "o.seg.nrrd", "--report", tmp_path / "r.json")
    assert done.code == 2
    assert "The name 'Würfel' of label" in done.error
    assert not (tmp_path / "r.json").exists()


def test_too_little_memory(hrseg, tmp_path, model, image):
    done = hrseg("segment", image, "--model", model, "-o", tmp_path / "out.nii.gz", "--memory-budget", "0.001")
    assert done.code == 3
    assert "GiB" in done.error
    assert not (tmp_path / "out.nii.gz").exists()


def test_a_folder_that_does_not_exist(hrseg, tmp_path, model, image):
    done = hrseg("segment", image, "--model", model, "-o", tmp_path / "none" / "out.nii.gz")
    assert done.code == 4
    assert f'there is no folder "{tmp_path}/none"' in done.error


def test_debug_shows_where_an_error_came_from(hrseg, tmp_path, model):
    done = hrseg("segment", tmp_path / "none.nii", "--model", model, "-o", tmp_path / "out.nii.gz", "--debug")
    assert done.code == 2
    assert "Traceback" in done.err
    assert "plan_job" in done.err
    assert done.err.splitlines()[-1].startswith("Error: There is no file")


SLOW = """
import sys, time
from hrseg.cli import main
from hrseg.patch_based import method
from hrseg.windows import blended_slabs

def slow(volume, window, predict, **options):
    def wait(x):
        print("started", flush=True)
        time.sleep(0.2)
        return predict(x)
    return blended_slabs(volume, window, wait, **options)

method.blended_slabs = slow
main()
"""


def test_ctrl_c_ends_at_once_and_leaves_nothing(tmp_path, model, image):
    before = sorted(tmp_path.iterdir())
    arguments = ["segment", image, "--model", model, "-o", tmp_path / "out.nii.gz", "--report", tmp_path / "r.json"]
    core = Path(__file__).parents[3] / "HighResCore"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(core)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert err == "Error: Interrupted.\n"
    assert sorted(tmp_path.iterdir()) == before


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
