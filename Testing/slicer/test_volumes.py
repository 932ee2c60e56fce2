from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scene_helpers import KINDS, add_volume, affine, put_under, shift
from slicer_env import slicer

from HighResSegmentationLib.Volumes import gridOfVolume, imageFromVolume, volumeKey
from hrseg.errors import InputError


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float64"])
def test_array_is_a_view_of_the_voxels(dtype: str, scene: Any) -> None:
    volume = add_volume(np.arange(24).reshape(2, 3, 4).astype(dtype))
    image = imageFromVolume(volume)
    assert image.array.shape == (1, 2, 3, 4)
    assert image.array.dtype == dtype
    assert image.array[0, 1, 2, 3] == 23
    slicer.util.arrayFromVolume(volume)[1, 2, 3] = 7
    assert image.array[0, 1, 2, 3] == 7


@pytest.mark.parametrize("kind", KINDS)
def test_geometry(kind: str, scene: Any) -> None:
    volume = add_volume(np.zeros((2, 3, 4), np.int16), affine(kind))
    grid = gridOfVolume(volume)
    assert grid.shape == (2, 3, 4)
    np.testing.assert_allclose(grid.affine, affine(kind), atol=1e-6)


def test_the_frame_is_the_one_before_the_transform(scene: Any) -> None:
    volume = add_volume(np.zeros((2, 3, 4), np.int16), affine("plain"))
    put_under(volume, shift(100, 0, 0))
    np.testing.assert_allclose(gridOfVolume(volume).affine, affine("plain"), atol=1e-6)


def test_one_slice(scene: Any) -> None:
    image = imageFromVolume(add_volume(np.ones((1, 3, 4), np.uint8), name="Schnitt 1/2 ä"))
    assert image.is_2d
    assert image.name == "Schnitt 1/2 ä"


@pytest.mark.parametrize("components", [3, 4])
def test_colors_become_channels_without_opacity(components: int, scene: Any) -> None:
    array = np.zeros((1, 2, 5, components), np.uint8)
    array[0, 1, 4] = [10, 20, 30, 40][:components]
    image = imageFromVolume(add_volume(array))
    assert image.array.shape == (3, 1, 2, 5)
    assert image.array[:, 0, 1, 4].tolist() == [10, 20, 30]


@pytest.mark.parametrize(("components", "dtype"), [(2, "uint8"), (4, "float32"), (6, "int16")])
def test_other_numbers_of_components_are_refused(components: int, dtype: str, scene: Any) -> None:
    volume = add_volume(np.zeros((2, 2, 2, components), dtype), name="perfusion")
    with pytest.raises(InputError, match=f'"perfusion" has {components} values per voxel'):
        imageFromVolume(volume)


def _sequence_of(volume: Any, frames: int) -> Any:
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "beats")
    for frame in range(frames):
        sequence.SetDataNodeAtValue(volume, str(frame))
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    return browser.GetProxyNode(sequence)


def test_frame_of_a_sequence_is_refused(scene: Any) -> None:
    frame = _sequence_of(add_volume(np.zeros((2, 2, 2), np.int16)), 3)
    with pytest.raises(InputError, match="one of 3 frames of a sequence; clone it"):
        imageFromVolume(frame)


def test_sequence_of_one_frame_is_an_image(scene: Any) -> None:
    frame = _sequence_of(add_volume(np.full((2, 2, 2), 5, np.int16)), 1)
    assert imageFromVolume(frame).array[0, 1, 1, 1] == 5


def test_no_volume(scene: Any) -> None:
    with pytest.raises(InputError, match="No volume is chosen"):
        imageFromVolume(None)


@pytest.mark.parametrize("make", ["no image", "no scalars", "no voxels"])
def test_empty_volume(make: str, scene: Any) -> None:
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "new")
    if make != "no image":
        volume.SetAndObserveImageData(slicer.vtkOrientedImageData())
    if make == "no scalars":
        volume.GetImageData().SetDimensions(2, 2, 2)
    with pytest.raises(InputError, match='"new" is empty; load an image'):
        imageFromVolume(volume)


def test_label_maps_and_models_are_no_images(scene: Any) -> None:
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "L")
    slicer.util.updateVolumeFromArray(labels, np.zeros((2, 2, 2), np.uint8))
    for node in (labels, scene.AddNewNodeByClass("vtkMRMLModelNode", "M")):
        with pytest.raises(InputError, match=f'"{node.GetName()}" is a .*, not an image'):
            imageFromVolume(node)


def test_volume_that_was_deleted(scene: Any) -> None:
    volume = add_volume(np.zeros((2, 2, 2), np.int16))
    scene.RemoveNode(volume)
    with pytest.raises(InputError, match='"CT" is not in the scene any more'):
        imageFromVolume(volume)


def test_key_follows_voxels_and_geometry_alone(scene: Any) -> None:
    volume = add_volume(np.zeros((2, 2, 2), np.int16))
    first = volumeKey(volume)
    volume.SetName("a/b")
    put_under(volume, shift(1, 2, 3))
    assert volumeKey(volume) == first
    slicer.util.arrayFromVolume(volume)[0, 0, 0] = 1
    slicer.util.arrayFromVolumeModified(volume)
    second = volumeKey(volume)
    volume.SetSpacing(2, 2, 2)
    assert len({first, second, volumeKey(volume)}) == 3
    assert "/" not in second


def test_key_of_another_volume_differs(scene: Any) -> None:
    array = np.zeros((2, 2, 2), np.int16)
    assert volumeKey(add_volume(array)) != volumeKey(add_volume(array))
