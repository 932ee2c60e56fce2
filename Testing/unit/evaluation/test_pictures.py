import numpy as np
import pytest

from hrseg.errors import InputError
from hrseg.evaluation.pictures import CasePicture, contour_figure
from hrseg.geometry import Grid
from hrseg.labels import Label


def block(shape, rows, columns, depth=(0, 1)):
    result = np.zeros(shape, dtype=np.uint8)
    result[depth[0] : depth[1], rows[0] : rows[1], columns[0] : columns[1]] = 1
    return result


def as_seen(ax):
    """The pixels of a panel, first row on top."""
    image = ax.images[0]
    return image.get_array()[::-1] if image.origin == "lower" else image.get_array()


def bright_corners(ax):
    view = as_seen(ax)
    return {
        ("top" if row < view.shape[0] / 2 else "bottom", "left" if column < view.shape[1] / 2 else "right")
        for row, column in np.argwhere(view > 0.5)
    }


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "SAL"])
def test_right_is_on_the_left_and_anterior_or_superior_on_top(orientation):
    grid = Grid.from_spacing((20, 20, 20))
    truth = block(grid.shape, (8, 12), (8, 12), (8, 12))
    image = np.zeros(grid.shape, dtype=np.float32)
    # k, j, i run to S, A, R. The views pass through k = 8, j = 11 and i = 11: one bright voxel in each.
    image[8, 15, 15] = image[15, 11, 15] = image[15, 15, 11] = 1
    change = grid.reorientation(orientation)
    image, truth = change.apply(image), change.apply(truth)
    figure = contour_figure(CasePicture("c", image, grid.reoriented(change), truth, truth))
    assert [bright_corners(ax) for ax in figure.axes] == [{("top", "left")}] * 3
    assert ["".join(t.get_text() for t in ax.texts) for ax in figure.axes] == ["RLAP", "RLSI", "APSI"]


def test_views_have_the_proportions_of_the_patient():
    grid = Grid.from_spacing((8, 20, 20), (3.0, 1.0, 0.5))
    truth = block(grid.shape, (8, 12), (8, 12), (3, 5))
    figure = contour_figure(CasePicture("c", truth, grid, truth, truth))
    assert [ax.get_aspect() for ax in figure.axes] == [2.0, 6.0, 3.0]


def test_contours_follow_the_edges_of_the_voxels():
    grid = Grid.from_spacing((1, 20, 20)).reoriented(Grid.from_spacing((1, 20, 20)).reorientation("LPS"))
    truth, prediction = block(grid.shape, (4, 15), (0, 11)), block(grid.shape, (5, 16), (0, 11))
    figure = contour_figure(CasePicture("c", truth * 9, grid, truth, prediction))
    (ax,) = figure.axes
    solid, dashed = ax.collections
    assert solid.get_paths()[0].get_extents().bounds == pytest.approx((-0.5, 3.5, 11, 11))
    assert dashed.get_paths()[0].get_extents().bounds == pytest.approx((-0.5, 4.5, 11, 11))
    assert solid.get_linestyle()[0][1] is None
    assert dashed.get_linestyle()[0][1] is not None
    assert ax.get_xlim() == (-0.5, 19.5)


def test_a_small_object_of_a_2d_image_is_also_shown_large():
    grid = Grid.from_spacing((1, 40, 40))
    truth = block(grid.shape, (18, 22), (18, 22))
    figure = contour_figure(CasePicture("c", truth, grid, truth, truth))
    assert [as_seen(ax).shape for ax in figure.axes] == [(40, 40), (12, 12)]
    assert not figure.axes[0].texts


def test_ct_is_shown_in_a_soft_tissue_window():
    grid = Grid.from_spacing((1, 1, 4))
    image = np.array([[[-1000, -160, 40, 900]]], dtype=np.int16)
    truth = np.ones(grid.shape, dtype=np.uint8)
    figure = contour_figure(CasePicture("c", image, grid, truth, truth))
    assert as_seen(figure.axes[0]).ravel().tolist() == [1, 0.5, 0, 0]


def test_colours_stay_as_they_are():
    grid = Grid.from_spacing((1, 6, 6))
    image = np.zeros((3, *grid.shape), dtype=np.uint8)
    image[0] = 255
    image[1] = 51
    truth = block(grid.shape, (1, 5), (1, 5))
    figure = contour_figure(CasePicture("c", image, grid, truth, truth))
    np.testing.assert_allclose(as_seen(figure.axes[0])[0, 0], [1, 0.2, 0], atol=1e-6)


def test_legend_names_the_labels_that_are_there():
    grid = Grid.from_spacing((1, 6, 6))
    truth = block(grid.shape, (1, 5), (1, 5)) * 3
    labels = [Label(3, "liver", (221, 130, 101)), Label(4, "spleen", (157, 108, 162))]
    named = contour_figure(CasePicture("c", truth, grid, truth, truth, labels=labels))
    assert [t.get_text() for t in named.legends[0].get_texts()] == ["truth", "prediction", "liver"]
    unnamed = contour_figure(CasePicture("c", truth, grid, truth, truth * 2))
    assert [t.get_text() for t in unnamed.legends[0].get_texts()] == ["truth", "prediction", "label 3", "label 6"]


@pytest.mark.parametrize(("shape", "panels"), [((6, 7, 8), 3), ((1, 7, 8), 1)])
def test_a_case_without_foreground_is_shown_whole(shape, panels):
    empty = np.zeros(shape, dtype=np.uint8)
    figure = contour_figure(CasePicture("c", empty, Grid.from_spacing(shape), empty, empty))
    assert len(figure.axes) == panels
    assert as_seen(figure.axes[0]).shape == (7, 8)


def test_arrays_of_another_shape_are_refused():
    ones = np.ones((2, 3, 4))
    with pytest.raises(InputError, match=r"\(2, 3, 4\).*\"case 7\""):
        CasePicture("case 7", ones, Grid.from_spacing((2, 3, 5)), ones, ones)
