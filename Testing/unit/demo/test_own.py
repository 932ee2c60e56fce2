import numpy as np
import pytest
import SimpleITK as sitk
import torch

from hrseg.demo.own import show_own
from hrseg.demo.own_picture import own_figure
from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.image import Image, LabelMap, write_image
from hrseg.labels import Label
from hrseg.runtime import no_progress
from hrseg.truth_grid import measuring_grid
from training_helpers import LABEL, scene, write_model

CPU = torch.device("cpu")
GRID = Grid.from_spacing((20, 20, 20), (1, 2, 2))


@pytest.fixture
def scan(tmp_path):
    image, truth = scene(0)
    write_image(tmp_path / "scan.nii.gz", image, GRID)
    write_image(tmp_path / "truth.nii.gz", truth, GRID)
    return tmp_path / "scan.nii.gz"


@pytest.fixture
def model(tmp_path):
    return str(write_model(tmp_path / "tiny.safetensors"))


@pytest.fixture
def flat_model(tmp_path):
    """Of one label, for pictures and slices."""
    path = write_model(
        tmp_path / "flat.safetensors",
        dimension=2,
        labels=LABEL[:1],
        inference={"window": [16, 16]},
        preprocessing={"intensity": {"kind": "window", "low": 0, "high": 200}},
    )
    return str(path)


def test_an_image_alone(tmp_path, scan, model):
    shown = show_own(scan, model, None, tmp_path / "out", CPU, no_progress)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scan-tiny.png", "scan-tiny.seg.nrrd"]
    assert shown.scores == {}
    found = shown.result.label_map.array
    assert shown.sizes == {
        name: pytest.approx((found == value).sum() * 4 / 1000) for value, name in ((1, "ball"), (2, "cube"))
    }
    assert (shown.unit, shown.true_sizes) == ("ml", {})
    assert shown.forecast > 0
    assert "forecast" in shown.run.seconds


