from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Grid

ORIENTATIONS = [
    "".join(letters) for axes in itertools.permutations(("RL", "AP", "SI")) for letters in itertools.product(*axes)
]

#: Turns by 30 degrees about z, then x: no axis stays where it was.
C, S = np.cos(np.pi / 6), np.sin(np.pi / 6)
TURN = np.array([[C, -S, 0], [C * S, C * C, -S], [S * S, C * S, C]])


def grid(kind: str, shape: tuple[int, int, int] = (4, 5, 6)) -> Grid:
    spacing, turn = (0.3, 0.3, 5.0), np.eye(3)
    if kind == "left-handed":
        turn = np.diag([-1.0, 1.0, 1.0])
    elif kind == "permuted":
        turn = np.eye(3)[[2, 0, 1]]
    elif kind == "oblique":
        turn = TURN
    elif kind == "one slice":
        shape = (1, *shape[1:])
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = (10, -20, 30)
    return Grid(shape, affine)


KINDS = ["plain", "left-handed", "permuted", "oblique", "one slice"]


def corners(g: Grid) -> NDArray:
    """RAS corners of the field of view, (8, 3)."""
    return g.to_world(list(itertools.product(*[(-0.5, n - 0.5) for n in g.shape])))


# ---- Grid ----


def test_from_spacing_by_hand() -> None:
    g = Grid.from_spacing((2, 3, 4), (5.0, 0.4, 0.3), origin=(1, 2, 3))
    assert g.affine.tolist() == [[0.3, 0, 0, 1], [0, 0.4, 0, 2], [0, 0, 5.0, 3], [0, 0, 0, 1]]
    assert g.spacing == (5.0, 0.4, 0.3)
    assert g.voxel_volume == pytest.approx(0.6)
    assert g.size == 24
    assert g.orientation == "RAS"


def test_index_to_ras_counts_k_j_i() -> None:
    g = Grid.from_spacing((2, 3, 4), (5.0, 0.4, 0.3), origin=(1, 2, 3))
    assert g.to_world((1, 2, 3)).tolist() == pytest.approx([1 + 0.9, 2 + 0.8, 3 + 5])
    assert g.to_world([[(0, 0, 0)], [(0.5, 0, 0)]]).tolist() == [[[1, 2, 3]], [[1, 2, 5.5]]]


@pytest.mark.parametrize("kind", KINDS)
def test_world_and_back(kind: str) -> None:
    points = np.random.default_rng(0).normal(size=(7, 3)) * 10
    np.testing.assert_allclose(grid(kind).to_index(grid(kind).to_world(points)), points, atol=1e-9)


def test_oblique_and_anisotropic_spacing() -> None:
    g = grid("oblique")
    np.testing.assert_allclose(g.spacing, (5.0, 0.3, 0.3))
    assert g.voxel_volume == pytest.approx(0.45)


def test_affine_cannot_be_changed_behind_the_grid() -> None:
    affine = np.eye(4)
    g = Grid((1, 1, 1), affine)
    affine[0, 0] = 7
    assert g.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        g.affine[0, 0] = 7


def test_nanometre_voxels_are_a_valid_geometry() -> None:
    assert Grid.from_spacing((1, 1, 1), 4e-6).spacing == (4e-6, 4e-6, 4e-6)


@pytest.mark.parametrize(
    "affine",
    [
        np.zeros((4, 4)),
        np.eye(3),
        np.diag([1.0, 0, 1, 1]),
        np.diag([1.0, np.nan, 1, 1]),
        np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.diag([1.0, 1, 1, 2]),
    ],
)
def test_unusable_affine_is_refused(affine: NDArray) -> None:
    with pytest.raises(InputError, match="invertible 4x4"):
        Grid((1, 1, 1), affine)


def test_axis_without_voxels_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(0, 5, 6\)"):
        Grid((0, 5, 6), np.eye(4))


# ---- same field of view, other voxels ----


