import json

import numpy as np
import pytest

from hrseg.errors import InputError, OutOfMemory, OutputError
from hrseg.image import read_image, read_label_map, write_image
from hrseg.methods import method_of
from hrseg.model_file import load_model
from hrseg.runtime import Run
from hrseg.segment_file import Job, plan_jobs, segment_file
from image_helpers import grid
from training_helpers import LABEL, scene, write_model


@pytest.fixture(scope="module")
def method(tmp_path_factory):
    return method_of(load_model(write_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")))


@pytest.fixture
def image(tmp_path):
    write_image(tmp_path / "scan.nii.gz", scene(0)[0], grid("oblique", (20, 20, 20)))
    return tmp_path / "scan.nii.gz"


def test_result_and_report(tmp_path, method, image):
    job = Job(image, tmp_path / "out.nii.gz", tmp_path / "out.json")
    content = segment_file(job, method, Run())
    assert json.loads(job.report.read_text()) == content
    found = read_label_map(job.output)
    assert found.grid.matches(read_image(image).grid)
    counts = np.bincount(found.array.ravel(), minlength=3)
    milliliters = counts * 0.3 * 0.4 * 5 / 1000
    assert content["labels"] == [
        {"value": 1, "name": "ball", "voxels": counts[1], "millilitres": round(milliliters[1], 4)},
        {"value": 2, "name": "cube", "voxels": counts[2], "millilitres": round(milliliters[2], 4)},
    ]
    assert content["output_grid"] == {"shape": [20, 20, 20], "spacing": [0.3, 0.4, 5.0]}
    assert (content["image"], content["model"], content["method"]) == (str(image), "tiny", "patch_based")
    assert (content["device"], content["notices"]) == ("cpu", [])
    seconds = content["seconds"]
    assert {"reading", "preparing", "inference", "writing", "total"} <= set(seconds)
    assert seconds["total"] == pytest.approx(sum(seconds.values()) - seconds["total"], abs=0.01)
    assert content["peak_memory_mib"] > 0
    assert content["stage_memory_mib"]["inference"] <= content["peak_memory_mib"]


def test_probabilities_are_one_file_per_label(tmp_path, method, image):
    job = Job(image, tmp_path / "out.seg.nrrd", probability=tmp_path / "p.v1.nii.gz")
    segment_file(job, method, Run())
    ball, cube = (read_image(tmp_path / f"p.v1-{label.name}.nii.gz") for label in LABEL)
    assert ball.grid.matches(read_image(image).grid)
    assert 0 <= ball.array.min() < ball.array.max() <= 1
    labels = read_label_map(job.output).array
    likelier = np.stack([1 - ball.array[0] - cube.array[0], ball.array[0], cube.array[0]]).argmax(0)
    assert (labels == likelier).mean() > 0.999
    assert not job.probability.exists()


def test_a_single_label_keeps_the_name(tmp_path, image):
    path = write_model(tmp_path / "one.safetensors", labels=LABEL[:1])
    job = Job(image, tmp_path / "out.nrrd", probability=tmp_path / "p.nrrd")
    segment_file(job, method_of(load_model(path)), Run())
    assert read_image(job.probability).array.shape == (1, 20, 20, 20)


def test_label_names_cannot_leave_the_folder(tmp_path, image):
    labels = [LABEL[0], type(LABEL[1])(2, "../../é / b", (0, 0, 0))]
    path = write_model(tmp_path / "two.safetensors", labels=labels)
    segment_file(Job(image, tmp_path / "out.nrrd", probability=tmp_path / "p.nrrd"), method_of(load_model(path)), Run())
    assert {file.name for file in tmp_path.glob("p*")} == {"p-ball.nrrd", "p--é-b.nrrd"}


def test_nothing_is_left_when_memory_does_not_suffice(tmp_path, method, image):
    with pytest.raises(OutOfMemory):
        segment_file(Job(image, tmp_path / "out.nii.gz", tmp_path / "r.json"), method, Run(memory_budget=1000))
    assert list(tmp_path.iterdir()) == [image]


# ---- what is planned ----


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_one_image_to_one_file(tmp_path):
    (image,) = files(tmp_path, "a.nii")
    job = Job(image, tmp_path / "b.seg.nrrd", tmp_path / "report.txt", tmp_path / "p.mha")
    assert plan_jobs([image], job.output, report=job.report, probability=job.probability) == [job]


def test_several_images_to_folders(tmp_path):
    images = files(tmp_path, "a.1.nii.gz", "a.2.nii.gz", "dicom/slice")
    images[2] = images[2].parent
    out = tmp_path / "made" / "here"
    jobs = plan_jobs(images, out, report=out, probability=out)
    assert jobs[0] == Job(images[0], out / "a.1.nii.gz", out / "a.1.json", out / "a.1-probability.nii.gz")
    assert [job.output.name for job in jobs] == ["a.1.nii.gz", "a.2.nii.gz", "dicom.nii.gz"]
    assert out.is_dir()


def test_one_image_to_a_folder_that_exists(tmp_path):
    (image,) = files(tmp_path, "in/a.png")
    assert plan_jobs([image], tmp_path) == [Job(image, tmp_path / "a.nii.gz")]


@pytest.mark.parametrize(
    ("images", "output", "options", "message"),
    [
        (["none.nii"], "o.nii", {}, 'There is no file ".*none.nii"; check the path'),
        (["a.nii"], "o.png", {}, r'Cannot write "o.png": the name must end in one of .seg.nrrd'),
        (["a.nii"], "o.json", {}, 'Cannot write "o.json"'),
        (["a.nii"], "o.nii", {"probability": "p.png"}, 'Cannot write "p.png"'),
        (["a.nii"], "a.nii", {}, 'a.nii" is one of the images; choose another name or folder'),
        (["a.nii.gz", "b.nii"], ".", {}, 'a.nii.gz" is one of the images'),
        (["a.nii"], "o.nii", {"probability": "o.nii"}, "would be written more than once"),
        (["a.nii"], "o.nii", {"report": "x/../o.nii"}, "would be written more than once"),
        (["a.nii", "x/a.nii"], "out", {}, "would be written more than once"),
        (["a.nii", "b.nii"], "o.nii.gz", {}, 'With several images ".*o.nii.gz" must be a folder'),
        (["a.nii", "b.nii"], "out", {"report": "r.json"}, 'With several images ".*r.json" must be a folder'),
    ],
)
def test_plans_that_cannot_work(tmp_path, images, output, options, message):
    files(tmp_path, "a.nii", "b.nii", "x/a.nii", "a.nii.gz")
    options = {key: tmp_path / name for key, name in options.items()}
    with pytest.raises(InputError, match=message):
        plan_jobs([tmp_path / name for name in images], tmp_path / output, **options)


@pytest.mark.parametrize("role", ["output", "report", "probability"])
def test_folders_are_tried_first(tmp_path, role):
    (image,) = files(tmp_path, "a.nii")
    paths = {"output": tmp_path / "o.nii", role: tmp_path / "none" / "x.nii"}
    with pytest.raises(OutputError, match=r'Cannot write ".*x.nii": there is no folder ".*none"'):
        plan_jobs([image], paths.pop("output"), **paths)


def test_a_folder_in_the_place_of_a_file(tmp_path):
    images = files(tmp_path, "a.nii", "b.nii")
    with pytest.raises(OutputError, match="Cannot make the folder"):
        plan_jobs(images, files(tmp_path, "out")[0])
