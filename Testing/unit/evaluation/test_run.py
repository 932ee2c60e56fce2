import json
import re

import numpy as np
import pytest
import torch

from hrseg.data_list import read_data_list
from hrseg.errors import InputError, OutputError
from hrseg.evaluation import run
from hrseg.geometry import Grid
from hrseg.image import LabelMap, read_image, read_label_map, write_image
from hrseg.methods import Result
from hrseg.model_file import load_header, load_model
from hrseg.prompts import RegionBox
from training_helpers import LABEL, LABELS, scene, write_case, write_data, write_list, write_model

CPU = torch.device("cpu")


class Oracle:
    """Finds the ball exactly, and never the cube. The second time it is slower."""

    def __init__(self, model):
        self.model = model
        self.seen = []

    def segment(self, image, options, conditions):
        self.seen.append(image.name)
        seed = int(image.name.removeprefix("case"))
        found = (scene(seed)[1] == 1).astype(np.uint8)
        again = self.seen.count(image.name) - 1
        return Result(
            LabelMap(found, image.grid), LABEL, seconds={"total": 2.0 + again}, peak_memory=(3 + again) * 2**20
        )


@pytest.fixture
def model(tmp_path):
    return load_model(write_model(tmp_path / "tiny.safetensors"))


@pytest.fixture
def oracle(monkeypatch, model):
    oracle = Oracle(model)
    monkeypatch.setattr(run, "method_of", lambda model: oracle)
    return oracle


def test_what_is_measured(tmp_path, model, oracle):
    rows = [write_case(tmp_path, f"case{n}", n) for n in range(4)]
    rows[3]["not_annotated"] = ["cube"]
    data = read_data_list(write_data(tmp_path, training=[], validation=[], test=rows))
    steps = []
    metrics = run.evaluate_model(model, data, "test", tmp_path / "new" / "out", CPU, lambda *args: steps.append(args))
    assert json.loads((tmp_path / "new/out/metrics.json").read_text()) == metrics
    assert metrics["model"] == {"name": "tiny", "method": "patch_based", "device": "cpu"}
    assert metrics["data"] == {"name": "balls", "split": "test"}
    assert metrics["mean"]["cases"] == 4
    assert metrics["mean"]["dice"] == pytest.approx((0.5 * 3 + 1) / 4)
    assert metrics["mean"]["hd95_mm"] == 0
    assert metrics["mean"]["hd95_undefined"] == 3
    assert (metrics["by_label"]["ball"]["dice"], metrics["by_label"]["ball"]["cases"]) == (1, 4)
    assert (metrics["by_label"]["cube"]["dice"], metrics["by_label"]["cube"]["cases"]) == (0, 3)
    assert [case["name"] for case in metrics["cases"]] == ["case0", "case1", "case2", "case3"]
    assert [set(case["labels"]) for case in metrics["cases"]] == [{"ball", "cube"}] * 3 + [{"ball"}]
    assert "object_f1" not in metrics["cases"][0]["labels"]["ball"]
    assert (steps[0], steps[-1]) == (("checking", 0, 4), ("cases", 4, 4))


def test_seconds_and_memory_are_of_the_first_time(tmp_path, model, oracle):
    """Three cases are segmented again for the pictures."""
    rows = [write_case(tmp_path, f"case{n}", n) for n in range(4)]
    metrics = run.evaluate_model(
        model, read_data_list(write_data(tmp_path, test=rows[1:], training=rows[:1])), "test", tmp_path, CPU
    )
    assert len(oracle.seen) == 6
    assert [(case["seconds"], case["peak_memory_mib"]) for case in metrics["cases"]] == [({"total": 2.0}, 3.0)] * 3
    assert metrics["cost"] == {"seconds_mean": 2.0, "peak_memory_mib_max": 3.0}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 4
    assert all(role in page for role in ("Best", "Median", "Worst"))


def test_objects_are_counted_if_wanted(tmp_path, model, oracle):
    data = read_data_list(write_data(tmp_path))
    metrics = run.evaluate_model(model, data, "validation", tmp_path, CPU, count_objects=True)
    assert metrics["by_label"]["ball"]["object_f1"] == 1
    assert metrics["by_label"]["cube"]["object_f1"] == 0


class Counter:
    """Finds a square and a bar that touch at a corner, and may number them by boxes."""

    def __init__(self, model, takes_boxes, boxes):
        self.model = model
        self.takes_boxes = takes_boxes
        self.boxes = [RegionBox(np.zeros(3), np.ones(3), np.eye(3))] * boxes

    makes_finer = any_spacing = False

    def segment(self, image, options, conditions):
        instances = np.zeros(image.grid.shape, np.uint16)
        instances[0, 2:5, 2:5] = 1
        instances[0, 5:7, 5:9] = 2
        return Result(
            LabelMap((instances > 0).astype(np.uint8), image.grid),
            LABEL[:1],
            boxes=self.boxes,
            instances=instances if options.instances else None,
        )


