import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from hrseg.errors import InputError, OutputError
from hrseg.geometry import Box, Grid
from hrseg.image import read_image, read_label_map
from hrseg.phantom import LABELS, Torso, default_grid, write_cases
from hrseg.phantom.shapes import Capsule, Ellipsoid, Solid

COARSE = default_grid((32, 32, 24), 8.0)
LIVER, LESION, KIDNEYS, SPINE, VESSELS = (label.value for label in LABELS)


@pytest.fixture(scope="module")
def torso() -> Torso:
    return Torso.random(7)


def _voxel_centers(grid: Grid) -> NDArray:
    return grid.to_world(np.stack(np.indices(grid.shape), axis=-1))


def _oblique(grid: Grid) -> Grid:
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0, 5], [s, c, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1]])
    return Grid(grid.shape, turn @ grid.affine)


@pytest.mark.parametrize(
    "grid",
    [
        COARSE,
        COARSE.reoriented(COARSE.reorientation("PSL")),
        _oblique(COARSE),
        COARSE.crop(Box((-3, 5, 0), (9, 40, 20))),
    ],
    ids=["RAS", "PSL", "oblique", "crop beyond the field of view"],
)
def test_label_map_is_labels_at_voxel_centers(torso: Torso, grid: Grid) -> None:
    expected = torso.labels_at(_voxel_centers(grid))
    assert set(np.unique(expected)) >= {0, LIVER, KIDNEYS, SPINE, VESSELS}
    np.testing.assert_array_equal(torso.label_map(grid).array, expected)


def test_three_times_finer_labels_agree_at_common_points(torso: Torso) -> None:
    # Voxel n of the coarse grid has its centre at voxel 3 n + 1 of the finer one.
    fine = torso.label_map(COARSE.finer(3)).array[1::3, 1::3, 1::3]
    np.testing.assert_array_equal(fine, torso.label_map(COARSE).array)


def test_labels_are_those_of_the_foremost_tissue(torso: Torso) -> None:
    grid = COARSE.finer(2)
    table = np.array([0, *(part.label for part in torso.parts)])
    np.testing.assert_array_equal(torso.label_map(grid).array, table[torso.tissues(grid)])


def test_lesion_volume_converges_to_that_of_its_diameter(torso: Torso) -> None:
    lesion = torso.lesions[0]
    solid = lesion.shapes[0]
    assert isinstance(solid, Solid)
    nominal = 4 / 3 * np.pi * np.prod(solid.adds[0].radii)
    only = replace(torso, parts=(lesion,))
    volumes = []
    for spacing in (8.0, 4.0, 2.0, 1.0):
        low, high = np.add(solid.bounds(), [[-8], [8]])
        grid = Grid.from_spacing(np.ceil((high - low)[::-1] / spacing).astype(int), spacing, low)
        volumes.append(np.count_nonzero(only.label_map(grid).array) * spacing**3)
    # The warp preserves volume; lobules change it in second order only.
    assert volumes[-1] == pytest.approx(nominal, rel=0.08)
    assert abs(volumes[2] - volumes[3]) < 0.01 * volumes[3]
    assert abs(volumes[2] - volumes[3]) < abs(volumes[0] - volumes[3])


@pytest.mark.parametrize("case", range(4))
def test_lesions_lie_in_the_liver_and_have_the_promised_sizes(case: int) -> None:
    torso = Torso.random(11, case)
    diameters = [2 * np.cbrt(np.prod(part.shapes[0].adds[0].radii)) for part in torso.lesions]  # type: ignore[union-attr]
    assert 4 <= len(diameters) <= 10
    assert diameters == sorted(diameters, reverse=True)
    assert diameters[-1] >= 2.9
    assert diameters[0] <= 60
    assert sum(d > 35 for d in diameters) <= 2
    liver = next(part for part in torso.parts if part.name == "liver").shapes[0]
    assert isinstance(liver, Solid)
    rng = np.random.default_rng(0)
    for part in torso.lesions:
        shape = part.shapes[0]
        assert isinstance(shape, Solid)
        points = rng.uniform(*shape.bounds(), (500, 3)).T
        inside = shape.distance(*points) < 0
        assert inside.any()
        assert (liver.distance(*points)[inside] < 0).all()


def test_nothing_of_a_shape_exceeds_its_bounds(torso: Torso) -> None:
    rng = np.random.default_rng(0)
    for part in torso.parts:
        for shape in part.shapes:
            for piece in shape.pieces:
                low, high = piece.bounds()
                points = rng.uniform(low - 0.2 * (high - low), high + 0.2 * (high - low), (200, 3))
                inside = piece.distance(*points.T) < 0
                assert ((points >= low) & (points <= high)).all(axis=1)[inside].all(), part.name