def test_with_a_truth(tmp_path, scan, model):
    truth = scene(0)[1]
    shown = show_own(scan, model, tmp_path / "truth.nii.gz", tmp_path / "out", CPU, no_progress)
    found = shown.result.label_map.array
    for value, name in ((1, "ball"), (2, "cube")):
        a, b = found == value, truth == value
        assert shown.scores[name]["dice"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_truth_of_other_values(tmp_path, scan, model):
    write_image(tmp_path / "odd.nii.gz", scene(0)[1] + 5, GRID)
    with pytest.raises(InputError, match=r"odd\.nii\.gz.*values.*5, 6, 7.*1 ball, 2 cube"):
        show_own(scan, model, tmp_path / "odd.nii.gz", tmp_path / "out", CPU, no_progress)
    with pytest.raises(InputError, match=r'no file ".*none.nii.gz"'):
        show_own(scan, model, tmp_path / "none.nii.gz", tmp_path / "out", CPU, no_progress)
    assert not (tmp_path / "out").exists()


def test_masks_of_a_single_label_may_have_any_value(tmp_path, scan):
    model = str(write_model(tmp_path / "one.safetensors", labels=LABEL[:1]))
    mask = (scene(0)[1] == 1).astype(np.uint8) * 255
    write_image(tmp_path / "mask.nii.gz", mask, GRID)
    shown = show_own(scan, model, tmp_path / "mask.nii.gz", tmp_path / "out", CPU, no_progress)
    assert shown.true_sizes == {"ball": pytest.approx((mask > 0).sum() * 4 / 1000)}


def test_a_picture_in_two_dimensions(tmp_path, flat_model):
    rng = np.random.default_rng(0)
    for name in ("photo.png", "mask.jpg"):
        sitk.WriteImage(sitk.GetImageFromArray(rng.integers(0, 255, (24, 32)).astype(np.uint8)), tmp_path / name)
    truth = tmp_path / "mask.jpg"
    shown = show_own(tmp_path / "photo.png", flat_model, truth, tmp_path / "out", CPU, no_progress)
    mask = sitk.GetArrayFromImage(sitk.ReadImage(truth))
    # JPEG blurs masks: what is above the middle counts.
    assert (shown.unit, shown.true_sizes) == ("pixels", {"ball": (mask > 127).sum()})


def test_pictures_are_measured_in_their_own_pixels_and_slices_in_mm(tmp_path, flat_model):
    rng = np.random.default_rng(0)
    images = [sitk.GetImageFromArray(values.astype(np.uint8)) for values in rng.integers(0, 255, (2, 24, 32))]
    truth = np.zeros((24, 32), np.uint8)
    truth[4:20, 6:16] = 1
    images[1] = sitk.GetImageFromArray(truth)
    found = {}
    for ending in ("tif", "nii.gz"):
        for image, name in zip(images, ("image", "truth"), strict=True):
            image.SetSpacing((0.5, 0.5))
            sitk.WriteImage(image, tmp_path / f"{name}.{ending}")
        found[ending] = show_own(
            tmp_path / f"image.{ending}", flat_model, tmp_path / f"truth.{ending}", tmp_path / "out", CPU, no_progress
        )
    picture, plane = found["tif"], found["nii.gz"]
    assert (picture.unit, plane.unit) == ("pixels", "mm²")
    assert plane.true_sizes["ball"] == pytest.approx(picture.true_sizes["ball"] / 4)
    grid = plane.result.label_map.grid
    assert measuring_grid(tmp_path / "image.tif", grid, grid.finer((1, 2, 2))).spacing == (1, 0.5, 0.5)
    assert measuring_grid(tmp_path / "image.nii.gz", grid, grid.finer((1, 2, 2))).spacing == (1, 0.25, 0.25)


def test_a_flat_image_is_shown_alone_and_outlined():
    grid = Grid.from_spacing((1, 40, 40))
    array = np.zeros(grid.shape)
    array[0, 20:24, 10:18] = 1
    figure = own_figure(Image(np.ones((1, *grid.shape)), grid), labelled(array, grid), LABEL[:1])
    alone, outlined = figure.axes
    assert (len(alone.collections), len(outlined.collections)) == (0, 1)
    # Axes run to R and A, so that the last voxel is the upper left one; 5 mm are added.
    assert outlined.get_xlim() == (17, 35)
    assert outlined.get_ylim() == (25, 11)


def labelled(array, grid=GRID):
    return LabelMap(array.astype(np.uint8), grid)


def picture(found, truth=None):
    return own_figure(Image(scene(0)[0][None], GRID), found, [Label(1, "ball", (255, 0, 0))], truth)


def test_three_planes_whole_and_close():
    array = np.zeros(GRID.shape)
    array[4:6, 10:12, 14:16] = 1
    figure = picture(labelled(array))
    assert [ax.get_title() for ax in figure.axes[:3]] == ["axial", "coronal", "sagittal"]
    assert len(figure.axes) == 6
    # 40 x 40 mm in all; the object is 4 mm wide and gets 5 mm around it. i and j run to R and A, which come first.
    close = figure.axes[3]
    assert close.get_xlim() == (3, 17)
    assert close.get_ylim() == (25, 11)
    # A voxel-wide cross-section of 2 x 2 voxels has 8 edges, in each of the views.
    assert [len(ax.collections[0].get_segments()) for ax in figure.axes] == [8] * 6


def test_a_result_finer_than_the_image_is_outlined_in_its_own_voxels():
    array = np.zeros(GRID.finer(2).shape)
    array[8:12, 20:24, 28:32] = 1
    figure = picture(labelled(array, GRID.finer(2)))
    assert len(figure.axes[0].collections[0].get_segments()) == 16


def test_the_truth_is_drawn_in_white_and_what_fills_the_image_has_no_frame():
    truth = np.zeros(GRID.shape)
    truth[2:18, 2:18, 2:18] = 1
    figure = picture(labelled(np.zeros(GRID.shape)), labelled(truth))
    assert len(figure.axes) == 3
    assert not figure.axes[0].patches
    result, drawn = figure.axes[0].collections
    assert len(result.get_segments()) == 0
    assert len(drawn.get_segments()) == 64
    assert drawn.get_color().tolist() == [[1, 1, 1, 1]]


def test_nothing_found():
    figure = picture(labelled(np.zeros(GRID.shape)))
    assert len(figure.axes) == 3
