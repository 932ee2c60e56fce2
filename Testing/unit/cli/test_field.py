import json

import numpy as np
import pytest

from field_models import ball_image, random_model, threshold_model
from hrseg.geometry import Box, Grid
from hrseg.image import read_image, read_label_map, write_image
from hrseg.model_file import load_model, save_model
from hrseg.oss_net.field_file import load_field
from hrseg.prompts import RegionBox, write_boxes

#: (k, j, i), and a border of the ball that is 8 voxels wide.
SHAPE, RADIUS = (20, 26, 22), 6.3


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with a model that is called tiny."""
    folder = tmp_path_factory.mktemp("models")
    made = threshold_model()
    save_model(folder / "tiny.safetensors", made.header, made.network)
    return folder


@pytest.fixture
def scan(tmp_path, models, monkeypatch):
    """An image, and where models are found."""
    monkeypatch.setenv("HRSEG_MODELS", str(models))
    image = ball_image(SHAPE, RADIUS)
    write_image(tmp_path / "scan.nii.gz", image.array[0], image.grid)
    return tmp_path / "scan.nii.gz"


@pytest.fixture
def saved(hrseg, tmp_path, scan):
    """The field of the image, whose file is gone."""
    path = tmp_path / "scan.field.safetensors"
    assert hrseg("segment", scan, "--model", "tiny", "-o", tmp_path / "first.nii.gz", "--save-field", path).code == 0
    scan.unlink()
    return path


@pytest.mark.parametrize("spacing", [None, "0.5", "1,0.5,2"])
def test_the_same_as_segmenting(hrseg, tmp_path, scan, spacing):
    options = [] if spacing is None else ["--spacing", spacing]
    field, report = tmp_path / "scan.field.safetensors", tmp_path / "report.json"
    first, again = tmp_path / "first.nii.gz", tmp_path / "again.nii.gz"
    before, after = tmp_path / "p.nii.gz", tmp_path / "q.nii.gz"
    made = hrseg("segment", scan, "--model", "tiny", "-o", first, "--save-field", field, *options)
    scan.unlink()
    done = hrseg("field", field, "-o", again, "--report", report, *options)
    assert (made.code, done.code, done.err) == (0, 0, "")
    assert f"{field} → {again}" in done.out
    expected, found = read_label_map(first), read_label_map(again)
    assert found.grid.matches(expected.grid)
    assert np.array_equal(found.array, expected.array)
    assert found.array.any()
    content = json.loads(report.read_text())
    assert (content["model"], content["method"]) == ("tiny", "oss_net")
    assert set(content["seconds"]) == {"reading", "field", "writing", "total"}
    assert content["peak_memory_mib"] < content["forecast_memory_mib"]
    # And with probabilities, from which segmenting takes its labels then.
    write_image(scan, ball_image(SHAPE, RADIUS).array[0], ball_image(SHAPE, RADIUS).grid)
    hrseg("segment", scan, "--model", "tiny", "-o", first, "--save-probability", before, *options)
    assert hrseg("field", field, "-o", again, "--save-probability", after, *options).code == 0
    assert np.array_equal(read_label_map(again).array, read_label_map(first).array)
    for label in ("liver", "spine"):
        one, other = (read_image(tmp_path / f"{name}-{label}.nii.gz") for name in "pq")
        assert np.array_equal(one.array, other.array)


def test_the_voxels_of_another_image(hrseg, tmp_path, saved):
    # Turned by a quarter, at other voxels, and partly outside.
    affine = np.array([[0, -1.5, 0, 20], [1.5, 0, 0, -7], [0, 0, 2, 5], [0, 0, 0, 1]])
    grid = Grid((14, 12, 10), affine)
    write_image(tmp_path / "other.nrrd", np.zeros(grid.shape, np.uint8), grid)
    assert hrseg("field", saved, "-o", tmp_path / "o.nrrd", "--like", tmp_path / "other.nrrd").code == 0
    found = read_label_map(tmp_path / "o.nrrd")
    assert found.grid.matches(grid)
    middle = ball_image(SHAPE, RADIUS).grid.to_world((np.array(SHAPE) - 1) / 2)
    distance = np.linalg.norm(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) - middle, axis=-1)
    assert (found.array[distance < RADIUS - 0.5] == 1).all()
    assert not found.array[distance > RADIUS + 0.5].any()
    assert 0 < found.array.sum() < found.array.size


def test_a_region(hrseg, tmp_path, saved):
    grid = ball_image(SHAPE, RADIUS).grid
    region = tmp_path / "region.mrk.json"
    write_boxes(region, [RegionBox.of_voxels(Box((2, 4, 6), (10, 14, 22)), grid)])
    options = ["--spacing", "0.5"]
    assert hrseg("field", saved, "-o", tmp_path / "all.nrrd", *options).code == 0
    done = hrseg("field", saved, "-o", tmp_path / "part.nrrd", "--region", region, *options)
    assert (done.code, done.err) == (0, "")
    whole, part = read_label_map(tmp_path / "all.nrrd"), read_label_map(tmp_path / "part.nrrd")
    inside = Box((4, 8, 12), (20, 28, 44))
    assert part.grid.matches(whole.grid.crop(inside))
    assert np.array_equal(part.array, whole.array[inside.slices])
    write_boxes(region, [RegionBox.of_voxels(Box((2, 4, 6), (10, 14, 30)), grid)])
    done = hrseg("field", saved, "-o", tmp_path / "part.nrrd", "--region", region, *options)
    assert done.err == 'Note: The box "box" reaches outside the image and was clipped.\n'
    write_boxes(region, [RegionBox.of_voxels(Box((2, 4, 6), (10, 14, 22)), grid)] * 2)
    done = hrseg("field", saved, "-o", tmp_path / "part.nrrd", "--region", region)
    assert done.code == 2
    assert done.error == f'There are 2 boxes in "{region}", but one region can be looked at; keep one.'


def test_a_level_and_surfaces(hrseg, tmp_path, models, saved):
    from hrseg.oss_net.surface_file import write_surface

    out = ["-o", tmp_path / "o.nrrd", "--save-surface", tmp_path / "s.ply"]
    counts = []
    for level in (0.1, 0.9):
        done = hrseg("field", saved, *out, "--level", level)
        assert done.code == 0
        assert done.err == 'Note: Nothing of "spine" was found, so that its surface was not written.\n'
        counts.append(int((read_label_map(tmp_path / "o.nrrd").array == 1).sum()))
    assert counts[0] > counts[1] > 0
    assert sorted(path.name for path in tmp_path.glob("*.ply")) == ["s-liver.ply"]
    field = load_field(saved, load_model(models / "tiny.safetensors"))
    write_surface(tmp_path / "expected.ply", field.surface(1, level=0.9))
    assert (tmp_path / "s-liver.ply").read_bytes() == (tmp_path / "expected.ply").read_bytes()
    wrong = hrseg("field", saved, *out, "--level", "1.5")
    assert wrong.error == "The decision level 1.5 must lie between 0 and 1; 0.5 is the usual one."


def test_a_model_of_another_name(hrseg, tmp_path, models, saved, monkeypatch):
    monkeypatch.delenv("HRSEG_MODELS")
    out = ["-o", tmp_path / "o.nrrd"]
    done = hrseg("field", saved, *out)
    assert done.code == 2
    assert done.error == (
        f'The field "{saved}" was made by the model "tiny", which is not here; name its file by --model, or add it by '
        "`hrseg models add FILE`."
    )
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((models / "tiny.safetensors").read_bytes())
    assert hrseg("field", saved, *out, "--model", copy).code == 0
    other = random_model()
    save_model(tmp_path / "other.safetensors", other.header, other.network)
    done = hrseg("field", saved, *out, "--model", tmp_path / "other.safetensors")
    assert done.code == 2
    assert 'was made by the model "tiny" with other weights than those of "tiny"; load that model' in done.error


def test_a_model_that_makes_no_fields(hrseg, tmp_path, model, saved):
    done = hrseg("field", saved, "-o", tmp_path / "o.nrrd", "--model", model)
    assert done.code == 2
    assert done.error == f'The model "tiny" makes no fields; "{saved}" was made by the model "tiny".'


def test_files_that_are_missing_damaged_or_no_fields(hrseg, tmp_path, models, saved):
    out = ["-o", tmp_path / "o.nrrd"]
    missing = tmp_path / "no.field.safetensors"
    assert hrseg("field", missing, *out).error == f'There is no file "{missing}"; check the path.'
    saved.write_bytes(saved.read_bytes()[:-100])
    assert hrseg("field", saved, *out).error.startswith(f'Cannot read the field "{saved}": ')
    other = models / "tiny.safetensors"
    assert hrseg("field", other, *out).error == (
        f'"{other}" is not a field of this extension; choose a file that ends in .field.safetensors.'
    )
    assert not (tmp_path / "o.nrrd").exists()


def test_options_that_cannot_be(hrseg, tmp_path, saved):
    like = tmp_path / "first.nii.gz"
    done = hrseg("field", saved, "-o", tmp_path / "o.nrrd", "--spacing", "1,1,2", "--like", like)
    assert done.error == f'Both the spacing (1.0, 1.0, 2.0) and "{like}" say where the voxels are to be; give one.'
    done = hrseg("field", saved, "-o", tmp_path / "o.nrrd", "--save-surface", tmp_path / "s.obj")
    assert done.error == 'Cannot write "s.obj": the name of a surface must end in .ply or .stl.'
    done = hrseg("field", saved, "-o", tmp_path / "o.png")
    assert done.error.startswith('The model "tiny" makes volumes, which the picture "o.png" cannot hold')
    done = hrseg("field", saved, "-o", like, "--like", like)
    assert done.error == f'"{like}" is one of the inputs; choose another name or folder for the result.'
    done = hrseg("field", saved, "-o", tmp_path / "o.nrrd", "--spacing", "0.001", "--memory-budget", "0.5")
    assert done.code == 3
    assert "choose a coarser resolution or a smaller region" in done.error


def test_any_spacing_instead_of_the_finer_resolution(hrseg, tmp_path, scan):
    done = hrseg("segment", scan, "--model", "tiny", "-o", tmp_path / "o.nrrd", "--resolution", "fine")
    assert done.code == 2
    assert 'give the one that you want instead of the resolution "fine"' in done.error
