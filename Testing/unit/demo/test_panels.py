import numpy as np
import pytest

from hrseg.demo.panels import Cut, Region, dark_figure, edges, gray_window, outline, show_image
from hrseg.geometry import Grid
from hrseg.image import Image


def image(values, grid):
    return Image(np.asarray(values)[None], grid)


def test_the_edges_of_a_voxel_are_its_four_sides():
    mask = np.zeros((2, 3), dtype=bool)
    mask[1, 2] = True
    # Voxels are 5 mm high and 2 mm wide, from 10 mm down and 20 mm right.
    lines = edges(mask, Region(10, 20, 20, 26))
    found = {tuple(sorted(map(tuple, line))) for line in lines.tolist()}
    assert found == {
        ((24, 15), (26, 15)),
        ((24, 20), (26, 20)),
        ((24, 15), (24, 20)),
        ((26, 15), (26, 20)),
    }
    assert len(lines) == 4


def test_the_same_shape_has_the_same_outline_in_finer_voxels():
    mask = np.zeros((4, 4), dtype=bool)
    mask[1:3, 1:4] = True
    whole = Region(0, 8, 0, 8)
    coarse, fine = edges(mask, whole), edges(mask.repeat(2, 0).repeat(2, 1), whole)
    length = [np.abs(np.diff(lines, axis=1)).sum() for lines in (coarse, fine)]
    assert length == [20, 20]
    assert [fine[..., axis].max() for axis in (0, 1)] == [coarse[..., axis].max() for axis in (0, 1)] == [8, 6]


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAL"])
@pytest.mark.parametrize(("axis", "corner"), [(0, (0, 0)), (1, (0, 0)), (2, (0, 0))])
def test_right_anterior_superior_come_first(orientation, axis, corner):
    grid = Grid.from_spacing((4, 6, 8), (3, 2, 1))
    array = np.zeros(grid.shape)
    # k, j, i run to S, A, R: the last voxel is the most superior, anterior, right one.
    array[-1, -1, -1] = 1
    change = grid.reorientation(orientation)
    cut = Cut.through(grid.reoriented(change), axis, {0: 0.99, 1: 0.0, 2: 0.0}[axis])
    plane = cut.of(change.apply(array))
    assert plane[corner] == 1
    assert cut.whole.size == {0: (12, 8), 1: (12, 8), 2: (12, 12)}[axis]


def test_a_cut_is_at_the_same_place_in_finer_voxels():
    grid = Grid.from_spacing((4, 2, 2))
    array = np.arange(4).repeat(4).reshape(4, 2, 2)
    cut = Cut.through(grid, 0, 0.6)
    assert (cut.of(array) == 2).all()
    assert (cut.of(array.repeat(3, axis=0)) == 2).all()


def test_gray_windows():
    grid = Grid.from_spacing((1, 10, 10))
    ct = np.full(grid.shape, -1000, dtype=np.int16)
    assert gray_window(image(ct, grid)) == (-160, 240)
    low, high = gray_window(image(np.linspace(0, 100, 100).reshape(grid.shape), grid))
    assert (low, high) == pytest.approx((0.5, 99.5))
    constant = gray_window(image(np.ones(grid.shape), grid))
    assert constant[0] < constant[1]
    assert gray_window(Image(np.zeros((3, *grid.shape), dtype=np.uint8), grid)) == (0, 255)


def test_panels_show_the_region_in_millimetres():
    grid = Grid.from_spacing((1, 10, 20), (1, 2, 1))
    _, (ax, *rest) = dark_figure(1, 2, (2, 2))
    cut = Cut.through(grid, 0, 0.5)
    show_image(ax, image(np.zeros(grid.shape), grid), cut, (0, 1), Region(4, 10, 3, 9))
    outline(ax, np.ones((5, 5), dtype=bool), cut.whole, "white", 1)
    assert (ax.get_xlim(), ax.get_ylim()) == ((3, 9), (10, 4))
    assert tuple(ax.images[0].get_extent()) == (0, 20, 20, 0)
    assert len(ax.collections[0].get_segments()) == 20
    assert len(rest) == 1
