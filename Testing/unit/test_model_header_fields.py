"""What the header of a model must say, in itself and for its method."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hrseg.labels import Label
from hrseg.model_file import Intensity, Preprocessing, load_header
from model_helpers import edited, refusal, tiny_file, tiny_header


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny_file(tmp_path / "tiny.safetensors")


# ---- the header ----


def test_files_from_before_limitations(file: Path) -> None:
    """The header once had no such key; the format is the same."""
    assert load_header(edited(file, lambda header: header.pop("limitations"))).limitations == []
    assert load_header(edited(file, lambda header: header.update(limitations=["None."]))).limitations == ["None."]
    assert "limitations" in refusal(edited(file, lambda header: header.update(limitations="none")))
    assert "limitations.0" in refusal(edited(file, lambda header: header.update(limitations=["x" * 401])))


def test_optional_parts_may_be_left_out(file: Path) -> None:
    edited(file, lambda header: [header.pop(key) for key in ("title", "training", "licence", "created_with")])
    assert load_header(file).title == ""


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("dimension", 4, "dimension"),
        ("dimension", "3", "dimension"),
        ("channels", [], "channels"),
        ("channels", "CT", "channels"),
        ("labels", [], "labels"),
        ("labels", [{"value": 2, "name": "a", "color": [1, 2, 3]}], "in order"),
        ("labels", [{"value": 1, "name": "", "color": [1, 2, 3]}], "not empty"),
        ("labels", [{"value": 1, "name": "a", "color": [1, 2, 256]}], "0 to 255"),
        ("labels", [{"value": 1, "name": "a", "color": [1, 2]}], "labels.0.color"),
        ("labels", [{"value": n, "name": "a", "color": [1, 2, 3]} for n in (1, 2)], "different"),
        ("preprocessing", None, "preprocessing"),
        ("preprocessing", {"intensity": {"kind": "window"}}, "a window needs low and high"),
        ("preprocessing", {"intensity": {"kind": "window", "low": 3, "high": 3}}, "low 3.0 must be below high 3.0"),
        ("preprocessing", {"intensity": {"kind": "percentile", "low": -1, "high": 99}}, "must be 0 to 100"),
        ("preprocessing", {"intensity": {"kind": "log"}}, "preprocessing.intensity.kind"),
        ("preprocessing", {"intensity": {"kind": "zscore"}, "orientation": "LLS"}, 'orientation "LLS"'),
        ("preprocessing", {"intensity": {"kind": "zscore"}, "spacing": [1, 1]}, "preprocessing.spacing"),
        ("preprocessing", {"intensity": {"kind": "zscore"}, "spacing": [1, 1, 0]}, "preprocessing.spacing.2"),
        ("preprocessing", {"intensity": {"kind": "zscore"}, "spacing": [1, 1, math.inf]}, "preprocessing.spacing.2"),
        ("preprocessing", {"intensity": {"kind": "zscore"}, "subject_above": math.nan}, "preprocessing.subject_above"),
        ("network", [], "network"),
        ("typing_mistake", 1, "typing_mistake"),
        ("title", "a" * 5000, ""),
    ],
)
def test_header_that_does_not_fit(place: str, value: Any, words: str, file: Path) -> None:
    edited(file, lambda header: header.update({place: value}))
    if place == "title":
        assert load_header(file).title == value
        return
    text = refusal(file)
    assert text.startswith(f'The header of the model "{file}" is not valid: ')
    assert words in text


@pytest.mark.parametrize("key", ["name", "method", "dimension", "channels", "labels", "preprocessing", "network"])
def test_missing_part(key: str, file: Path) -> None:
    edited(file, lambda header: header.pop(key))
    assert key in refusal(file)


def test_2d_models_have_no_orientation() -> None:
    preprocessing = Preprocessing(orientation="LPS", intensity=Intensity(kind="zscore"))
    with pytest.raises(ValidationError, match="2D model"):
        tiny_header(dimension=2, preprocessing=preprocessing)


def test_classes_count_the_background() -> None:
    assert tiny_header().classes == 3
    assert tiny_header(labels=[Label(n, f"label {n}", (0, 0, 0)) for n in range(1, 255)]).classes == 255
    with pytest.raises(ValidationError):
        tiny_header(labels=[Label(n, f"label {n}", (0, 0, 0)) for n in range(1, 256)])


# ---- the method and its settings ----


def test_unknown_method(file: Path) -> None:
    edited(file, lambda header: header.update(method="magic"))
    text = refusal(file)
    assert 'The method "magic" is unknown' in text
    assert "patch_based" in text


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("network", {"widths": "wide"}, "widths"),
        ("network", {"widths": [2, "wide"]}, "widths.1"),
        ("network", {"widths": [2]}, "widths"),
        ("network", {"widths": [2, -3]}, "widths.1"),
        ("network", {"widths": [2, 10**9]}, "widths.1"),
        ("network", {"widths": [2, 3], "strides": [[2, 2]]}, "strides"),
        ("network", {"widths": [2, 3], "strides": []}, "strides"),
        ("network", {"widths": [2, 3], "strides": [[2, 2, 3]]}, "strides.0.2"),
        ("network", {"depth": 2}, "depth"),
        ("inference", {}, "window"),
        ("inference", {"window": [8, 8]}, "3 sides"),
        ("inference", {"window": [8, 8, 9]}, "multiples of [2, 2, 2]"),
        ("inference", {"window": [8, 8, 10**9]}, "window.2"),
        ("inference", {"window": [1024, 1024, 1024]}, "2^28"),
        ("inference", {"window": [8, 8, 8], "overlap": 1.0}, "overlap"),
        ("inference", {"window": [8, 8, 8], "overlap": "half"}, "overlap"),
    ],
)
def test_settings_that_do_not_fit(place: str, value: Any, words: str, file: Path) -> None:
    edited(file, lambda header: header.update({place: value}))
    text = refusal(file)
    assert text.startswith('The settings of the model "tiny" do not fit its method: ')
    assert words in text


def test_too_many_parameters_are_refused_at_once(file: Path) -> None:
    edited(file, lambda header: header.update(network={"widths": [1024] * 8}, inference={"window": [128] * 3}))
    load_header(file)
    began = time.perf_counter()
    text = refusal(file)
    # Weights of this size would need 6 GB and minutes.
    assert time.perf_counter() - began < 2
    assert "parameters, but at most 500,000,000 are supported" in text
