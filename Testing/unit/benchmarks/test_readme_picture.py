"""The picture of the README: what is shown, and how both boundaries are scored. The models are real ones only there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hrseg.demo.panels import Cut, Region
from hrseg.errors import InputError
from hrseg.geometry import Grid
from hrseg.phantom import LABELS, Torso, default_grid

LESION = 2


@pytest.fixture(scope="module")
def script() -> Any:
    import readme_picture

    return readme_picture


def test_the_frame_is_a_square_around_the_largest_object(script: Any) -> None:
    mask = np.zeros((20, 40), bool)
    mask[2, 2] = mask[8:12, 20:30] = True
    # Pixels of 2 x 1 mm: 8 mm high, 10 mm wide, 8 mm around the wider side; the middle at (20, 25).
    assert script.around_lesion(mask, (40.0, 40.0)) == Region(7, 33, 12, 38)


def test_dice_in_the_voxels_of_the_truth(script: Any) -> None:
    truth = np.zeros((4, 8), np.uint8)
    truth[:2, :4] = LESION
    # Two large voxels, 2 x 2 of the truth's each, of which one is right.
    found = np.array([[0, 7, 7, 0], [0, 0, 0, 0]])
    labels = [replace(LABELS[LESION - 1], value=7)]
    assert script.lesion_dice(found, labels, truth) == pytest.approx(2 * 4 / (8 + 8))


def test_before_and_after(script: Any) -> None:
    """A coarse and a fine truth in place of models' results."""
    torso = Torso.random(script.SEED)
    image = torso.image(default_grid((48, 48, 36), 6.0))
    cut, truth = script.exact_slice(torso, image)
    assert truth.shape == (4 * 48, 4 * 48)
    assert (truth == LESION).any()
    coarse, fine = torso.label_map(image.grid), torso.label_map(image.grid.finer(2))
    scores = [script.lesion_dice(cut.of(found.array), LABELS, truth) for found in (coarse, fine)]
    assert 0.5 < scores[0] < scores[1] < 1
    figure = script.picture(image, cut, truth, [("before", coarse, LABELS), ("after", fine, LABELS)])
    assert [ax.get_title() for ax in figure.axes] == ["a CT with voxels of 6 mm", "before", "after"]
    # A finer boundary has more edges, the truth most of all.
    edges = [[len(lines.get_segments()) for lines in ax.collections] for ax in figure.axes[1:]]
    assert edges[0][5:] == edges[1][5:]
    assert edges[0][1] < edges[1][1] < edges[1][5 + 1]


def test_only_labels_in_the_frame_have_a_name(script: Any) -> None:
    cut = Cut.through(Grid.from_spacing((1, 4, 8)), 0, 0.5)
    truth = np.zeros((4, 8), np.uint8)
    truth[1, 1], truth[3, 7] = 1, 4
    assert [label.value for label in script.shown(truth, Region(0, 2, 0, 4), cut)] == [1]


def test_a_model_without_a_finer_boundary(script: Any) -> None:
    image = Torso.random(script.SEED).image(default_grid((32, 32, 24), 8.0))
    with pytest.raises(InputError, match='"phantom-ct-patch-based" has no boundary finer than the voxels'):
        script.segmented("phantom-ct-patch-based", image, finest=True)
