import json

import pytest

from hrseg.model_file import load_header
from training_helpers import LABEL, write_data, write_list, write_model


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path)


def test_evaluating_and_recording(hrseg, tmp_path, data):
    model = write_model(tmp_path / "tiny.safetensors")
    done = hrseg("evaluate", "--model", model, "--data", data, "-o", tmp_path / "[r]", "--record", "--count-objects")
    assert (done.code, done.err) == (0, "")
    assert f"Report: {tmp_path}/[r]/report.html\n" in done.out
    assert "│ cube " in done.out
    metrics = json.loads((tmp_path / "[r]" / "metrics.json").read_text())
    assert metrics["data"] == {"name": "balls", "split": "test"}
    assert "object_f1" in metrics["by_label"]["ball"]
    assert load_header(model).training.metrics["test"]["dice"] == round(metrics["mean"]["dice"], 4)


def test_instances(hrseg, tmp_path, data):
    model = write_model(tmp_path / "one.safetensors", labels=LABEL[:1])
    content = json.loads(data.read_text()) | {"labels": {"1": "ball"}, "label_above": 0}
    write_list(tmp_path, content)
    done = hrseg("evaluate", "--model", model, "--data", data, "-o", tmp_path / "r", "--instances")
    assert done.code == 0
    assert "AP50" in done.out
    scores = json.loads((tmp_path / "r" / "metrics.json").read_text())["cases"][0]["labels"]["ball"]
    assert scores["instances_truth"] == 2


def test_without_record_the_model_stays(hrseg, tmp_path, data, model):
    before = model.read_bytes()
    done = hrseg("evaluate", "--model", model, "--data", data, "-o", tmp_path / "r", "--split", "validation")
    assert done.code == 0
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"--split": "tset"}, 2, 'has no cases with labels in "tset"; it has training (3), validation (1), test (2)'),
        ({"--data": "none.json"}, 2, 'Cannot read the data list "none.json"'),
        ({"--output": "{}/list.json/r"}, 4, "Cannot make the folder"),
        ({"--model": "magic"}, 2, 'There is no model "magic"'),
    ],
)
def test_what_cannot_be_evaluated(hrseg, tmp_path, data, model, arguments, code, message):
    options = {"--model": model, "--data": data, "--output": tmp_path / "r", **arguments}
    done = hrseg("evaluate", *(str(word).format(tmp_path) for pair in options.items() for word in pair))
    assert done.code == code
    assert message in done.error


def write_metrics(path, **dice):
    cases = [{"name": name, "labels": {"ball": {"dice": value}}} for name, value in dice.items()]
    path.write_text(json.dumps({"cases": cases}))
    return path


def test_comparing(hrseg, tmp_path):
    a = write_metrics(tmp_path / "a.json", one=0.5, two=0.6, three=0.7)
    b = write_metrics(tmp_path / "b.json", one=0.6, two=0.7, three=0.8)
    content = json.loads(hrseg("compare", a, b, "--json").out)
    assert content["overall"]["difference"] == pytest.approx(0.1)
    done = hrseg("compare", a, b)
    assert done.code == 0
    assert "+0.1000" in done.out
    assert "100 %" in done.out


def test_what_cannot_be_compared(hrseg, tmp_path):
    a = write_metrics(tmp_path / "a.json", one=0.5)
    assert hrseg("compare", a, tmp_path / "none.json").code == 2
    assert 'There is no metric "beauty"' in hrseg("compare", a, a, "--metric", "beauty").error
    assert hrseg("compare", a, a, "--samples", "1").code == 2
