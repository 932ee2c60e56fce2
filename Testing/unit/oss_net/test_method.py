from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from field_models import TINY, ball_image, random_model, threshold_model
from hrseg.errors import InputError, OutOfMemory
from hrseg.geometry import Grid
from hrseg.image import Image, read_label_map, write_image
from hrseg.methods import Options, method_class, method_of, segment_on
from hrseg.model_file import Intensity, Preprocessing
from hrseg.oss_net.method import OssNet
from hrseg.oss_net.released import released
from hrseg.oss_net.surface import SURFACE
from hrseg.runtime import CPU, Run
from hrseg.segment_file import segment_file
from hrseg.segment_job import Job, plan_job
from model_helpers import tiny_model

SHAPE = (20, 26, 22)
PUBLISHED = {"sides": [16, 16, 16], "widths": [4, 8], "hidden": 16}


def expected() -> Any:
    return ball_image(SHAPE, 6.3).array[0] > 0.5


def test_in_the_table() -> None:
    assert method_class("oss_net") is OssNet
    assert OssNet.any_spacing


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "IRA"])
def test_volume_in_any_orientation(orientation: str) -> None:
    model = threshold_model(
        preprocessing=Preprocessing(orientation="LPS", intensity=Intensity(kind="window", low=0, high=1))
    )
    image = ball_image(SHAPE, 6.3)
    change = image.grid.reorientation(orientation)
    run = Run()
    result = method_of(model).segment(image.reoriented(change), Options(), run)
    assert np.array_equal(result.label_map.array, change.apply(expected()))
    assert result.label_map.grid.matches(image.grid.reoriented(change))
    assert list(run.seconds) == ["preparing", "encoding", "field"]
    assert result.probability is None
    assert result.device == "cpu"


def test_another_spacing_and_probability() -> None:
    image = ball_image(SHAPE, 6.3)
    options = Options(spacing=(0.5, 0.5, 1), keep_probability=True)
    result = OssNet(threshold_model()).segment(image, options, Run())
    assert result.label_map.grid.shape == (40, 52, 22)
    assert result.probability is not None
    assert result.probability.shape == (2, 40, 52, 22)
    assert np.array_equal(result.label_map.array == 1, result.probability[0] > 0.5)
    plain = OssNet(threshold_model()).segment(image, Options(spacing=(0.5, 0.5, 1)), Run())
    assert np.array_equal(plain.label_map.array, result.label_map.array)


def test_compared_on_the_grid_of_a_finer_truth() -> None:
    image = ball_image(SHAPE, 6.3)
    fine = image.grid.finer(2)
    result, found = segment_on(OssNet(threshold_model()), image, fine, Options(), Run())
    assert found.shape == fine.shape
    assert result.label_map.grid.matches(fine)


def test_remembered_image_is_not_encoded_again() -> None:
    method, image = OssNet(threshold_model()), ball_image(SHAPE, 6.3)
    first = method.segment(image, Options(remember=True), Run())
    run = Run()
    again = method.segment(image, Options(remember=True), run)
    assert list(run.seconds) == ["field"]
    assert np.array_equal(again.label_map.array, first.label_map.array)
    assert again.continuous is first.continuous
    other = Run()
    method.segment(ball_image(SHAPE, 5), Options(), other)
    assert "encoding" in other.seconds


@pytest.mark.parametrize("variant", ["O-Net", "A", "B", "C", "D"])
@pytest.mark.parametrize("evaluation", ["boundary", "released", "dense"])
def test_published_variants(variant: str, evaluation: str) -> None:
    model = random_model(
        network={"variant": variant, "published": PUBLISHED}, inference={"evaluation": evaluation, "chunk": 256}
    )
    result = method_of(model).segment(ball_image((12, 13, 14), 4), Options(), Run())
    assert result.label_map.array.shape == (12, 13, 14)


def test_released_scheme_grows_from_what_is_found() -> None:
    asked: list[int] = []

    def evaluate(nodes: Any) -> Any:
        asked.append(len(nodes))
        near = np.linalg.norm(nodes - np.array([8, 8, 8]), axis=1) < 5
        tiny = (nodes == (2, 2, 15)).all(axis=1)
        return (near | tiny).astype(np.uint8), np.ones(len(nodes), dtype=bool)

    labels, points = released((17, 17, 17), evaluate)
    dense = evaluate(np.indices((17, 17, 17)).reshape(3, -1).T)[0].reshape(17, 17, 17)
    # All of the ball, but not the single voxel that no stride hits.
    assert dense[2, 2, 15] == 1
    dense[2, 2, 15] = 0
    assert np.array_equal(labels, dense)
    assert asked[0] == 5**3
    assert points == sum(asked[:3])
    assert not released((17, 17, 17), evaluate, np.zeros((5, 5, 5), dtype=bool))[0].any()


