import numpy as np
import pytest
import torch

from hrseg.errors import InputError
from hrseg.labels import Label
from hrseg.model_file import Intensity, Preprocessing
from hrseg.training.augmentation import Augment
from hrseg.training.settings import Augmentation
from training_helpers import tiny_header

OFF = {"rotation": [0], "scale": 0, "probability": 0}
WINDOW = Intensity(kind="window", low=0, high=1)
ALL = torch.ones(3, dtype=torch.bool)
LABELS = [Label(n + 1, name, (0, 0, 0)) for n, name in enumerate(["right kidney", "left kidney", "spine"])]


def header(orientation="LPS", dimension=3):
    window = {"window": [8] * dimension}
    preprocessing = Preprocessing(orientation=orientation, intensity=WINDOW)
    return tiny_header(labels=LABELS, dimension=dimension, preprocessing=preprocessing, inference=window)


def augment(head=None, **settings):
    pairs = [("right kidney", "left kidney")]
    settings = Augmentation(**{**OFF, "paired_labels": pairs, **settings})
    head = head or header()
    return Augment(settings, head, [8] * head.dimension)


def sample(dimension=3, seed=0):
    rng = np.random.default_rng(seed)
    shape = (8,) * dimension
    return torch.tensor(rng.random((1, *shape)), dtype=torch.float32), torch.tensor(rng.integers(0, 4, shape, np.uint8))


def mirrored(change, image, label, annotated=ALL):
    """The first result that is not what went in."""
    for seed in range(20):
        result = change(image, label, annotated, np.random.RandomState(seed))
        if not torch.allclose(result[0], image, atol=1e-5):
            return result
    raise AssertionError("never mirrored")


@pytest.mark.parametrize(
    ("orientation", "direction", "axis"),
    [
        ("LPS", "left-right", 2),
        ("RAS", "left-right", 2),
        ("PIL", "left-right", 0),
        ("ARS", "left-right", 1),
        ("LPS", "anterior-posterior", 1),
        ("PIL", "anterior-posterior", 2),
        ("LPS", "superior-inferior", 0),
        ("PIL", "superior-inferior", 1),
    ],
)
def test_the_orientation_says_which_axis_is_mirrored(orientation, direction, axis):
    image, label = sample()
    found, labels, _ = mirrored(augment(header(orientation), mirror=[direction]), image, label)
    torch.testing.assert_close(found, image.flip(axis + 1), atol=1e-5, rtol=0)
    expected = label.flip(axis).long()
    if direction == "left-right":
        expected = torch.tensor([0, 2, 1, 3])[expected]
    assert torch.equal(labels, expected)


def test_what_was_annotated_changes_sides_too():
    change = augment(mirror=["left-right"])
    *_, annotated = mirrored(change, *sample(), torch.tensor([False, True, True]))
    assert annotated.tolist() == [True, False, True]
    change = augment(mirror=["superior-inferior"])
    *_, annotated = mirrored(change, *sample(), torch.tensor([False, True, True]))
    assert annotated.tolist() == [False, True, True]


def test_mirroring_happens_half_of_the_time():
    image, label = sample()
    change, rng = augment(mirror=["left-right"]), np.random.RandomState(0)
    count = sum(not torch.allclose(change(image, label, ALL, rng)[0], image, atol=1e-5) for _ in range(60))
    assert 15 < count < 45


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", 1), ("vertical", 0)])
def test_images_without_orientation_are_mirrored_by_axis(direction, axis):
    image, label = sample(2)
    found, labels, _ = mirrored(augment(header(None, 2), mirror=[direction]), image, label)
    torch.testing.assert_close(found, image.flip(axis + 1), atol=1e-5, rtol=0)
    assert torch.equal(labels, label.flip(axis).long())


@pytest.mark.parametrize("settings", [OFF, {"rotation": [20], "scale": 0.2, "probability": 1}])
def test_what_goes_in_is_not_written_to(settings):
    image, label = sample()
    before = image.clone(), label.clone()
    change = augment(**settings, mirror=["left-right"])
    for seed in range(5):
        found, labels, _ = change(image, label, ALL, np.random.RandomState(seed))
        found += 1
        labels += 1
    assert torch.equal(image, before[0])
    assert torch.equal(label, before[1])


