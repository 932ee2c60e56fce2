import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from hrseg.errors import InputError, OutOfMemory
from hrseg.geometry import Grid
from hrseg.image import LabelMap, read_image, read_label_map, write_image
from hrseg.memory import MIB
from hrseg.methods import Result, method_of
from hrseg.model_file import load_model
from hrseg.prompts import RegionBox, read_boxes, write_boxes
from hrseg.runtime import Run
from hrseg.segment_file import report_of, segment_file
from hrseg.segment_job import Job
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


@pytest.mark.parametrize("shape", [(32, 512, 1024), (1, 4096, 4096)])
def test_a_report_needs_little_memory(method, image, shape):
    """It comes when all else is done."""
    array = np.zeros(shape, np.uint8)
    array[:, :2, :3] = 1
    array[-1, -1] = 2
    result = Result(LabelMap(array, Grid.from_spacing(shape)), LABEL)
    tracemalloc.start()
    content = report_of(image, method, result, Run(), 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [label["voxels"] for label in content["labels"]] == [6 * shape[0], shape[2]]
    assert peak < 16 * MIB


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


# ---- boxes ----

BOX = RegionBox(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), np.eye(3), "lesion")


class BoxMethod:
    """Returns the boxes that it is given, and one of its own where it may; keeps the options."""

    name = "by_hand"
    takes_boxes = True

    def __init__(self, model):
        self.model = model

    def forecast(self, image, options, device):
        return 0

    def segment(self, image, options, run):
        self.options = options
        own = [RegionBox(np.full(3, 1 / 3), np.ones(3), np.eye(3), "own")] if options.propose else []
        found = np.zeros(image.grid.shape, np.uint8)
        found[0, 0] = 1
        instances = found * np.uint16(700) if options.instances else None
        return Result(
            LabelMap(found, image.grid), LABEL, boxes=[*options.boxes, *own], instances=instances, notices=["Hm."]
        )


@pytest.fixture
def by_hand(method):
    return BoxMethod(method.model)


@pytest.fixture
def boxes(tmp_path):
    write_boxes(tmp_path / "boxes.mrk.json", [BOX])
    return tmp_path / "boxes.mrk.json"


def test_boxes_and_instances_are_written(tmp_path, by_hand, image):
    job = Job(image, tmp_path / "o.nii", save_boxes=tmp_path / "b.mrk.json", instances=tmp_path / "i.nii.gz")
    content = segment_file(job, by_hand, Run())
    own = {"name": "own", "center": [0.333333] * 3, "size": [1.0] * 3, "axes": np.eye(3).tolist()}
    assert content["boxes"] == [own]
    assert content["notices"] == ["Hm."]
    (saved,) = read_boxes(job.save_boxes, read_image(image).grid)
    assert saved.name == "own"
    assert np.allclose(saved.center, 1 / 3)
    instances = read_image(job.instances)
    assert instances.array.dtype == np.uint16
    assert instances.grid.matches(read_image(image).grid)
    assert (instances.array[0, 0, 0] == 700).all()
    assert instances.array[0, 1:].max() == 0


def test_drawn_boxes_count_alone_unless_the_model_may_propose(tmp_path, by_hand, image, boxes):
    job = Job(image, tmp_path / "o.nii", boxes=(boxes,))
    names = [box["name"] for box in segment_file(job, by_hand, Run())["boxes"]]
    assert names == ["lesion"]
    assert np.allclose(by_hand.options.boxes[0].center, BOX.center)
    assert not by_hand.options.instances
    names = [box["name"] for box in segment_file(replace(job, propose=True), by_hand, Run())["boxes"]]
    assert names == ["lesion", "own"]
    segment_file(replace(job, boxes=()), by_hand, Run())
    assert by_hand.options.propose


def test_boxes_in_the_report_can_be_read_again(tmp_path, by_hand, image):
    turned = RegionBox(BOX.center, BOX.size, grid("oblique").affine[:3, :3] / (0.3, 0.4, 5.0), "turned")
    write_boxes(tmp_path / "in.json", [turned])
    content = segment_file(Job(image, tmp_path / "o.nii", boxes=(tmp_path / "in.json",)), by_hand, Run())
    (tmp_path / "again.json").write_text(json.dumps(content["boxes"]))
    (again,) = read_boxes(tmp_path / "again.json", grid())
    assert np.allclose(again.axes, turned.axes, atol=1e-5)
    assert np.allclose(again.center, turned.center)


@pytest.mark.parametrize("name", ["boxes", "propose", "save_boxes", "instances"])
def test_methods_without_boxes_say_so(tmp_path, method, image, name):
    value = True if name == "propose" else tmp_path / "x.json"
    message = 'The method "patch_based" of the model "tiny" takes no boxes; use a crop cascade model.'
    with pytest.raises(InputError, match=message):
        segment_file(Job(image, tmp_path / "o.nii", **{name: value}), method, Run())
    assert list(tmp_path.iterdir()) == [image]


def test_a_report_without_boxes_where_there_cannot_be_any(tmp_path, method, image):
    assert "boxes" not in segment_file(Job(image, tmp_path / "o.nii"), method, Run())
