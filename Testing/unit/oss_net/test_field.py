from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from field_models import ball_image, random_model, threshold_model
from hrseg.errors import Cancelled, InputError
from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.model_file import Intensity, Model, Preprocessing
from hrseg.oss_net import encoding as encoding_module
from hrseg.oss_net.field import Field, decide
from hrseg.oss_net.method import OssNet
from hrseg.resample import _trilinear, resample
from hrseg.runtime import Run

SHAPE = (28, 36, 32)
RADIUS = 9.3


def field_of(model: Model, image: Image) -> Field:
    return OssNet(model).field(image, Run())


def ball_field(spacing: float = 1.0, **inference: Any) -> tuple[Image, Field]:
    image = ball_image(SHAPE, RADIUS, spacing)
    return image, field_of(threshold_model(inference=inference), image)


def oblique(grid: Grid) -> Grid:
    turn = np.eye(4)
    turn[:3, :3] = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    middle = np.append(grid.to_world((np.array(grid.shape) - 1) / 2), 1)
    there, back = np.eye(4), np.eye(4)
    there[:3, 3], back[:3, 3] = middle[:3], -middle[:3]
    return Grid(
        (30, 30, 30),
        there @ turn @ np.diag([0.8, 0.7, 0.9, 1]) @ np.block([[np.eye(3), -np.full((3, 1), 15)], [0, 0, 0, 1]]),
    )


def grids(source: Grid) -> dict[str, Grid]:
    return {
        "own": source,
        "finer": source.finer(2),
        "anisotropic": source.resized((28, 60, 96)),
        "coarser": source.resized((14, 18, 16)),
        "region": source.crop(Box((3, 12, 8), (20, 30, 25))).finer(3),
        "beyond": source.crop(Box((-6, -6, -6), (40, 40, 40))),
        "slice": source.finer(2).crop(Box((27, 0, 0), (28, 72, 64))),
        "turned": source.reoriented(source.reorientation("PSL")),
        "oblique": oblique(source),
    }


@pytest.mark.parametrize("name", list(grids(Grid.from_spacing(SHAPE))))
def test_label_map_on_any_grid(name: str) -> None:
    image, field = ball_field()
    grid = grids(image.grid)[name]
    # The field is the interpolated image above a half; coarser grids take points of it, not means.
    points = grid.to_world(np.indices(grid.shape).reshape(3, -1).T)
    index = image.grid.to_index(points)
    inside = ((index >= -0.5 - 1e-6) & (index <= np.array(SHAPE) - 0.5 + 1e-6)).all(axis=1)
    values = np.where(inside, _trilinear(image.array[0], index), 0).reshape(grid.shape)
    found = field.label_map(grid)
    certain = np.abs(values - 0.5) > 1e-3
    assert found.grid is grid
    assert found.names == {1: "liver", 2: "spine"}
    assert np.array_equal(found.array[certain], values[certain] > 0.5)
    assert found.array.any()
    dense = field_of(threshold_model(inference={"evaluation": "dense"}), image)
    assert np.array_equal(dense.label_map(grid).array, found.array)


def test_fewer_points_than_voxels() -> None:
    _, field = ball_field()
    fine = field.source.finer(4)
    field.label_map(fine)
    # A shell of radius 37 has 17,203 voxels.
    assert field.points < 12 * 17_203 < fine.size / 8


def test_probability_at_points_and_on_grids() -> None:
    image, field = ball_field(spacing=2.0)
    grid = image.grid.finer(2)
    volume = field.probability(grid)
    assert volume.shape == (2, *grid.shape)
    expected = 1 / (1 + np.exp(10 - 20 * resample(image.array, image.grid, grid)[0]))
    np.testing.assert_allclose(volume[0], expected, atol=5e-3)
    points = grid.to_world(np.array([[[28, 30, 33], [0, 0, 0]], [[27, 36, 14], [50, 40, 30]]]))
    found = field.probability_at(points)
    assert found.shape == (2, 2, 2)
    np.testing.assert_allclose(
        found[0], volume[0][[[28, 0], [27, 50]], [[30, 0], [36, 40]], [[33, 0], [14, 30]]], atol=1e-5
    )
    assert field.probability_at(grid.to_world((-9, -9, -9))).tolist() == [0, 0]
    assert field.probability_at(np.zeros((4, 0, 3))).shape == (2, 4, 0)
    with pytest.raises(InputError, match=r"The points have the shape \(3, 2\)"):
        field.probability_at(np.zeros((3, 2)))


def test_labels_of_probabilities() -> None:
    _, field = ball_field()
    assert np.array_equal(Field.labels_of(field.probability()), field.label_map().array)
    three = np.array([[0.3, 0.2, 0.34], [0.3, 0.5, 0.33]], dtype=np.float32).reshape(2, 1, 1, 3)
    assert Field.labels_of(three).tolist() == [[[0, 2, 1]]]