def test_forecast_grows_with_the_image_and_with_what_is_kept() -> None:
    method = OssNet(random_model())
    small, large = (method.forecast(ball_image(shape, 6), Options(), CPU) for shape in ((20, 20, 20), (160, 160, 160)))
    assert small < large
    image = ball_image((64, 64, 64), 20)
    plain, fine = (method.forecast(image, Options(spacing=s), CPU) for s in (None, (0.25, 0.25, 0.25)))
    assert fine - plain == 63 * image.grid.size
    assert method.forecast(image, Options(), torch.device("cuda")) > 0


def test_not_enough_memory() -> None:
    with pytest.raises(OutOfMemory, match="GiB"):
        OssNet(random_model()).segment(ball_image(SHAPE, 6), Options(), Run(memory_budget=2**20))


def test_no_room_for_so_fine_a_result_is_said_before_anything_is_computed() -> None:
    run = Run(memory_budget=2**30)
    # 2000 x 2600 x 2200 voxels of a byte.
    with pytest.raises(OutOfMemory, match=r"2200 x 2600 x 2000 voxels need 10.7 GB .* choose a coarser resolution"):
        OssNet(random_model()).segment(ball_image(SHAPE, 6), Options(spacing=(0.01, 0.01, 0.01)), run)
    assert run.seconds == {}


def test_images_that_the_model_cannot_take() -> None:
    flat = ball_image((1, 20, 20), 5)
    with pytest.raises(InputError, match="for 3D volumes"):
        OssNet(random_model()).segment(flat, Options(), Run())


@pytest.mark.parametrize(("fixed", "counts"), [(None, False), ((1.0, 1.0, 1.0), True)])
def test_in_2d_the_result_does_not_depend_on_the_thickness_of_the_slice(fixed: Any, counts: bool) -> None:
    preprocessing = Preprocessing(spacing=fixed, intensity=Intensity(kind="window", low=0, high=1))
    network = {"field": {**TINY["field"], "strides": [2, 2]}}
    method = OssNet(random_model(dimension=2, network=network, preprocessing=preprocessing))
    array = np.random.default_rng(0).random((1, 1, 24, 20), dtype=np.float32)

    def found(*spacing: float) -> Any:
        encoding = method.field(Image(array, Grid.from_spacing((1, 24, 20), spacing)), Run()).encoding
        return encoding.tensors()["condition"]

    assert torch.equal(found(1, 1, 1), found(7, 1, 1))
    # The print resolution of a picture, or 24 x 20 pixels that are 25 x 21 of the model's millimeters.
    assert torch.equal(found(1, 1, 1), found(1, 1.04, 1.04)) != counts


def test_surfaces_count_in_the_forecast() -> None:
    method, image = OssNet(random_model()), ball_image(SHAPE, 6.3)
    plain, surface = (method.look_bytes(image.grid, image.grid, Options(), CPU, surface=s) for s in (False, True))
    assert surface - plain == SURFACE * image.grid.size
    need = (1 + SURFACE) * image.grid.size
    with pytest.raises(OutOfMemory, match="22 x 26 x 20 voxels need"):
        method.check_room(image.grid, Options(), Run(memory_budget=need - 1), surface=True)
    method.check_room(image.grid, Options(), Run(memory_budget=need), surface=True)


# ---- files ----


def test_file_at_another_spacing_and_its_field(tmp_path: Path) -> None:
    image = ball_image(SHAPE, 6.3)
    write_image(tmp_path / "ball.nii.gz", image.array[0], image.grid)
    field = tmp_path / "out.field.safetensors"
    job = plan_job(Job(tmp_path / "ball.nii.gz", tmp_path / "out.nii.gz", spacing=(0.5, 1, 1), save_field=field))
    content = segment_file(job, OssNet(threshold_model()), Run())
    assert content["output_grid"] == {"shape": [22, 26, 40], "spacing": [1, 1, 0.5]}
    assert read_label_map(tmp_path / "out.nii.gz").array.shape == (40, 26, 22)
    assert field.exists()


def test_methods_without_a_field(tmp_path: Path) -> None:
    method = method_of(tiny_model())
    for wanted in ({"spacing": (1, 1, 1)}, {"save_field": tmp_path / "a.field.safetensors"}):
        with pytest.raises(InputError, match="on the image's grid alone; use an OSS-Net model"):
            Job(tmp_path / "a.nrrd", tmp_path / "b.nrrd", **wanted).check_method(method)  # type: ignore[arg-type]


def test_name_of_a_field(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nrrd", np.zeros((3, 3, 3), dtype=np.float32), Grid.from_spacing((3, 3, 3)))
    with pytest.raises(InputError, match=r'"f.nrrd" must end in .field.safetensors'):
        plan_job(Job(tmp_path / "a.nrrd", tmp_path / "b.nrrd", save_field=tmp_path / "f.nrrd"))