def test_resized_is_half_pixel_exact() -> None:
    # Two voxels of 1 mm span -0.5 to 1.5; four of 0.5 mm start at -0.25, one of 2 mm lies at 0.5.
    line = Grid.from_spacing((1, 1, 2))
    assert line.resized((1, 1, 4)).affine[0].tolist() == [0.5, 0, 0, -0.25]
    assert line.resized((1, 1, 1)).affine[0].tolist() == [2, 0, 0, 0.5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 10, 12), (3, 7, 5)])
def test_resized_keeps_the_field_of_view(kind: str, shape: tuple[int, int, int]) -> None:
    g = grid(kind)
    assert g.resized(shape).shape == shape
    np.testing.assert_allclose(corners(g.resized(shape)), corners(g), atol=1e-9)


def test_with_spacing_rounds_to_whole_voxels() -> None:
    g = Grid.from_spacing((4, 10, 10), (5.0, 0.3, 0.3))
    assert g.with_spacing(1.0).shape == (20, 3, 3)
    assert g.with_spacing((100.0, 0.3, 0.1)).shape == (1, 10, 30)
    assert g.with_spacing(g.spacing).matches(g)


def test_a_single_slice_stays_one() -> None:
    flat = Grid.from_spacing((1, 4, 6), (5.0, 1.0, 1.0))
    finer = flat.with_spacing(0.5)
    assert finer.shape == (1, 8, 12)
    assert finer.spacing == pytest.approx((5.0, 0.5, 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_finer_splits_every_voxel(kind: str) -> None:
    g = grid(kind)
    fine = g.finer((1, 2, 3))
    assert fine.shape == (g.shape[0], 2 * g.shape[1], 3 * g.shape[2])
    # The six children of voxel (0, 1, 2) have their mean at its centre.
    children = [(0, j, i) for j in (2, 3) for i in (6, 7, 8)]
    np.testing.assert_allclose(fine.to_world(children).mean(axis=0), g.to_world((0, 1, 2)), atol=1e-9)
    np.testing.assert_allclose(corners(fine), corners(g), atol=1e-9)


@pytest.mark.parametrize("factor", [0, -2, 1.5])
def test_finer_needs_a_whole_factor(factor: float) -> None:
    with pytest.raises(InputError, match=str(factor)):
        grid("plain").finer(factor)  # type: ignore[arg-type]


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan, np.inf])
def test_impossible_spacing_is_refused(spacing: float) -> None:
    with pytest.raises(InputError, match="positive millimeters"):
        grid("plain").with_spacing(spacing)