def test_liver_is_on_the_right_and_spine_behind_vessels(torso: Torso) -> None:
    points, labels = _voxel_centers(COARSE), torso.label_map(COARSE).array
    centers = {label.value: points[labels == label.value].mean(axis=0) for label in LABELS}
    assert centers[LIVER][0] > 20
    assert abs(centers[SPINE][0]) < 10
    assert centers[SPINE][1] < centers[VESSELS][1] < centers[LIVER][1]
    assert (points[labels == KIDNEYS][:, 0] > 0).any()
    assert (points[labels == KIDNEYS][:, 0] < 0).any()


def test_body_stays_inside_the_field_of_view(torso: Torso) -> None:
    image = torso.image(COARSE).array[0]
    border = np.concatenate([image[:, :, 0], image[:, :, -1], image[:, -1]])
    assert border.mean() == pytest.approx(-1000, abs=5)
    assert np.median(image[:, 12:20, 12:20]) > -150


def test_image_is_ct_of_the_tissues(torso: Torso) -> None:
    grid = default_grid((64, 64, 48), 4.0)
    image, labels = torso.image(grid), torso.label_map(grid).array
    assert image.array.dtype == np.int16
    assert image.array.shape == (1, *grid.shape)
    inner = ndimage.binary_erosion(labels == LIVER)
    hu = next(part.hu for part in torso.parts if part.name == "liver")
    assert image.array[0][inner].mean() == pytest.approx(hu, abs=5)
    # Noise is given for 8 cubic mm; these voxels are 8 times as large.
    assert image.array[0][inner].std() == pytest.approx(torso.noise / np.sqrt(4), rel=0.5)


def test_boundary_voxels_are_between_their_tissues() -> None:
    # One ball of 30 mm and 100 HU in air, without warp, texture, blur and noise.
    base = Torso.random(1)
    ball = replace(base.lesions[0], hu=100.0, shapes=(Solid((Ellipsoid((0, 0, 0), (15, 15, 15), 0.0),), 1.0),))
    still = tuple(replace(shear, amplitude=0.0) for shear in base.warp)
    torso = replace(base, parts=(ball,), warp=still, texture=(), blur=1e-6, noise=0.0)  # type: ignore[arg-type]
    grid = default_grid((12, 12, 12), 4.0)
    image = torso.image(grid).array[0]
    from_center = np.linalg.norm(_voxel_centers(grid), axis=-1)
    half_diagonal = 2 * np.sqrt(3)
    assert (image[from_center < 15 - half_diagonal] == 100).all()
    assert (image[from_center > 15 + half_diagonal] == -1000).all()
    assert ((image > -1000) & (image < 100)).sum() > 50
    # All of the ball's matter is there, to the accuracy of 8 samples per voxel.
    volume = ((image + 1000.0) / 1100).sum() * grid.voxel_volume
    assert volume == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)


def test_json_gives_the_same_torso_back(torso: Torso) -> None:
    assert Torso.from_json(torso.to_json()) == torso


@pytest.mark.parametrize("text", ["", "[]", '{"seed": 1}'])
def test_bad_json_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="parameters cannot be read"):
        Torso.from_json(text)


