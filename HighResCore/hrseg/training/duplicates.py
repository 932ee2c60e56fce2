"""Images that are the same, or nearly, must not fall on both sides of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hrseg.data_list import SPLITS
from hrseg.image import Image
from hrseg.resample import resample

#: Correlation of thumbnails above which two images are one. Copies that were rescaled, re-encoded or changed in
#: brightness, contrast or gamma stay above 0.957 (CT, MR, ultrasound, endoscopy, microscopy, skin). Images of different
#: patients come to 0.90 at the most (head-and-neck CTs with the air masked out), analytic phantoms to 0.93.
SAME = 0.95
_SIDES = {2: 64, 3: 24}


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What tells an image from others.

    Attributes:
        digest: of the voxels' values.
        thumbnail: float32, flat, of zero mean and unit length.
    """

    split: str
    name: str
    digest: bytes
    thumbnail: NDArray[np.float32]


def fingerprint(split: str, name: str, image: Image) -> Fingerprint:
    """The fingerprint of an image; a thumbnail has 24 voxels per axis (64 in 2D).

    Of the thumbnail only the finer detail is kept: all images of one kind share the coarse distribution of light.
    """
    digest = hashlib.sha256(np.ascontiguousarray(image.array).data).digest()
    side = _SIDES[2 if image.is_2d else 3]
    shape = (1 if image.is_2d else side, side, side)
    gray = image.array.mean(axis=0, dtype=np.float32)
    small = np.squeeze(resample(gray, image.grid, image.grid.resized(shape)))
    detail = (small - ndimage.gaussian_filter(small, side / 16)).ravel()
    detail -= detail.mean()
    return Fingerprint(split, name, digest, detail / max(float(np.linalg.norm(detail)), 1e-6))


def duplicates_across_splits(fingerprints: Sequence[Fingerprint]) -> list[str]:
    """What to tell the user about each pair of images that are the same, or nearly, but in different splits."""
    by_split = [[f for f in fingerprints if f.split == split] for split in SPLITS]
    return [
        f'{a.split} case "{a.name}" and {b.split} case "{b.name}" are {how}; put both into one split'
        for first, second in combinations(by_split, 2)
        for a in first
        for b in second
        if (how := _likeness(a, b))
    ]


def _likeness(a: Fingerprint, b: Fingerprint) -> str:
    if a.digest == b.digest:
        return "the same image"
    correlation = float(a.thumbnail @ b.thumbnail)
    return f"nearly the same image (correlation {correlation:.3f})" if correlation > SAME else ""
