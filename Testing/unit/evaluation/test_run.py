import json

import numpy as np
import pytest
import torch

from hrseg.data_list import read_data_list
from hrseg.errors import InputError, OutputError
from hrseg.evaluation import run
from hrseg.image import LabelMap
from hrseg.methods import Result
from hrseg.model_file import load_header, load_model
from training_helpers import LABEL, scene, write_case, write_data, write_model

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
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure>") == 4
    assert all(role in page for role in ("Best", "Median", "Worst"))


def test_objects_are_counted_if_wanted(tmp_path, model, oracle):
    data = read_data_list(write_data(tmp_path))
    metrics = run.evaluate_model(model, data, "validation", tmp_path, CPU, count_objects=True)
    assert metrics["by_label"]["ball"]["object_f1"] == 1
    assert metrics["by_label"]["cube"]["object_f1"] == 0


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