def test_same_seed_gives_the_same_image(torso: Torso) -> None:
    assert Torso.random(7) == torso
    grid = default_grid((8, 8, 6), 32.0)
    first, again, other = (torso.image(grid, seed).array for seed in (None, None, 3))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_seeds_and_cases_share_no_parameter() -> None:
    drawn = [_floats(json.loads(Torso.random(*key).to_json())) for key in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    assert min(map(len, drawn)) > 1000
    assert len(set().union(*drawn)) == sum(map(len, drawn))


def _floats(node: object) -> set[float]:
    if isinstance(node, dict | list):
        return set().union(*map(_floats, node.values() if isinstance(node, dict) else node))
    return {node} if isinstance(node, float) else set()


@pytest.mark.parametrize("seed", [0, 2])
def test_thresholds_do_not_find_the_lesions(seed: int) -> None:
    """Not even the best window of HU, on the image or a denoised one, when told how many lesions there are."""
    grid = default_grid((64, 64, 48), 4.0)
    torso = Torso.random(seed)
    truth = torso.label_map(grid).array == LESION
    assert truth.sum() > 20
    image = torso.image(grid).array[0].astype(np.float32)
    windows = [(low, high) for low in range(-20, 120, 20) for high in range(low + 20, 141, 20)]
    scores = []
    for hu in (image, ndimage.gaussian_filter(image, 0.7)):
        scores += [_dice(_largest((hu > low) & (hu < high), len(torso.lesions)), truth) for low, high in windows]
    assert 0 < max(scores) < 0.6


def _largest(mask: NDArray, count: int) -> NDArray:
    parts, _ = ndimage.label(mask)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    keep = np.zeros(sizes.size, dtype=bool)
    keep[np.argsort(sizes)[-count:]] = True
    return keep[parts] & mask


def _dice(a: NDArray, b: NDArray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(-30, 30))
def test_capsule_of_constant_radius_has_exact_distances(x: float, y: float, z: float) -> None:
    rod = Capsule((0, 0, 0), (0, 0, 10), 2, 2)
    expected = np.hypot(np.hypot(x, y), max(-z, 0, z - 10)) - 2
    assert rod.distance(*np.array([[x], [y], [z]]))[0] == pytest.approx(expected, abs=1e-9)


def test_rotated_ellipsoid_points_its_long_axis_elsewhere() -> None:
    # A quarter turn about S takes the long first axis from R to A.
    shape = Ellipsoid((1, 2, 3), (20, 5, 5), 0.0, (0, 0, 90))
    inside = [shape.distance(*(np.array([c]) for c in point))[0] < 0 for point in [(1, 21, 3), (1, -17, 3), (20, 2, 3)]]
    assert inside == [True, True, False]
    np.testing.assert_allclose(shape.bounds(), [[-4, -18, -2], [6, 22, 8]])


def test_default_grid_is_centered_and_takes_i_j_k() -> None:
    grid = default_grid((8, 6, 4), (1.0, 2.0, 3.0))
    assert grid.shape == (4, 6, 8)
    assert grid.spacing == (3.0, 2.0, 1.0)
    np.testing.assert_allclose(grid.to_world([1.5, 2.5, 3.5]), 0, atol=1e-12)
    assert default_grid().shape == (96, 128, 128)


@pytest.mark.parametrize(
    ("size", "spacing"), [((8, 8), 2.0), ((8, 0, 8), 2.0), ((8, 8, 8), 0.0), ((8, 8, 8), (1, np.nan, 1))]
)
def test_impossible_grids_are_refused(size: tuple[int, ...], spacing: float) -> None:
    with pytest.raises(InputError, match="must be positive"):
        default_grid(size, spacing)


def test_written_cases_read_back_on_their_grids(tmp_path) -> None:
    seen: list[tuple[int, int]] = []
    size, spacing = (16, 20, 12), (14.0, 12.0, 16.0)
    path = write_cases(tmp_path / "set", 2, size, spacing, 3, 8.0, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    listing = json.loads(path.read_text())
    assert [len(listing[split]) for split in ("training", "validation", "test")] == [1, 0, 1]
    assert listing["labels"] == {"0": "background", **{str(label.value): label.name for label in LABELS}}
    assert listing["licence"] == "CC0-1.0"
    entry = listing["test"][0]
    image = read_image(path.parent / entry["image"])
    label = read_label_map(path.parent / entry["label"])
    truth = read_label_map(path.parent / "truth/case_001.nii.gz")
    torso = Torso.from_json((path.parent / "parameters/case_001.json").read_text())
    assert torso == Torso.random(3, 1)
    assert (image.array.dtype, label.array.dtype) == (np.int16, np.uint8)
    grid = default_grid(size, spacing)
    assert image.grid.matches(grid)
    assert label.grid.matches(grid)
    np.testing.assert_array_equal(image.array, torso.image(grid).array)
    np.testing.assert_array_equal(label.array, torso.label_map(grid).array)
    assert truth.grid.matches(grid.with_spacing(8.0))
    np.testing.assert_array_equal(truth.array, torso.label_map(grid.with_spacing(8.0)).array)


def test_split_is_70_10_20_and_a_single_case_is_for_testing(tmp_path, monkeypatch, torso: Torso) -> None:
    monkeypatch.setattr(Torso, "random", lambda seed, case: replace(torso, parts=torso.parts[:3]))
    tiny = {"size": (2, 2, 2), "spacing": 100.0}
    for cases, counts in ((1, [0, 0, 1]), (10, [7, 1, 2])):
        listing = json.loads(write_cases(tmp_path / str(cases), cases, **tiny).read_text())
        assert [len(listing[split]) for split in ("training", "validation", "test")] == counts
    assert not (tmp_path / "1/truth").exists()


def test_bad_requests_to_write_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="0 cases"):
        write_cases(tmp_path, 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot make the folder"):
        write_cases(tmp_path / "file", 1, (2, 2, 2), 100.0)
