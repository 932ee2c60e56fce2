"""What may be asked of the cascade: boxes drawn by hand, instances, probabilities, remembering."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from Testing.cascade_helpers import FIVE, WIDE, Above, Refuses, cascade, drawn, found, header, image, scene, segment

from hrseg.crop_cascade.method import CropCascade
from hrseg.crop_cascade.network import CascadeNetwork
from hrseg.errors import InputError
from hrseg.geometry import Box
from hrseg.methods import Options
from hrseg.model_file import Intensity, Model, Preprocessing
from hrseg.prompts import RegionBox
from hrseg.runtime import Run


def test_drawn_boxes_alone_need_no_coarse_network() -> None:
    array = scene(WIDE, np.s_[:, 30:40, 40:52], np.s_[:, 5:15, 5:15])
    box = drawn(array, (0, 28, 44), (1, 42, 60))
    result = segment(cascade(coarse=Refuses()), array, box, propose=False)
    expected = np.zeros_like(array)
    expected[:, 30:40, 44:52] = 1
    assert np.array_equal(found(result), expected)
    assert result.boxes == [box]
    assert result.notices == []


def test_a_turned_box_masks_the_result() -> None:
    array = scene(WIDE, np.s_[:, 10:54, 20:76])
    c = np.sqrt(0.5)
    box = RegionBox(np.array([48, 32, 0]), np.array([14, 10, 3]), np.array([[c, -c, 0], [c, c, 0], [0, 0, 1]]))
    result = segment(cascade(coarse=Refuses()), array, box, propose=False)
    inside = box.inside(image(array).grid, Box.whole(WIDE))
    assert 130 < inside.sum() < 220
    assert np.array_equal(found(result) > 0, inside)


def test_a_drawn_box_in_a_volume() -> None:
    array = scene((24, 32, 40), np.s_[8:14, 10:16, 20:27])
    box = drawn(array, (10, 9, 18), (16, 17, 29))
    result = segment(cascade(coarse=Refuses(), dimension=3), array, box, propose=False)
    assert np.array_equal(np.flatnonzero(found(result).any(axis=(1, 2))), np.arange(10, 14))


def test_a_drawn_box_supersedes_what_is_proposed_there() -> None:
    array = scene((1, 96, 96), np.s_[:, 10:24, 10:24], np.s_[:, 70:78, 70:78])
    box = drawn(array, (0, 66, 66), (1, 82, 82))
    result = segment(cascade(), array, box)
    assert result.boxes[0] is box
    (other,) = result.boxes[1:]
    assert other.name == "object 2"
    assert other.inside(image(array).grid, Box.whole(array.shape))[:, 10:24, 10:24].all()
    assert np.array_equal(found(result), array // 100)


def test_a_box_partly_outside_is_clipped_and_said() -> None:
    array = scene(WIDE, np.s_[:, :10, :12])
    result = segment(cascade(coarse=Refuses()), array, drawn(array, (0, -5, -5), (1, 20, 20)), propose=False)
    assert result.notices == ['The box "mine" reaches outside the image and was clipped.']
    assert np.array_equal(found(result), array // 100)


@pytest.mark.parametrize(
    ("start", "stop", "problem"),
    [((0, 70, 5), (1, 80, 20), "lies wholly outside"), ((0, 5, 5), (1, 6, 20), "covers less than two voxels")],
)
def test_boxes_that_cannot_be_used(start: Any, stop: Any, problem: str) -> None:
    array = scene(WIDE, np.s_[:, :10, :12])
    with pytest.raises(InputError, match=f'The box "mine" .*{problem}'):
        segment(cascade(), array, drawn(array, start, stop), propose=False)


def test_a_box_beside_the_subject() -> None:
    array = scene(WIDE, np.s_[:, 30:40, 40:52])
    preprocessing = Preprocessing(
        subject_above=5, subject_margin=1, intensity=Intensity(kind="window", low=0, high=100)
    )
    model = Model(header().model_copy(update={"preprocessing": preprocessing}), CascadeNetwork(Refuses(), Refuses()))
    result = segment(CropCascade(model), array, drawn(array, (0, 2, 2), (1, 9, 9)), propose=False)
    assert result.notices == ['There is nothing but background in the box "mine".']
    assert not found(result).any()


def test_no_boxes_and_no_proposals_find_nothing() -> None:
    array = scene(WIDE, np.s_[:, 30:40, 40:52])
    result = segment(cascade(Refuses(), Refuses()), array, propose=False)
    assert not found(result).any()
    assert result.boxes == []


# ---- instances and probabilities ----


def test_instances_are_numbered_like_the_boxes() -> None:
    array = scene(WIDE, np.s_[:, 10:26, 10:26], np.s_[:, 40:50, 80:90])
    box = drawn(array, (0, 38, 78), (1, 52, 92))
    result = segment(cascade(), array, box, instances=True)
    assert result.instances is not None
    assert result.instances[0, 45, 85] == 1
    assert result.instances[0, 18, 18] == 2
    assert np.array_equal(result.instances > 0, array > 0)
    assert segment(cascade(), array).instances is None


def test_touching_objects_in_proposals_that_nobody_has_edited() -> None:
    """As without boxes; what a person has drawn or edited stays one object, and comes first."""
    j, i = np.indices((96, 128))
    discs = [np.hypot(j - 40, i - at) < radius for at, radius in ((30, 12), (52, 12), (96, 10))]
    array = (100 * np.any(discs, axis=0)[None]).astype(np.uint8)
    pair, single = drawn(array, (0, 22, 12), (1, 58, 70), "pair"), drawn(array, (0, 24, 80), (1, 56, 112), "single")
    proposal = replace(pair, proposed=True)

    def asked(*boxes: RegionBox, **settings: Any) -> Any:
        return segment(cascade(coarse=Refuses(), **settings), array, *boxes, propose=False, instances=True)

    split = asked(proposal, single, split=2)
    assert [box.name for box in split.boxes] == ["single", "object 2", "object 3"]
    assert split.instances[0, 40, 96] == 1
    assert {split.instances[0, 40, 30], split.instances[0, 40, 52]} == {2, 3}
    whole = asked(pair, single, split=2)
    assert whole.boxes == [pair, single]
    assert whole.instances[0, 40, 30] == whole.instances[0, 40, 52] == 1
    # A model that splits nothing keeps the boxes in their order.
    assert asked(proposal, single).boxes == [proposal, single]


def test_probability_is_nothing_outside_every_crop() -> None:
    array = scene((1, 128, 128), np.s_[:, 20:30, 20:30], np.s_[:, 90:100, 90:92])
    array[:, 60, 60] = 100
    result = segment(cascade(smallest=0.004), array, keep_probability=True)
    assert result.probability is not None
    assert result.probability.shape == (1, 1, 128, 128)
    np.testing.assert_allclose(result.probability[0, :, :64, :64][array[:, :64, :64] > 0][:100], 1, atol=1e-3)
    assert result.probability[0, 0, 60, 60] == 0
    assert segment(cascade(), array).probability is None


# ---- remembering ----


def test_an_object_that_has_moved_is_all_that_is_computed_again() -> None:
    coarse, fine = Above(0.1), Above(0.5)
    method, of = cascade(coarse, fine), image(FIVE)
    options = Options(remember=True)
    first = method.segment(of, options, Run())
    boxes = first.boxes
    assert [len(coarse.seen), sum(n for n, *_ in fine.seen)] == [1, 5]
    moved = RegionBox(boxes[0].center + np.array([3, 0, 0]), boxes[0].size, boxes[0].axes, "moved")
    again = method.segment(of, Options(boxes=(moved, *boxes[1:]), propose=False, remember=True), Run())
    fresh = cascade().segment(of, Options(boxes=(moved, *boxes[1:]), propose=False), Run())
    assert np.array_equal(found(again), found(fresh))
    assert [len(coarse.seen), sum(n for n, *_ in fine.seen)][0] == 1
    # The proposals have room to edit, so that their crops are others than those of the objects themselves.
    before = len(fine.seen)
    method.segment(of, Options(boxes=(boxes[0], *boxes[1:]), propose=False, remember=True), Run())
    assert sum(n for n, *_ in fine.seen[before:]) == 1
    assert "preparing" not in again.seconds


def test_asking_the_same_again_computes_nothing() -> None:
    coarse, fine = Above(0.1), Above(0.5)
    method, of = cascade(coarse, fine), image(FIVE)
    one, two = (method.segment(of, Options(remember=True), Run()) for _ in range(2))
    assert np.array_equal(found(one), found(two))
    assert len(coarse.seen) == 1
    assert len(fine.seen) == 1


def test_nothing_is_remembered_of_another_image_or_unasked() -> None:
    coarse = Above(0.1)
    method = cascade(coarse)
    for of in (image(FIVE), image(FIVE)):
        method.segment(of, Options(remember=True), Run())
    assert len(coarse.seen) == 2
    method.segment(of, Options(), Run())
    method.segment(of, Options(), Run())
    assert len(coarse.seen) == 3


# ---- proposing ----


def test_boxes_are_proposed_without_looking_closely() -> None:
    fine = Above(0.5)
    method, of = cascade(fine=fine), image(FIVE)
    run = Run()
    boxes = method.propose(of, Options(), run)
    assert [box.name for box in boxes] == [f"object {n}" for n in range(1, 6)]
    assert not fine.seen
    assert list(run.seconds) == ["preparing", "coarse", "boxes"]
    segmented = method.segment(of, Options(), Run())
    assert [box.center.tolist() for box in segmented.boxes] == [box.center.tolist() for box in boxes]


def test_nothing_is_proposed_where_a_box_is_drawn() -> None:
    mine = drawn(FIVE, (0, 138, 138), (1, 152, 152))
    assert len(cascade().propose(image(FIVE), Options(boxes=(mine,)), Run())) == 4
