"""The benchmark of single volumes: grey values drawn for labels, crops around a hippocampus, and a row of its table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from field_models import ball_image, threshold_model
from hrseg.geometry import Grid
from hrseg.image import write_image
from hrseg.model_file import save_model


@pytest.fixture(scope="module")
def benchmark() -> Any:
    import real_volumes

    return real_volumes


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """A label map of 40³ voxels: white matter, within it a left hippocampus of 6 x 8 x 10 voxels."""
    labels = np.full((40, 40, 40), 2, np.int32)
    labels[12:18, 14:22, 16:26] = 17
    write_image(tmp_path / "head.nii.gz", labels, Grid.from_spacing(labels.shape))
    return tmp_path


def test_tissues_have_their_grey_values(benchmark: Any) -> None:
    tissues = {2: 110, 17: 75, 4: 30, 0: 0}
    labels = np.repeat(np.array(list(tissues)), 8 * 64).reshape(4, 8, 8, 8)
    for one in labels:
        assert benchmark.drawn(one, "T1").mean() == pytest.approx(tissues[one.flat[0]], abs=1)
    assert benchmark.drawn(labels[3], "HU").mean() == pytest.approx(-1000, abs=1)


def test_the_crop_around_a_hippocampus_has_its_truth(benchmark: Any, heads: Path) -> None:
    volume = benchmark.Volume("head", "head.nii.gz", [], "left", "T1")
    image, truth = benchmark.loaded(volume, heads)
    assert image.grid.shape == truth.shape == (22, 24, 26)
    assert truth.sum() == 6 * 8 * 10
    assert image.array[0][truth].mean() < image.array[0][~truth].mean() - 20


def test_row(benchmark: Any, tmp_path: Path) -> None:
    image, model = ball_image((13, 14, 15), 4.5, 2.0), threshold_model()
    save_model(tmp_path / "right.safetensors", model.header, model.network)
    write_image(tmp_path / "a.nii", image.array[0], image.grid)
    milliliters = np.count_nonzero(image.array > 0.5) * image.grid.voxel_volume / 1000
    row = benchmark.measure(benchmark.Volume("ball", "a.nii", []), str(tmp_path / "right.safetensors"), tmp_path)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["ball", "15 x 14 x 13"]
    assert cells[6:] == [f"{milliliters:.1f}", "–", "equal"]