@pytest.mark.parametrize("dimension", [2, 3])
def test_equal_states_give_equal_samples(dimension):
    change = augment(header("LPS" if dimension == 3 else None, dimension), rotation=[20], scale=0.2, probability=1)
    annotated = torch.ones(3, dtype=torch.bool)
    results = [change(*sample(dimension), annotated, np.random.RandomState(seed)) for seed in (1, 2, 1)]
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[2], strict=True))
    assert not torch.equal(results[0][0], results[1][0])


def test_image_and_labels_move_together():
    label = torch.zeros(16, 16, 16, dtype=torch.uint8)
    label[4:9, 6:12, 3:10] = 3
    settings = Augmentation(rotation=[30, 10, 10], scale=0.2, probability=0)
    change = Augment(settings, header(), (12, 12, 12))
    for seed in range(5):
        image, labels, _ = change(label[None].float(), label, ALL, np.random.RandomState(seed))
        assert image.shape == (1, 12, 12, 12)
        assert labels.dtype == torch.long
        assert ((image[0] > 1.5) == (labels == 3)).float().mean() > 0.97


@pytest.mark.parametrize("rotation", [[15, 0, 0], [0, 15, 0], [0, 0, 15]])
def test_nothing_is_tilted_further_in_space_where_slices_are_thick(rotation):
    spacing, head = (5.0, 1.0, 1.0), header()
    thick = head.preprocessing.model_copy(update={"spacing": spacing})
    change = Augment(
        Augmentation(rotation=rotation, scale=0, probability=0),
        head.model_copy(update={"preprocessing": thick}),
        (9, 9, 9),
    )
    # An image whose values are places in mm says where each of the result's voxels comes from.
    places = torch.stack(torch.meshgrid(*[torch.arange(21) * mm for mm in spacing], indexing="ij")).float()
    for seed in range(5):
        came, _, _ = change(places, torch.zeros(21, 21, 21, dtype=torch.uint8), ALL, np.random.RandomState(seed))
        for axis, mm in enumerate(spacing):
            step = (came.select(axis + 1, 5) - came.select(axis + 1, 4))[:, 4, 4] / mm
            tilt = torch.rad2deg(torch.atan2(step[[n for n in range(3) if n != axis]].norm(), step[axis]))
            assert tilt <= 15.1


def test_no_change_is_the_middle_of_the_patch():
    label = torch.arange(12**3).reshape(12, 12, 12) % 4
    image, labels, _ = augment()(label[None].float(), label, ALL, np.random.RandomState(0))
    torch.testing.assert_close(image[0], label[2:10, 2:10, 2:10].float(), atol=1e-4, rtol=0)
    assert torch.equal(labels, label[2:10, 2:10, 2:10])


def test_gray_values_change_and_labels_do_not():
    image, label = sample()
    change = augment(probability=1)
    found, labels, _ = change(image, label, ALL, np.random.RandomState(0))
    assert (found - image).abs().mean() > 0.01
    assert torch.equal(labels, label.long())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mirror": ["left-right"], "paired_labels": []}, 'the other side of "right kidney"'),
        ({"paired_labels": [("right kidney", "liver")]}, "must name different labels of the model"),
        ({"paired_labels": [("right kidney", "right kidney")]}, "must name different labels of the model"),
        ({"mirror": ["horizontal"]}, 'Mirroring "horizontal" does not fit a model of orientation LPS; use left-right'),
        ({"rotation": [5, 5]}, r"rotation \[5.0, 5.0\] must be one angle or three"),
    ],
)
def test_settings_that_do_not_fit_the_model(settings, message):
    with pytest.raises(InputError, match=message):
        augment(**settings)


@pytest.mark.parametrize("settings", [{"mirror": ["left-right"]}, {"rotation": [5, 5, 5]}])
def test_settings_that_do_not_fit_a_2d_model(settings):
    with pytest.raises(InputError, match=r"use horizontal, vertical|must be one angle"):
        augment(header(None, 2), **settings)


def test_a_side_is_a_word():
    """ "bright" and "cleft" are no sides."""
    labels = [Label(1, "bright cleft", (0, 0, 0))]
    Augment(Augmentation(mirror=["left-right"]), tiny_header(labels=labels), (16, 16, 16))
