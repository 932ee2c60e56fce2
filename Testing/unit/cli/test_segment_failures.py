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

from hrseg.geometry import Grid
from hrseg.image import write_image
from training_helpers import LABEL, SIDE, scene, write_model


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
