from __future__ import annotations

import numpy as np
import pytest

from hrseg.errors import Cancelled
from hrseg.geometry import Grid
from hrseg.labels import Label
from hrseg.lesions import Lesion, ball_diameter, lesion_labels, lesions_of, size_name, terciles

LESION, CYST = Label(1, "lesion", (255, 0, 0)), Label(2, "cyst", (0, 255, 0))


def found(array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0), **options: object) -> list[Lesion]:
    grid = Grid.from_spacing(array.shape, spacing, (100, 0, 0))
    return lesions_of(array.astype(np.uint8), grid, [LESION, CYST], **options)[0]  # type: ignore[arg-type]


def test_each_lesion_of_each_label() -> None:
    array = np.zeros((4, 8, 10))
    array[1, 2, 2:5] = 1
    array[2, 6, 6:8] = 1
    array[0, 0, 9] = 2
    lesions = found(array, (3.0, 2.0, 1.0))
    assert [(one.name, one.value, one.voxels) for one in lesions] == [
        ("lesion 1", 1, 3),
        ("lesion 2", 1, 2),
        ("cyst 1", 2, 1),
    ]
    assert [one.size for one in lesions] == pytest.approx([18, 12, 6])
    # In the first one 3 voxels of 1 mm in a row; the last one is as long as its voxel.
    assert [one.diameter for one in lesions] == pytest.approx([3, 2, 3])
    assert lesions[0].center == (103, 4, 3)
    assert lesions[2].center == (109, 0, 0)
    assert lesions[0].probability is None


def test_corners_touch() -> None:
    array = np.zeros((3, 3, 3))
    array[0, 0, 0] = array[1, 1, 1] = 1
    (lesion,) = found(array)
    # Between both centres sqrt(3), and half a voxel at each end.
    assert lesion.diameter == pytest.approx(np.sqrt(3) + 1)


def test_diameter_along_and_across_thick_slices() -> None:
    array = np.ones((2, 1, 5))
    (lesion,) = found(array, (4.0, 1.0, 1.0))
    # Between the centres 4 mm down and 4 mm aside; along that line a voxel of 4 x 1 mm counts sqrt((16 + 1) / 2) mm.
    assert lesion.diameter == pytest.approx(np.sqrt(32) + np.sqrt(17 / 2))


def test_area_of_2d_images_and_volume_of_a_single_slice_of_others() -> None:
    flat = np.zeros((1, 6, 6))
    flat[0, 1:4, 2:4] = 1
    (lesion,) = found(flat, (5.0, 0.5, 0.5))
    assert lesion.size == pytest.approx(6 * 0.25)
    deep = np.zeros((3, 6, 6))
    deep[1] = flat[0]
    (lesion,) = found(deep, (5.0, 0.5, 0.5))
    assert lesion.size == pytest.approx(6 * 0.25 * 5)


def test_mean_probability_of_its_own_voxels() -> None:
    array = np.zeros((1, 3, 6))
    array[0, 0, :2] = 1
    array[0, 2, 4:] = 2
    probability = np.zeros((2, 1, 3, 6), np.float32)
    probability[0, 0, 0, :3] = (0.6, 0.8, 1)
    probability[1, 0, 2, 4:] = (0.5, 0.6)
    lesions = found(array, probability=probability)
    assert [one.probability for one in lesions] == pytest.approx([0.7, 0.55])


def test_the_centre_lies_inside() -> None:
    """That of a ring has nothing in its middle."""
    j, i = np.mgrid[:21, :21] - 10
    ring = (np.hypot(j, i) < 9) & (np.hypot(j, i) > 6)
    (lesion,) = found(ring[None])
    i, j, _ = np.subtract(lesion.center, (100, 0, 0)).astype(int)
    assert ring[j, i]


@pytest.mark.parametrize(("radius", "spacing"), [(5.0, 1.0), (30.0, 1.0), (9.0, 0.25)])
def test_diameter_of_a_ball(radius: float, spacing: float) -> None:
    n = int(2 * radius / spacing) + 4
    axis = (np.arange(n) - (n - 1) / 2) * spacing
    ball = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < radius**2
    (lesion,) = found(ball, (spacing,) * 3)
    assert lesion.diameter == pytest.approx(2 * radius, abs=spacing)
    assert lesion.size == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.06)


def test_large_lesions_are_measured_nearly_exactly() -> None:
    """An ellipsoid at an odd angle, measured with all of its voxels and with the few at its border."""
    k, j, i = np.mgrid[:60, :70, :70] - np.array([30, 35, 35])[:, None, None, None]
    u, v = (k + j + i) / np.sqrt(3), (2 * k - j - i) / np.sqrt(6)
    rest = k**2 + j**2 + i**2 - u**2 - v**2
    array = (u / 33) ** 2 + (v / 27) ** 2 + rest / 24**2 < 1
    (lesion,) = found(array)
    points = np.argwhere(array).astype(float)
    outer = points[np.linalg.norm(points - points.mean(axis=0), axis=1) > 31]
    longest = np.sqrt(((outer[:, None] - outer) ** 2).sum(axis=-1).max())
    assert lesion.diameter == pytest.approx(longest + 1, rel=1e-3)


def test_only_the_largest_are_measured_but_all_are_counted() -> None:
    array = np.zeros((1, 9, 9), np.uint8)
    array[0, ::2, ::2] = 1
    array[0, 0, :3] = 1
    grid = Grid.from_spacing(array.shape)
    lesions, count = lesions_of(array, grid, [LESION], most=2)
    assert [one.voxels for one in lesions] == [3, 1]
    assert count == 24


def test_none() -> None:
    assert lesions_of(np.zeros((2, 3, 4), np.uint8), Grid.from_spacing((2, 3, 4)), [LESION]) == ([], 0)


def test_it_can_be_ended() -> None:
    def stop(units: int) -> None:
        raise Cancelled("Stop.")

    with pytest.raises(Cancelled):
        found(np.ones((1, 2, 2)), advance=stop)


def test_ball_disc_and_line() -> None:
    assert ball_diameter(36 * np.pi, 3) == pytest.approx(6)
    assert ball_diameter(4 * np.pi, 2) == pytest.approx(4)
    assert ball_diameter(5, 1) == pytest.approx(5)


def test_thirds_by_size() -> None:
    limits = terciles([1, 2, 3, 4])
    assert limits == (2, 3)
    assert [size_name(d, limits) for d in (1, 2, 2.5, 3, 3.5)] == ["small", "small", "medium", "medium", "large"]
    assert size_name(5, terciles([])) == "small"


def test_organs_beside_lesions_are_left_out() -> None:
    labels = [Label(1, "liver", (0, 0, 0)), Label(2, "liver lesion", (0, 0, 0))]
    array = np.array([1, 1, 1, 2, 0, 2], np.uint8).reshape(1, 1, 6)
    probability = np.stack([np.full(array.shape, 0.25), np.full(array.shape, 0.75)]).astype(np.float32)
    found, count = lesions_of(array, Grid.from_spacing(array.shape), labels, probability)
    assert [(lesion.name, lesion.value, lesion.probability) for lesion in found] == [
        ("liver lesion 1", 2, 0.75),
        ("liver lesion 2", 2, 0.75),
    ]
    assert count == 2
    assert lesion_labels(labels) == labels[1:]
    assert lesion_labels(labels[:1]) == labels[:1]
