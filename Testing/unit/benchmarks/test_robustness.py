"""The benchmark of robustness: its measures, and its table of a model that follows everything."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from field_models import ball_image, threshold_model
from hrseg.image import write_image
from hrseg.model_file import save_model


@pytest.fixture(scope="module")
def robustness() -> Any:
    import robustness

    return robustness


def test_agreement(robustness: Any) -> None:
    a, b = np.array([0, 1, 1, 2, 0]), np.array([0, 1, 2, 2, 1])
    # 3 and 4 labelled voxels, of which 2 have the same label.
    assert robustness.agreement(a, b) == pytest.approx(4 / 7)
    assert robustness.agreement(a, a) == 1
    assert robustness.agreement(np.zeros(3), np.zeros(3)) == 1


def test_only_labels_that_are_there_have_a_dice(robustness: Any) -> None:
    found, truth = np.array([1, 1, 2, 3]), np.array([1, 0, 0, 3])
    assert robustness.mean_dice(found, truth, (1, 2, 3)) == pytest.approx((2 / 3 + 1) / 2)
    assert robustness.mean_dice(found, truth, (2,)) is None


def table(text: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {name: cells for name, *cells in rows[2:]}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A model that is right about all voxels, an image of a ball, its truth, and a list of both."""
    image = ball_image((13, 14, 15), 4.5, 2.0)
    model = threshold_model()
    save_model(tmp_path / "right.safetensors", model.header, model.network)
    write_image(tmp_path / "a.nii", image.array[0], image.grid)
    write_image(tmp_path / "a-label.nii", (image.array[0] > 0.5).astype(np.uint8), image.grid)
    row = {"image": "a.nii", "label": "a-label.nii"}
    content = {"name": "balls", "labels": {"1": "liver", "2": "spine"}, "test": [row]}
    (tmp_path / "list.json").write_text(json.dumps(content))
    return tmp_path


def test_table_of_a_list(
    robustness: Any, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["robustness", "--model", str(files / "right.safetensors"), "--data", str(files / "list.json")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--cases", "1", "--device", "cpu"])
    robustness.main()
    rows = table(capsys.readouterr().out)
    assert rows["the image itself"] == ["1.0000", "1.0000", "1.0000", "–", "1.0000", "+0.0000"]
    for name in ("flipped along k", "axes k, j, i, all flipped", "turned by 15 degrees in space"):
        assert rows[name] == ["1.0000", "1.0000", "–", f"0 of {13 * 14 * 15:,}", "1.0000", "+0.0000"]
    # Of 0.1 more the border, which is 8 voxels wide, moves by 0.8 voxels: a radius of 5.3 instead of 4.5.
    expected = 2 / (1 + (5.3 / 4.5) ** 3)
    assert float(rows["grey values +10%"][0]) == pytest.approx(expected, abs=0.05)
    assert float(rows["grey values +10%"][5]) == pytest.approx(expected - 1, abs=0.05)
    assert float(rows["coarser by 1.5"][0]) > 0.8
    assert rows["middle 80 % of each axis"][0] == "1.0000"
    assert len(rows) == 20


def test_single_images_have_no_truth(
    robustness: Any, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["robustness", "--model", str(files / "right.safetensors"), "--image", str(files / "a.nii")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--device", "cpu"])
    robustness.main()
    text = capsys.readouterr().out
    assert text.startswith("a.nii: ")
    assert table(text)["flipped along i"][-2:] == ["–", "–"]
