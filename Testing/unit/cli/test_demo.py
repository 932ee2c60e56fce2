import pytest

from hrseg.geometry import Grid
from hrseg.image import write_image
from hrseg.phantom import LABELS, default_grid
from training_helpers import scene, write_model


@pytest.fixture
def image(tmp_path):
    grid = Grid.from_spacing((20, 20, 20))
    values, truth = scene(0)
    write_image(tmp_path / "scan.nii.gz", values, grid)
    write_image(tmp_path / "truth.nii.gz", truth, grid)
    return tmp_path / "scan.nii.gz"


def test_the_phantom_with_the_models_at_hand(hrseg, tmp_path, monkeypatch):
    write_model(tmp_path / "a.safetensors", name="phantom-ct-patch-based", labels=list(LABELS))
    monkeypatch.setenv("HRSEG_MODELS", str(tmp_path))
    monkeypatch.setattr("hrseg.demo.phantom.default_grid", lambda: default_grid((20, 20, 16), 14.0))
    done = hrseg("demo", "-o", tmp_path / "out")
    assert done.code == 0
    assert done.err == (
        "Note: not at hand: phantom-ct-crop-cascade, phantom-ct-pfseg, phantom-ct-oss-net, phantom-ct-sasr; "
        "their recipes are in recipes/.\n"
    )
    first, second = (line.split("│") for line in done.out.splitlines() if "Sliding window" in line)
    assert [cell.strip() for cell in first[1:4]] == ["5 labels", "Sliding window", "14"]
    assert [cell.strip() for cell in second[1:4]] == ["liver lesion", "Sliding window", "14"]
    assert first[8].strip() != ""
    assert second[8].strip() == second[9].strip() == ""
    assert (tmp_path / "out" / "phantom.png").exists()


def test_no_model_at_hand(hrseg, tmp_path):
    done = hrseg("demo", "-o", tmp_path / "out")
    assert done.code == 2
    assert done.error.startswith("None of the demo's models is at hand")


def test_an_image_of_ones_own(hrseg, tmp_path, model, image):
    done = hrseg("demo", "--image", image, "--model", model, "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    assert f"Picture: {tmp_path}/out/scan-tiny.png" in done.out
    assert "Dice" not in done.out
    done = hrseg("demo", "--image", image, "--model", model, "--truth", tmp_path / "truth.nii.gz", "-o", tmp_path / "b")
    assert "surface Dice" in done.out
    assert "peak memory" in done.out


def test_options_that_need_each_other(hrseg, tmp_path, model, image):
    assert hrseg("demo", "--model", model).error == "--model and --truth say how --image is shown; name the image, too."
    assert hrseg("demo", "--image", image).error.startswith(f'Which model is to segment "{image}"?')