def test_decision_level() -> None:
    _, field = ball_field()
    sizes = [int((field.label_map(level=level).array > 0).sum()) for level in (0.1, 0.5, 0.9)]
    assert sizes[0] > sizes[1] > sizes[2] > 0
    probability = field.probability()[0]
    assert sizes == [pytest.approx((probability >= level).sum(), abs=3) for level in (0.1, 0.5, 0.9)]
    with pytest.raises(InputError, match=r"decision level 1.5 must lie between 0 and 1"):
        field.label_map(level=1.5)


def test_decide_by_hand() -> None:
    rows = np.array([[0.2, 0.7, 0.1], [0.4, 0.35, 0.25], [0.9, 0.06, 0.04]], dtype=np.float32)
    labels, sure = decide(rows, None, 0.5)
    assert (labels.tolist(), sure.tolist()) == ([1, 0, 0], [True, False, True])
    labels, sure = decide(rows, 0.5, 0.5)
    assert (labels.tolist(), sure.tolist()) == ([1, 1, 0], [True, False, True])


def test_surface_lies_between_voxels() -> None:
    image, field = ball_field(spacing=2.0)
    surface = field.surface(1)
    centre = image.grid.to_world((np.array(SHAPE) - 1) / 2)
    radius = np.linalg.norm(surface.points - centre, axis=1)
    # Linear interpolation between voxels 2 mm apart sees the ball a little off.
    np.testing.assert_allclose(radius, 2 * RADIUS, atol=0.1)
    np.testing.assert_allclose(field.probability_at(surface.points)[0], 0.5, atol=0.02)
    assert not len(field.surface(2).points)
    with pytest.raises(InputError, match="no label 3; this field has 1, 2"):
        field.surface(3)


# ---- whatever the weights ----


def random_field(**inference: Any) -> Field:
    array = np.random.default_rng(0).random((1, 22, 40, 37)).astype(np.float32)
    return field_of(random_model(inference=inference), Image(array, Grid.from_spacing((22, 40, 37))))


def test_chunks_make_no_difference() -> None:
    points = np.random.default_rng(1).uniform(0, 36, (700, 3))
    few, many = (random_field(chunk=chunk).probability_at(points) for chunk in (64, 16384))
    np.testing.assert_allclose(few, many, atol=1e-6)


def test_a_part_is_what_the_whole_has_there() -> None:
    field = random_field()
    box = Box((5, 11, 2), (15, 30, 33))
    whole, part = field.probability(), field.probability(field.source.crop(box))
    np.testing.assert_allclose(part, whole[(..., *box.slices)], atol=1e-6)


def test_forgotten_bricks_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plenty = random_field().probability()
    monkeypatch.setattr(encoding_module, "CACHE", 1)
    np.testing.assert_allclose(random_field().probability(), plenty, atol=1e-6)


def test_network_is_as_in_training() -> None:
    field = random_field()
    points = torch.rand(1, 50, 3) * torch.tensor([21.0, 39, 36])
    image = field.encoding.image.float()[None]
    trained = field.model.network(image, points, torch.ones(1, 3)).logits[0].T
    torch.testing.assert_close(field.encoding.logits(points[0]), trained, atol=2e-2, rtol=2e-2)


def test_working_grid_of_another_spacing_and_orientation() -> None:
    preprocessing = Preprocessing(
        orientation="LPS", spacing=(2, 2, 2), intensity=Intensity(kind="window", low=0, high=1)
    )
    image = ball_image(SHAPE, RADIUS)
    found = field_of(threshold_model(preprocessing=preprocessing), image).label_map()
    expected = image.array[0] > 0.5
    assert (found.array != expected).sum() < 0.05 * expected.sum()


def test_flat_image() -> None:
    strides = {
        "variant": "field",
        "field": {"strides": [2, 2], "widths": [2, 3], "features": 3, "local": [2, 4], "kernel": 3},
    }
    model = random_model(dimension=2, network=strides)
    array = np.random.default_rng(0).random((1, 1, 30, 41)).astype(np.float32)
    field = field_of(model, Image(array, Grid.from_spacing((1, 30, 41))))
    assert field.label_map(field.source.resized((1, 90, 100))).array.shape == (1, 90, 100)
    assert field.probability().shape == (2, 1, 30, 41)


def test_progress_and_cancel() -> None:
    _, field = ball_field()
    told: list[tuple[str, int, int]] = []
    field.label_map(run=Run(progress=lambda *step: told.append(step)))
    assert told[0] == ("field", 0, 1000)
    assert told[-1] == ("field", 1000, 1000)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        field.label_map(run=Run(cancel=cancel))
    with pytest.raises(Cancelled):
        field.surface(1, run=Run(cancel=cancel))