@pytest.fixture
def nuclei(tmp_path):
    """Three objects of 9, 8 and 4 pixels, numbered, in one 2D image; a model for them."""
    truth = np.zeros((1, 12, 12), np.uint16)
    truth[0, 2:5, 2:5], truth[0, 5:7, 5:9], truth[0, 10:, 10:] = 300, 7, 8
    for name, array in (("image", np.arange(144, dtype=np.uint8).reshape(1, 12, 12)), ("truth", truth)):
        write_image(tmp_path / f"{name}.nrrd", array, Grid.from_spacing(array.shape))
    row = {"image": "image.nrrd", "label": "truth.nrrd"}
    content = {"name": "nuclei", "labels": {"1": "ball"}, "label_above": 0, "test": [row]}
    path = write_model(
        tmp_path / "nuclei.safetensors",
        labels=LABEL[:1],
        dimension=2,
        preprocessing={"intensity": {"kind": "window", "low": 0, "high": 200}},
        inference={"window": [16, 16]},
    )
    return load_model(path), write_list(tmp_path, content)


@pytest.mark.parametrize(
    ("takes_boxes", "boxes", "ap50", "f1"),
    [
        # Two of three are matched.
        (True, 2, 2 / 3, 4 / 5),
        # One component of 17 pixels shares 9 with the first object, which is more than half: one match of 3 and 1.
        (False, 0, 1 / 3, 2 / 4),
        # So it is where all was left to the coarse network.
        (True, 0, 1 / 3, 2 / 4),
    ],
)
def test_instances(tmp_path, monkeypatch, nuclei, takes_boxes, boxes, ap50, f1):
    model, data = nuclei
    monkeypatch.setattr(run, "method_of", lambda model: Counter(model, takes_boxes, boxes))
    metrics = run.evaluate_model(model, read_data_list(data), "test", tmp_path / "out", CPU, instances=True)
    assert metrics["mean"]["instance_ap50"] == pytest.approx(ap50)
    assert metrics["cases"][0]["labels"]["ball"]["instance_f1"] == pytest.approx(f1)
    assert metrics["cases"][0]["labels"]["ball"]["instances_truth"] == 3
    metrics = run.evaluate_model(model, read_data_list(data), "test", tmp_path / "out", CPU)
    assert "instance_ap50" not in metrics["mean"]


@pytest.mark.parametrize("label_size", [None, [8, 8], [48, 48]])
@pytest.mark.parametrize(("takes_boxes", "ap50"), [(True, 2 / 3), (False, 1 / 3)])
def test_instances_where_the_truth_is_finer(tmp_path, monkeypatch, nuclei, takes_boxes, ap50, label_size):
    """Also where the label maps are brought to another size: instances are matched as they were drawn."""
    model, path = nuclei
    truth = read_label_map(tmp_path / "truth.nrrd").array.repeat(2, 1).repeat(2, 2)
    content = json.loads(path.read_text())
    row = content["test"][0]
    if label_size:
        row |= {"image": "image.png", "label": "truth.png"}
        content["label_size"] = label_size
        write_image(
            tmp_path / "image.png", read_image(tmp_path / "image.nrrd").array[0], Grid.from_spacing((1, 12, 12))
        )
    grid = Grid.from_spacing((1, 12, 12)).resized(truth.shape)
    write_image(tmp_path / row["label"], truth, grid)
    monkeypatch.setattr(run, "method_of", lambda model: Counter(model, takes_boxes, 2 * takes_boxes))
    data = read_data_list(write_list(tmp_path, content))
    metrics = run.evaluate_model(model, data, "test", tmp_path / "out", CPU, instances=True)
    assert metrics["mean"]["instance_ap50"] == pytest.approx(ap50)


def test_instances_need_a_model_with_one_label(tmp_path, model, oracle):
    data = read_data_list(write_data(tmp_path))
    with pytest.raises(InputError, match='The model "tiny" has 2 labels; instances can be matched for one label only'):
        run.evaluate_model(model, data, "test", tmp_path / "out", CPU, instances=True)


def test_instances_need_a_list_that_numbers_them(tmp_path, nuclei):
    model, path = nuclei
    content = json.loads(path.read_text()) | {"label_above": None, "labels": {"7": "ball", "8": "b", "300": "c"}}
    data = read_data_list(write_list(tmp_path, content))
    with pytest.raises(InputError, match=r'(?s)"nuclei" cannot be used.*case "image".*has no instances'):
        run.evaluate_model(model, data, "test", tmp_path / "out", CPU, instances=True)


