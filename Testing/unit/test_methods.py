"""What all methods have in common."""

from __future__ import annotations

import pytest

from device_cases import NETWORKS, header, image, random_weights
from hrseg.geometry import Box, Reorientation
from hrseg.methods import Options, method_of, prepare_for
from hrseg.model_file import Header, Model, Provenance
from hrseg.runtime import Run

NOTICE = (
    "The image shows 16 x 16 x 16 mm, far more than the images that the model learned from, of at most 20 x 16 x 7 mm; "
    "crop it to the part that those show."
)


def learned(*extent: float, method: str = "patch_based") -> Header:
    """A model that learned from images of this extent in mm, (k, j, i)."""
    return header(method, training=Provenance(extent=extent or None))


@pytest.mark.parametrize("method", list(NETWORKS))
def test_every_method_notices_images_far_larger_than_learned(method: str) -> None:
    made = learned(7, 16, 20, method=method)
    found = method_of(Model(made, random_weights(made))).segment(image(), Options(), Run())
    assert NOTICE in found.notices


@pytest.mark.parametrize("extent", [(), (8, 8, 8), (100, 100, 100)])
def test_nothing_is_noticed_of_up_to_twice_as_large_images(extent: tuple[float, ...]) -> None:
    prepare_for(run := Run(), image(), learned(*extent))
    assert not run.notices


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1)])
def test_extents_are_those_along_the_axes_of_the_model(axes: tuple[int, int, int]) -> None:
    turned = image().crop(Box((0, 0, 0), (16, 12, 8))).reoriented(Reorientation(axes, (False, True, False)))
    prepare_for(run := Run(), turned, learned(7.9, 40, 40))
    assert run.notices
    prepare_for(run := Run(), turned, learned(8.1, 6.1, 4.1))
    assert not run.notices
