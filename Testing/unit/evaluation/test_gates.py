import numpy as np
import pytest
from matplotlib.container import BarContainer

from hrseg.evaluation.gates import Gated, by_size, differences, gate_figure, intervals

ROWS = [(5.0, [0.5, 0.25]), (1.0, [0.25, 0.5]), (3.0, [0.75, 0.5]), (2.0, [0.5, 0.75])]


def test_terciles_by_diameter():
    table = by_size(ROWS)
    # The limits are 2 and 3; what lies on one belongs to the smaller ones.
    assert {size: rows.tolist() for size, rows in table.items()} == {
        "small": [[0.25, 0.5], [0.5, 0.75]],
        "medium": [[0.75, 0.5]],
        "large": [[0.5, 0.25]],
    }
    assert by_size([]) == {}


def test_intervals():
    assert intervals(np.array([[0.5, 0.25]] * 3)).tolist() == [[0.5, 0.25], [0.5, 0.25]]
    values = np.random.default_rng(0).normal(0.5, 0.1, (400, 1))
    # 1.96 * 0.1 / sqrt(400) on either side.
    assert intervals(values)[:, 0] - values.mean() == pytest.approx([-0.0098, 0.0098], abs=0.001)


def test_large_minus_small():
    found = differences(by_size(ROWS))
    assert found[:, 0] == pytest.approx([0.5 - 0.375, 0.25 - 0.625])
    assert found[0, 1:].tolist() == [0, 0.25]
    assert found[1, 1:].tolist() == [-0.5, -0.25]


def test_bars():
    axes = gate_figure(by_size(ROWS), ["1", "3"]).axes[0]
    bars = [bars for bars in axes.containers if isinstance(bars, BarContainer)]
    heights = [[bar.get_height() for bar in of_size] for of_size in bars]
    assert heights == [[0.375, 0.625], [0.75, 0.5], [0.5, 0.25]]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "3"]


def test_who_has_gates():
    class With:
        paths = ["1"]

        def lesion_gates(self, image, truth):
            return []

    assert isinstance(With(), Gated)
    assert not isinstance(object(), Gated)
