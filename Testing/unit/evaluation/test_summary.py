import json
import math

import pytest

from hrseg.errors import InputError, OutputError
from hrseg.evaluation.summary import case_mean, read_metrics, size_terciles, summarise, unit_of, write_metrics


def case(name, seconds=1.0, memory=100.0, **dice):
    labels = {label: {"dice": d, "hd95_mm": 10 * (1 - d) if d else None} for label, d in dice.items()}
    return {
        "name": name,
        "image": f"{name}.nii.gz",
        "labels": labels,
        "seconds": {"total": seconds},
        "peak_memory_mib": memory,
    }


def test_mean_over_cases_of_the_mean_over_labels():
    summary = summarise([case("a", liver=0.9, tumour=0.5), case("b", liver=0.8, seconds=4.0, memory=300.0)])
    assert summary["mean"]["dice"] == pytest.approx((0.7 + 0.8) / 2)
    assert summary["std"]["dice"] == pytest.approx(0.1 / math.sqrt(2))
    assert summary["mean"]["cases"] == 2
    assert summary["by_label"]["liver"]["dice"] == pytest.approx(0.85)
    assert summary["by_label"]["liver"]["dice_std"] == pytest.approx(0.1 / math.sqrt(2))
    assert summary["by_label"]["tumour"] == {
        "cases": 1, "hd95_undefined": 0, "dice": 0.5, "dice_std": None, "hd95_mm": 5.0, "hd95_mm_std": None
    }  # fmt: skip
    assert summary["cost"] == {"seconds_mean": 2.5, "peak_memory_mib_max": 300.0}


def test_an_undefined_distance_is_counted_and_left_out():
    summary = summarise([case("a", liver=0.9), case("b", liver=0.0)])
    assert summary["mean"]["hd95_mm"] == pytest.approx(1.0)
    assert summary["mean"]["hd95_undefined"] == summary["by_label"]["liver"]["hd95_undefined"] == 1
    assert summary["mean"]["dice"] == pytest.approx(0.45)


def test_a_label_that_is_not_annotated_changes_nothing():
    missing = {"dice": None, "hd95_mm": None}
    with_gap = case("a", liver=0.9)
    with_gap["labels"]["spleen"] = missing
    summary = summarise([with_gap, case("b", liver=0.8, spleen=0.6)])
    assert summary["mean"]["dice"] == pytest.approx((0.9 + 0.7) / 2)
    assert summary["mean"]["hd95_undefined"] == 0
    assert summary["by_label"]["spleen"]["cases"] == 1


def test_errors_of_opposite_sign_do_not_cancel():
    cases = [
        {"name": n, "labels": {"liver": {"dice": 1.0, "volume_error_percent": v}}}
        for n, v in (("a", 10.0), ("b", -20.0))
    ]
    summary = summarise(cases)
    assert summary["mean"]["volume_error_percent"] == pytest.approx(15)
    assert summary["mean"]["hd95_undefined"] == 0  # nobody measured it
    assert summary["cost"] == {"seconds_mean": None, "peak_memory_mib_max": None}


def test_case_mean_of_named_labels():
    assert case_mean(case("a", liver=0.9, tumour=0.5), "dice", ["tumour"]) == 0.5
    assert case_mean(case("a"), "dice") is None


def test_written_and_read_back(tmp_path):
    path = tmp_path / "metrics.json"
    written = write_metrics(path, {"name": "Größe"}, {"name": "test"}, [case("a", liver=0.9)])
    assert read_metrics(path) == written
    assert written["mean"]["dice"] == pytest.approx(0.9)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "metrics.json"
    write_metrics(path, {}, {}, [case("a", liver=0.9)])
    with pytest.raises(ValueError, match="JSON"):
        write_metrics(path, {}, {}, [case("a", liver=math.nan)])
    assert read_metrics(path)["cases"][0]["labels"]["liver"]["dice"] == 0.9


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(OutputError, match="no folder"):
        write_metrics(tmp_path / "none" / "metrics.json", {}, {}, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", 'no list "cases"'),
        ('{"cases": 3}', 'no list "cases"'),
        ('{"cases": [{}]}', "a name and labels"),
    ],
)
def test_files_that_are_no_metrics(tmp_path, text, words):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_metrics(path)


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not JSON"):
        read_metrics(tmp_path / "x.json")
    with pytest.raises(InputError, match=r"none\.json"):
        read_metrics(tmp_path / "none.json")


def test_the_file_is_plain_json(tmp_path):
    write_metrics(tmp_path / "m.json", {"name": "M"}, {}, [])
    assert json.loads((tmp_path / "m.json").read_text())["mean"] == {"cases": 0, "hd95_undefined": 0}


def sized(name, **sizes):
    return {"name": name, "labels": {label: {"dice": 1.0, "truth_ml": size} for label, size in sizes.items()}}


def test_thirds_by_true_size():
    cases = [
        sized("a", liver=5),
        sized("b", liver=0.5, tumour=0.5),
        sized("c", tumour=3),
        sized("d", liver=2, tumour=None),
    ]
    names, limits = size_terciles(cases)
    assert names == {"a": "large", "b": "small", "c": "medium", "d": "small"}
    assert limits == (2, 3)


def test_thirds_need_sizes():
    with pytest.raises(InputError, match=r'case "a" do not tell the true size \(truth_ml\)'):
        size_terciles([case("a", liver=0.5)])


@pytest.mark.parametrize(
    ("data", "image", "unit"),
    [
        ({}, "a.JPG", "pixels"),
        ({}, "a.nii.gz", "mm"),
        ({"unit": "pixels"}, "", "pixels"),
        ({"unit": "mm"}, "a.png", "mm"),
    ],
)
def test_unit_of_lengths(data, image, unit):
    assert unit_of({"data": data, "cases": [{"name": "a", "image": image}]}) == unit
    assert unit_of({"data": data, "cases": []}) == data.get("unit", "mm")
