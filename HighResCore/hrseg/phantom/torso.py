"""The analytic torso: its parameters, and its exact labels at any resolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrseg.errors import InputError
from hrseg.geometry import Box, Floats, Grid
from hrseg.image import Image, LabelMap
from hrseg.phantom.shapes import Piece, Solid, Tube, Wave, components
from hrseg.structures import label

LABELS = tuple(
    label(value, structure)
    for value, structure in enumerate(("liver", "liver_lesion", "kidneys", "spine", "vessels"), start=1)
)
#: Lattice points evaluated at a time: few enough for the processor's cache, some 30 MB of coordinates.
_SLAB_POINTS = 400_000


@dataclass(frozen=True)
class Part:
    """A tissue: where it is, what it measures, what it is called.

    Attributes:
        name: "liver", "lesion 2" ...
        label: value in the label map, 0 for what belongs to the background.
        hu: mean CT number.
        shapes: their union is the tissue.
    """

    name: str
    label: int
    hu: float
    shapes: tuple[Solid | Tube, ...]


@dataclass(frozen=True)
class Shear:
    """Displacement of one coordinate by a wave over the two others; it changes no volume.

    Attributes:
        amplitude: mm.
        vector: radians per mm along the two other axes, in the order R, A, S.
        phase: radians.
    """

    amplitude: float
    vector: tuple[float, float]
    phase: float

    def at(self, a: Floats, b: Floats) -> Floats:
        """Displacement in mm where the other coordinates are ``a`` and ``b``."""
        return self.amplitude * np.sin(self.vector[0] * a + (self.vector[1] * b + self.phase))


@dataclass(frozen=True)
class Torso:
    """All parameters of one phantom; the same parameters give the same labels at the same points, at any spacing.

    Attributes:
        seed, case: what :meth:`random` drew it from.
        warp: shears of R, A and S, one after the other, that lead from the patient to the undeformed anatomy.
        parts: tissues, later ones in front of earlier ones; none of the background is in front of a labelled one.
        texture: low-frequency unevenness of soft tissue, amplitudes in HU.
        blur: standard deviation of the scanner's point spread in mm.
        noise: standard deviation in HU at the centre of the body in voxels of 8 cubic mm.
        grain: standard deviation in mm of the noise's correlation.
    """

    seed: int
    case: int
    warp: tuple[Shear, Shear, Shear]
    parts: tuple[Part, ...]
    texture: tuple[Wave, ...]
    blur: float
    noise: float
    grain: float

    @classmethod
    def random(cls, seed: int, case: int = 0) -> Torso:
        """A torso drawn from the random stream of (seed, case), which no other pair shares."""
        from hrseg.phantom.anatomy import random_torso  # the anatomy is made of the classes above

        return random_torso(seed, case)

    @classmethod
    def from_json(cls, text: str | bytes) -> Torso:
        """The torso that :meth:`to_json` wrote, bit by bit.

        Raises:
            InputError: the text is not the JSON form of a torso.
        """
        from pydantic import TypeAdapter, ValidationError  # not in Slicer's own process, which makes phantoms, too

        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the text"
            raise InputError(f"The phantom's parameters cannot be read: {place}: {first['msg']}.") from error

    def to_json(self) -> str:
        """All parameters as JSON."""
        from pydantic import TypeAdapter

        return TypeAdapter(Torso).dump_json(self).decode()

    @property
    def lesions(self) -> tuple[Part, ...]:
        """The lesions, largest first; a necrotic core is a part of its own and not among them."""
        return tuple(part for part in self.parts if part.name.startswith("lesion"))

    def labels_at(self, points: ArrayLike) -> NDArray[np.uint8]:
        """Label values (...) at RAS mm points (..., 3), exact."""
        array = np.asarray(points, dtype=np.float64)
        x, y, z = self._warped(*components(array.reshape(-1, 3)))
        result = np.zeros(x.size, dtype=np.uint8)
        for value, piece, (low, high) in self._labelled:
            near = np.flatnonzero(
                (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1]) & (z >= low[2]) & (z <= high[2])
            )
            result[near[piece.distance(x[near], y[near], z[near]) < 0]] = value
        return result.reshape(array.shape[:-1])

    def label_map(self, grid: Grid) -> LabelMap:
        """The exact labels at the voxel centres of ``grid``, evaluated slab by slab."""
        array = np.empty(grid.shape, dtype=np.uint8)
        for box in slabs(grid.shape):
            array[box.slices] = self._painted(grid.crop(box), self._labelled)
        return LabelMap(array, grid, {label.value: label.name for label in LABELS})

    def image(self, grid: Grid, noise_seed: int | None = None) -> Image:
        """A CT image of it, see :func:`hrseg.phantom.scanner.scan`."""
        from hrseg.phantom.scanner import scan  # the scanner is made for the class above

        return scan(self, grid, noise_seed)

    def tissues(self, grid: Grid) -> NDArray[np.uint8]:
        """Index into ``parts`` plus one of the tissue at each voxel centre (K, J, I); 0 is air."""
        return self._painted(grid, self._all)

    def _painted(self, grid: Grid, pieces: list[_Paint]) -> NDArray[np.uint8]:
        """Each piece's value where it is in front, evaluated only in its own bounding box."""
        coordinates = [np.broadcast_to(c, grid.shape) for c in self._warped(*lattice(grid))]
        result = np.zeros(grid.shape, dtype=np.uint8)
        for (value, piece, _), window in zip(pieces, self._windows(grid, pieces), strict=True):
            if window.size:
                inside = piece.distance(*(c[window.slices] for c in coordinates)) < 0
                result[window.slices][inside] = value
        return result

    def _windows(self, grid: Grid, pieces: list[_Paint]) -> list[Box]:
        """The voxels that each piece may touch."""
        reach = np.array([abs(shear.amplitude) for shear in self.warp])
        bounds = np.array([bounds for *_, bounds in pieces]).reshape(-1, 2, 3) + np.stack([-reach, reach])
        corners = np.stack([bounds[:, c, [0, 1, 2]] for c in np.ndindex(2, 2, 2)], axis=1)
        index = grid.to_index(corners)
        start = np.clip(np.floor(index.min(axis=1)), 0, grid.shape).astype(int)
        stop = np.clip(np.ceil(index.max(axis=1)) + 1, start, grid.shape).astype(int)
        return [Box(tuple(a), tuple(b)) for a, b in zip(start.tolist(), stop.tolist(), strict=True)]

    def _warped(self, x: Floats, y: Floats, z: Floats) -> tuple[Floats, Floats, Floats]:
        """Where points of the patient lie in the undeformed anatomy."""
        x = x + self.warp[0].at(y, z)
        y = y + self.warp[1].at(x, z)
        return x, y, z + self.warp[2].at(x, y)

    @cached_property
    def _all(self) -> list[_Paint]:
        return list(self._paints(lambda number, part: number + 1))

    @cached_property
    def _labelled(self) -> list[_Paint]:
        return [paint for paint in self._paints(lambda number, part: part.label) if paint[0]]

    def _paints(self, value: Callable[[int, Part], int]) -> Iterator[_Paint]:
        for number, part in enumerate(self.parts):
            for shape in part.shapes:
                for piece in shape.pieces:
                    yield value(number, part), piece, piece.bounds()


#: A value, the piece of a shape that gets it, and the piece's bounds.
_Paint = tuple[int, Piece, Floats]


def slabs(shape: tuple[int, int, int], points: int = _SLAB_POINTS) -> Iterator[Box]:
    """Boxes of whole slices that together make up an array of this (K, J, I) shape, each of about ``points`` voxels."""
    thickness = max(1, points // (shape[1] * shape[2]))
    for k in range(0, shape[0], thickness):
        yield Box((k, 0, 0), (min(k + thickness, shape[0]), shape[1], shape[2]))


def lattice(grid: Grid) -> tuple[Floats, Floats, Floats]:
    """R, A and S of all voxels, broadcastable to (K, J, I): small arrays where the grid's axes are the world's."""
    index = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in grid.shape), indexing="ij", sparse=True)[::-1]
    x, y, z = (
        sum((row[n] * index[n] for n in range(3) if row[n]), start=np.full((1, 1, 1), row[3]))
        for row in grid.affine[:3]
    )
    return x, y, z