def test_empty_target_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(0, 1, 1\)"):
        grid("plain").resized((0, 1, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_crop_and_pad_leave_voxels_in_place(kind: str) -> None:
    g = grid(kind)
    part = g.crop(Box((0, 1, 2), (1, 4, 5)))
    assert part.shape == (1, 3, 3)
    np.testing.assert_allclose(part.to_world((0, 0, 0)), g.to_world((0, 1, 2)))
    padded = g.crop(Box.whole(g.shape).expand(2))
    assert padded.shape == tuple(n + 4 for n in g.shape)
    np.testing.assert_allclose(padded.to_world((2, 2, 2)), g.to_world((0, 0, 0)))
    assert padded.crop(Box.whole(g.shape).shift((2, 2, 2))).matches(g)


def test_crop_to_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one voxel"):
        grid("plain").crop(Box((1, 1, 1), (1, 2, 2)))


def test_matches_measures_at_the_corners() -> None:
    g = Grid.from_spacing((10, 10, 1000))
    turned = g.affine.copy()
    turned[1, 0] = 1e-5  # a hundredth of a voxel at the far end
    assert not g.matches(Grid(g.shape, turned))
    assert g.matches(Grid(g.shape, turned), tolerance=0.02)
    assert not g.matches(Grid.from_spacing((10, 10, 999)))


# ---- orientation ----


def test_orientation_by_hand() -> None:
    assert grid("left-handed").orientation == "LAS"
    assert grid("permuted").orientation == "ASR"
    assert Grid((1, 1, 1), np.diag([-1.0, -1, 1, 1])).orientation == "LPS"


def test_orientation_uses_each_world_axis_once() -> None:
    # Both i and j run nearest to R; i does so more clearly, which leaves A to j.
    affine = np.eye(4)
    affine[:3, 0] = (0.9, 0.1, 0)
    affine[:3, 1] = (0.8, 0.6, 0)
    assert Grid((1, 1, 1), affine).orientation == "RAS"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_reorientation_and_back(kind: str, orientation: str) -> None:
    g = grid(kind, (2, 3, 4))
    values = np.arange(g.size).reshape(g.shape)
    change = g.reorientation(orientation)
    turned, turned_grid = change.apply(values), g.reoriented(change)
    assert turned_grid.orientation == orientation
    assert turned.shape == turned_grid.shape
    for index in np.ndindex(turned.shape):
        there = np.rint(g.to_index(turned_grid.to_world(index))).astype(int)
        assert turned[index] == values[tuple(there)]
    assert np.array_equal(change.inverse.apply(turned), values)
    back = turned_grid.reoriented(change.inverse)
    assert back.shape == g.shape
    np.testing.assert_allclose(back.affine, g.affine, atol=1e-12)


def test_reorientation_by_hand() -> None:
    # i, j, k run to R, A, S. For "SLA" the new i is the old k, the new j the old i backwards, the new k the old j.
    values = np.arange(24).reshape(2, 3, 4)
    turned = Grid.from_spacing((2, 3, 4)).reorientation("SLA").apply(values)
    assert turned.shape == (3, 4, 2)
    assert turned[2, 0, 1] == values[1, 2, 3]


def test_channels_stay_in_front() -> None:
    change = Grid.from_spacing((2, 3, 4)).reorientation("SLA")
    values = np.arange(48).reshape(2, 2, 3, 4)
    assert np.array_equal(change.apply(values)[1], change.apply(values[1]))


@pytest.mark.parametrize("code", ["RRS", "RA", "XYZ", "RASL", ""])
def test_impossible_orientation_is_refused(code: str) -> None:
    with pytest.raises(InputError, match=f'"{code}"'):
        grid("plain").reorientation(code)


# ---- Box ----

indices = st.tuples(*[st.integers(-5, 5)] * 3)
boxes = st.builds(lambda a, n: Box(a, tuple(np.add(a, n).tolist())), indices, st.tuples(*[st.integers(0, 5)] * 3))


def test_box_by_hand() -> None:
    box = Box((1, 2, 3), (3, 5, 4))
    assert box.shape == (2, 3, 1)
    assert box.size == 6
    assert box.slices == (slice(1, 3), slice(2, 5), slice(3, 4))
    assert box.expand(1) == Box((0, 1, 2), (4, 6, 5))
    assert box.expand((0, 1, 2)) == Box((1, 1, 1), (3, 6, 6))
    assert box.expand(1).expand(-1) == box
    assert box.shift((-1, -2, -3)) == Box.whole((2, 3, 1))
    assert box.clip((2, 4, 9)) == Box((1, 2, 3), (2, 4, 4))


def test_union_and_intersection_by_hand() -> None:
    a, b = Box((0, 0, 0), (2, 2, 2)), Box((1, 1, 1), (3, 3, 3))
    assert a.intersection(b) == Box((1, 1, 1), (2, 2, 2))
    assert a.union(b) == Box((0, 0, 0), (3, 3, 3))
    assert a.intersection(Box((5, 5, 5), (6, 6, 6))).size == 0


@settings(deadline=None)
@given(boxes, boxes)
def test_intersection_holds_the_common_voxels(a: Box, b: Box) -> None:
    def marked(box: Box) -> NDArray:
        mask = np.zeros((15, 15, 15), dtype=bool)
        mask[box.shift((5, 5, 5)).slices] = True
        return mask

    both = a.intersection(b)
    assert both.size == np.count_nonzero(marked(a) & marked(b))
    assert both == b.intersection(a) or both.size == 0


@settings(deadline=None)
@given(boxes, st.tuples(*[st.integers(1, 12)] * 3))
def test_clipped_box_can_index(box: Box, shape: tuple[int, int, int]) -> None:
    assert np.zeros(shape)[box.clip(shape).slices].shape == box.clip(shape).shape


def test_negative_start_is_no_index() -> None:
    with pytest.raises(InputError, match=r"\(-1, 0, 0\)"):
        _ = Box((-1, 0, 0), (1, 1, 1)).slices
