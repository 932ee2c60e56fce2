from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hrseg.geometry import Box, Grid, Reorientation
from hrseg.label_assembly import LabelAssembly, assemble
from hrseg.preprocess import Prepared

SAME = Reorientation((0, 1, 2), (False, False, False))
TURNED = Reorientation((2, 0, 1), (True, False, True))


def prepared(
    working: tuple[int, int, int],
    output: tuple[int, int, int],
    change: Reorientation = SAME,
    start: tuple[int, int, int] = (0, 0, 0),
    around: int = 0,
) -> Prepared:
    """A working grid of a subject of the ``output`` shape, which lies at ``start`` in the whole image."""
    stop = (start[0] + output[0], start[1] + output[1], start[2] + output[2])
    oriented = Grid.from_spacing([n + around for n in stop])
    box = Box(start, stop)
    grid = oriented.crop(box).resized(working)
    return Prepared(np.zeros((1, *working), np.float32), grid, change, box, oriented)


def probabilities(classes: int, shape: tuple[int, ...]) -> Tensor:
    torch.manual_seed(0)
    return (3 * torch.randn(classes, *shape)).softmax(0)


def slabs(values: Tensor, sizes: list[int]) -> Iterator[tuple[int, Tensor]]:
    start = 0
    for size in sizes:
        yield start, values[:, start : start + size]
        start += size


@pytest.mark.parametrize("sizes", [[7], [1] * 7, [3, 1, 3], [2, 5]])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    "output", [(7, 7, 6), (14, 14, 12), (13, 16, 7), (3, 2, 4), (1, 1, 1), (20, 3, 6)], ids=lambda shape: str(shape)
)
def test_as_torch_does_it_at_once(output: tuple[int, int, int], axis: int, sizes: list[int]) -> None:
    values = probabilities(3, (7, 7, 6))
    whole = F.interpolate(values[None], output, mode="trilinear", align_corners=False)[0]
    result = assemble(
        slabs(values.movedim(axis + 1, 1), sizes), prepared((7, 7, 6), output), 3, keep_probability=True, axis=axis
    )
    found = result.probability()
    assert found is not None
    np.testing.assert_allclose(found, whole[1:].numpy(), atol=1e-5)
    assert np.array_equal(result.labels(), whole.argmax(0).numpy())
    assert (result.labels().dtype, found.dtype) == (np.uint8, np.float32)


def test_crop_and_orientation_are_undone() -> None:
    place = prepared((3, 4, 5), (3, 4, 5), TURNED, start=(1, 2, 0), around=2)
    values = probabilities(4, (3, 4, 5))
    result = assemble(slabs(values, [2, 1]), place, 4, keep_probability=True)
    labels, probability = result.labels(), result.probability()
    assert probability is not None
    # The image's own shape: (6, 8, 7) are its axes 2, 0 and 1.
    assert place.oriented.shape == (6, 8, 7)
    assert labels.shape == probability.shape[1:] == (8, 7, 6)
    assert labels.flags.c_contiguous
    seen = TURNED.apply(labels)
    assert np.array_equal(seen[1:4, 2:6, 0:5], values.argmax(0).numpy())
    np.testing.assert_array_equal(TURNED.apply(probability)[:, 1:4, 2:6, 0:5], values[1:].numpy())
    outside = np.ones(seen.shape, dtype=bool)
    outside[1:4, 2:6, 0:5] = False
    assert not seen[outside].any()
    assert not TURNED.apply(probability)[:, outside].any()


def test_slices_of_a_2d_image() -> None:
    values = probabilities(2, (6, 5))
    result = assemble(slabs(values[:, :, None], [4, 2]), prepared((1, 6, 5), (1, 6, 5)), 2, axis=1)
    assert np.array_equal(result.labels()[0], values.argmax(0).numpy())
    assert result.probability() is None


def test_many_labels() -> None:
    values = torch.zeros(255, 1, 1, 2)
    values[254, 0, 0, 0] = values[128, 0, 0, 1] = 1
    labels = assemble([(0, values)], prepared((1, 1, 2), (1, 1, 2)), 255).labels()
    assert labels.tolist() == [[[254, 128]]]


def test_slices_are_done_as_soon_as_they_can_be() -> None:
    assembly = LabelAssembly(prepared((4, 1, 1), (8, 1, 1)), 2)
    certain = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    assembly.add(0, certain)
    # The second output slice lies a quarter of the way to the second working slice.
    assert assembly.labels().ravel().tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assembly.add(1, certain)
    assert assembly.labels().ravel().tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