def test_a_real_model(tmp_path, model):
    metrics = run.evaluate_model(model, read_data_list(write_data(tmp_path)), "validation", tmp_path, CPU)
    (case,) = metrics["cases"]
    assert {"preparing", "inference", "total"} <= set(case["seconds"])
    assert case["peak_memory_mib"] > 0


def test_bad_cases_are_reported_together_before_any_work(tmp_path, model, oracle):
    path = write_data(tmp_path)
    (tmp_path / "case20.nii").write_text("no image")
    (tmp_path / "case21-labels.nii").write_text("no labels")
    with pytest.raises(InputError, match=r'(?s)case "case20": Cannot read .* case "case21": Cannot read'):
        run.evaluate_model(model, read_data_list(path), "test", tmp_path / "out", CPU)
    assert oracle.seen == []
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(tmp_path, model):
    with pytest.raises(OutputError, match="Cannot make the folder"):
        run.evaluate_model(
            model, read_data_list(write_data(tmp_path)), "validation", tmp_path / "list.json" / "out", CPU
        )


def test_pictures_are_measured_in_pixels(tmp_path, monkeypatch):
    """Whatever resolution for printing a file names. Here the masks, too, are such files."""

    class Shifted(Oracle):
        def segment(self, image, options, conditions):
            found = np.zeros(image.grid.shape, np.uint8)
            found[0, 2:6, 5:9] = 1
            return Result(LabelMap(found, image.grid), LABEL)

    truth = np.zeros((1, 10, 12), np.uint8)
    truth[0, 2:6, 2:6] = 1
    printed = Grid.from_spacing(truth.shape, 0.25)
    write_image(tmp_path / "a.png", truth * 200, printed)
    write_image(tmp_path / "a-mask.png", truth, printed)
    assert read_image(tmp_path / "a.png").grid.spacing[1] == pytest.approx(0.25)
    row = {"image": "a.png", "label": "a-mask.png", "not_annotated": ["cube"]}
    monkeypatch.setattr(run, "method_of", Shifted)
    flat = {"dimension": 2, "preprocessing": {"intensity": {"kind": "window", "low": 0, "high": 200}}}
    model = load_model(write_model(tmp_path / "flat.safetensors", inference={"window": [16, 16]}, **flat))
    data = read_data_list(write_list(tmp_path, {"name": "p", "labels": LABELS, "test": [row]}))
    metrics = run.evaluate_model(model, data, "test", tmp_path, CPU, count_objects=True)
    assert metrics["data"]["unit"] == "pixels"
    scores = metrics["cases"][0]["labels"]["ball"]
    assert scores["truth_ml"] == 0.016
    assert scores["hd95_mm"] == 3
    assert scores["objects"][0]["diameter_mm"] == pytest.approx(2 * (16 / np.pi) ** 0.5)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "HD95 (pixels)" in page
    assert "|Area error| (1000 pixels)" in page
    assert "mm" not in re.sub(r"data:image[^\"]*|<style>.*</style>", "", page, flags=re.DOTALL)


def test_gates_of_methods_that_have_them(tmp_path, model, monkeypatch):
    class Gating(Oracle):
        paths = ["1", "3"]

        def lesion_gates(self, image, truth):
            number = int(image.name.removeprefix("case"))
            return [(10.0 + number, [0.25, 0.12345]), (2.0, [0.5, 0.75])]

    monkeypatch.setattr(run, "method_of", Gating)
    metrics = run.evaluate_model(model, read_data_list(write_data(tmp_path)), "test", tmp_path, CPU)
    assert metrics["model"]["paths"] == ["1", "3"]
    assert metrics["cases"][0]["gates"] == [
        {"diameter": 30.0, "gates": [0.25, 0.1235]},
        {"diameter": 2.0, "gates": [0.5, 0.75]},
    ]
    assert "Is scale awareness learned?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_means_are_recorded_in_the_model(tmp_path, model, oracle):
    path = tmp_path / "tiny.safetensors"
    before = load_header(path)
    data = read_data_list(write_data(tmp_path))
    metrics = run.evaluate_model(model, data, "test", tmp_path, CPU)
    run.record_metrics(path, "validation", metrics)
    run.record_metrics(path, "test", metrics)
    after = load_model(path)
    recorded = after.header.training.metrics
    assert recorded["test"] == recorded["validation"]
    assert recorded["test"] == {
        "cases": 2,
        "dice": 0.5,
        "surface_dice": 0.5,
        "hd95_mm": 0.0,
        "by_label": {"ball": {"dice": 1.0, "hd95_mm": 0.0}, "cube": {"dice": 0.0}},
    }
    unchanged = after.header.model_copy(update={"training": before.training})
    assert unchanged == before
    for name, value in after.network.state_dict().items():
        assert torch.equal(value, model.network.state_dict()[name])
