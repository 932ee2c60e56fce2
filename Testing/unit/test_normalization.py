from __future__ import annotations

import numpy as np
import pytest

from hrseg.model_file import Intensity
from hrseg.preprocess import normalize
from model_helpers import KINDS


def normalized(kind: Intensity, *channels: list[float]) -> list[list[float]]:
    array = np.array(channels, dtype=np.float32)[:, None, None]
    normalize(array, kind)
    assert array.dtype == np.float32
    return [[round(float(value), 5) for value in channel] for channel in array[:, 0, 0]]


def test_window_by_hand() -> None:
    kind = Intensity(kind="window", low=-100, high=300)
    assert normalized(kind, [-500, -100, 0, 100, 300, 2000]) == [[0, 0, 0.25, 0.5, 1, 1]]


def test_zscore_by_hand() -> None:
    # Mean 4 and deviation 2; each channel for itself.
    assert normalized(Intensity(kind="zscore"), [2, 2, 6, 6], [10, 10, 10, 50]) == [
        [-1, -1, 1, 1],
        [-0.57735, -0.57735, -0.57735, 1.73205],
    ]


def test_padding_becomes_the_mean() -> None:
    # Mean 4 and deviation 2 of what is above the lowest value.
    assert normalized(Intensity(kind="zscore"), [0, 0, 0, 2, 2, 6, 6]) == [[0, 0, 0, -1, -1, 1, 1]]


def test_percentile_by_hand() -> None:
    kind = Intensity(kind="percentile", low=25, high=75)
    assert normalized(kind, [0, 1, 2, 3, 4], [0, 10, 20, 30, 40]) == [[0, 0, 0.5, 1, 1]] * 2


def test_percentiles_of_large_images_are_those_of_all_columns() -> None:
    # A sample at an even stride would hold the first of these columns alone.
    array = np.broadcast_to(np.arange(4, dtype=np.float32), (1, 2**21, 1, 4)).copy()
    normalize(array, Intensity(kind="percentile", low=0, high=100))
    np.testing.assert_allclose(array[0, 0, 0], [0, 1 / 3, 2 / 3, 1], rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 7.0, 1000.1, -3e4])
@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind.kind)
def test_constant_channel_becomes_zero(kind: Intensity, value: float) -> None:
    array = np.full((2, 30, 30, 30), value, np.float32)
    array[1, 0, 0, 0] += 1
    normalize(array, kind)
    assert not array[0].any()
    assert np.isfinite(array[1]).all()
    assert array[1].max() > array[1].min()


def test_few_values_beside_the_background() -> None:
    # Both percentiles are 0, so that the extremes count.
    assert normalized(Intensity(kind="percentile", low=1, high=60), [0, 0, 0, 0, 0, 2, 4]) == [[0, 0, 0, 0, 0, 0.5, 1]]


def test_spread_of_large_values_is_exact() -> None:
    rng = np.random.default_rng(0)
    array = (1e5 + rng.normal(size=(1, 40, 40, 40))).astype(np.float32)
    shown = array > array.min()
    expected = (array[shown] - array[shown].mean(dtype=float)) / array[shown].std(dtype=float)
    normalize(array, Intensity(kind="zscore"))
    np.testing.assert_allclose(array[shown], expected, atol=0.01)
