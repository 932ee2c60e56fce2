"""An image encoded once, ready to be asked at any points."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hrseg.oss_net.bricks import brick_nodes, brick_of, cut_bricks, lattice
from hrseg.oss_net.interpolation import rows_at
from hrseg.oss_net.network import FieldNetwork
from hrseg.oss_net.published import PublishedNetwork
from hrseg.runtime import autocast
from hrseg.windows import blended_slabs, window_count

#: Bytes of features at full resolution that are kept.
CACHE = 2**27
#: Bricks computed at once.
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Prior:
    """What the encoder alone says.

    Attributes:
        probability: float32 (classes, *nodes).
        strides: voxels of the working grid per node, (k, j, i); a node lies in the middle of its voxels.
    """

    probability: NDArray[np.float32]
    strides: tuple[float, float, float]


class Encoding(ABC):
    """An encoded image.

    Attributes:
        image: float16 (C, K, J, I) on the working grid, on the device.
        prior: of the encoder, if it has one.
    """

    image: Tensor
    prior: Prior | None

    @abstractmethod
    def logits(self, points: Tensor) -> Tensor:
        """Logits (P, classes) at points (P, 3): (k, j, i) in voxels of the working grid, float32, on the device."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """All that :func:`restore` needs."""


@dataclass(frozen=True)
class Windows:
    """Parts of the image in which the context is computed.

    Attributes:
        sides: voxels of the working grid, (k, j, i); multiples of :attr:`FieldNetwork.multiple`. None: the whole image.
        overlap: share of a side that the next window covers again.
    """

    sides: Sequence[int] | None = None
    overlap: float = 0.5

    def nodes(self, network: FieldNetwork, shape: Sequence[int]) -> tuple[list[int], list[int]]:
        """Context nodes of an image of this shape, and of a window, which is no larger."""
        whole = [-(-n // m) * m // s for n, m, s in zip(shape, network.multiple, network.strides, strict=True)]
        if self.sides is None:
            return whole, whole
        return whole, [min(n, w // s) for n, w, s in zip(whole, self.sides, network.strides, strict=True)]

    def count(self, network: FieldNetwork, shape: Sequence[int]) -> int:
        """How many there are in an image of this shape."""
        return window_count(*self.nodes(network, shape), self.overlap)


WHOLE = Windows()


def encode(
    network: nn.Module,
    image: Tensor,
    spacing: Sequence[float],
    windows: Windows = WHOLE,
    advance: Callable[[int], None] | None = None,
) -> Encoding:
    """The image (C, K, J, I), on the network's device, encoded.

    Args:
        network: ours, or a published one.
        image: float16 or float32.
        spacing: mm (k, j, i), see :func:`hrseg.oss_net.settings.told_spacing`.
        windows: where our network computes its context.
        advance: told of each window done.
    """
    if isinstance(network, FieldNetwork):
        # In half precision as it is saved, so that a restored field is the same.
        maps = _maps(network, image, windows, advance)
        step = torch.tensor([spacing], dtype=torch.float32, device=image.device)
        with torch.no_grad():
            condition = network.condition(maps[None].float(), step)
        return FieldEncoding(network, image, maps, condition[0])
    assert isinstance(network, PublishedNetwork)
    with torch.no_grad():
        latents, auxiliary = network.encode(image[None])
    return PublishedEncoding(network, image, latents, auxiliary)


def _maps(network: FieldNetwork, image: Tensor, windows: Windows, advance: Callable[[int], None] | None) -> Tensor:
    """Features and prior logits, float16 (features + classes, *nodes)."""
    with torch.no_grad(), autocast(image.device):
        nodes = network.nodes(image[None])[0]
        shape, sides = windows.nodes(network, image.shape[1:])
        if sides == shape:
            return network.maps(nodes[None])[0].half()
        maps = image.new_empty(network.prior.in_features + network.classes, *shape, dtype=torch.float16)
        overlap, device = windows.overlap, image.device
        for start, slab in blended_slabs(nodes, sides, network.maps, overlap=overlap, device=device, advance=advance):
            maps[:, start : start + slab.shape[1]] = slab
        return maps


def blank(network: nn.Module, shape: Sequence[int]) -> dict[str, Tensor]:
    """Types and shapes of all that :func:`restore` needs for an image (C, K, J, I); the network is on ``meta``."""
    image = torch.empty(list(shape), dtype=torch.float16, device="meta")
    with torch.no_grad():
        if isinstance(network, FieldNetwork):
            maps = network.encode(image[None]).half()
            step = torch.ones(1, 3, device="meta")
            return {"image": image, "maps": maps[0], "condition": network.condition(maps.float(), step)[0]}
        assert isinstance(network, PublishedNetwork)
        latents, auxiliary = network.encode(image[None])
        return {"image": image, "latents": latents} | ({} if auxiliary is None else {"auxiliary": auxiliary})


def restore(network: nn.Module, tensors: dict[str, Tensor]) -> Encoding:
    """What :meth:`Encoding.tensors` gave, of the types and shapes of :func:`blank`, with its network."""
    if isinstance(network, FieldNetwork):
        return FieldEncoding(network, tensors["image"], tensors["maps"], tensors["condition"])
    assert isinstance(network, PublishedNetwork)
    return PublishedEncoding(network, tensors["image"], tensors["latents"], tensors.get("auxiliary"))


class FieldEncoding(Encoding):
    """Of our network. Features at full resolution are computed when points first need them, and kept for a while.

    Args:
        image: float16 (C, K, J, I).
        maps: float16 (features + classes, *nodes).
        condition: see :meth:`FieldNetwork.condition`.
    """

    def __init__(self, network: FieldNetwork, image: Tensor, maps: Tensor, condition: Tensor) -> None:
        self.image, self._maps, self._condition, self._network = image, maps, condition, network
        self._nodes = maps.shape[1:]
        self._table = maps.flatten(1).t().float().contiguous()
        with torch.no_grad():
            self._modulation = network.decoder.modulation(condition)
        probability = maps[-network.classes :].float().softmax(dim=0).cpu().numpy()
        k, j, i = (float(s) for s in network.strides)
        self.prior = Prior(probability, (k, j, i))
        network.lay_out()
        self._details = _DetailCache(network, image)

    def logits(self, points: Tensor) -> Tensor:
        """See :meth:`Encoding.logits`."""
        network = self._network
        with torch.no_grad():
            context = rows_at(self._table, network.to_nodes(points), self._nodes)
            place = network.coordinates(points, self.image.shape[1:])
            return network.decode(context, self._details.at(points), place, self._modulation)

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Encoding.tensors`."""
        return {"image": self.image, "maps": self._maps, "condition": self._condition}


class PublishedEncoding(Encoding):
    """Of the paper's networks, which encode a window of the image anew for each point."""

    def __init__(self, network: PublishedNetwork, image: Tensor, latents: Tensor, auxiliary: Tensor | None) -> None:
        self.image, self._latents, self._auxiliary, self._network = image, latents, auxiliary, network
        self._padded = network.padded(image[None].float())[0] if network.patches else None
        self.prior = None
        if auxiliary is not None:
            probability = network.full_logits(auxiliary, 1)[0].float().softmax(dim=0).cpu().numpy()
            k, j, i = (n / m for n, m in zip(image.shape[1:], network.grid, strict=True))
            self.prior = Prior(probability, (k, j, i))

    def logits(self, points: Tensor) -> Tensor:
        """See :meth:`Encoding.logits`."""
        network = self._network
        with torch.no_grad():
            windows = None if self._padded is None else network.windows(self._padded, points)[None]
            return network.decode(windows, points[None], self.image.shape[1:], self._latents)[0]

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Encoding.tensors`."""
        found = {"image": self.image, "latents": self._latents}
        return found if self._auxiliary is None else {**found, "auxiliary": self._auxiliary}


class _DetailCache:
    """Features at full resolution, in bricks; when there is no room for more, all are forgotten."""

    def __init__(self, network: FieldNetwork, image: Tensor) -> None:
        self._network, self._image = network, image
        shape = image.shape[1:]
        self._counts, self._nodes = lattice(shape), brick_nodes(shape)
        self._rows = math.prod(self._nodes)
        width = next(m.out_channels for m in reversed(network.local) if isinstance(m, nn.Conv3d))
        self._room = max(1, min(CACHE // (4 * self._rows * width), math.prod(self._counts)))
        self._table = torch.empty(0, width, device=image.device)
        self._slot = torch.full((math.prod(self._counts),), -1, device=image.device)
        self._used = 0

    def at(self, points: Tensor) -> Tensor:
        """Features (P, F) at points (P, 3)."""
        brick, place = brick_of(points, self._image.shape[1:])
        number = (brick[:, 0] * self._counts[1] + brick[:, 1]) * self._counts[2] + brick[:, 2]
        missing = torch.unique(number[self._slot[number] < 0])
        if len(missing) > self._room - self._used:
            self._slot.fill_(-1)
            self._used = 0
            missing = torch.unique(number)
            if len(missing) > self._room:
                return self._in_halves(points, number)
        for part in missing.split(_BATCH):
            self._add(part)
        return rows_at(self._table, place, self._nodes, self._slot[number] * self._rows)

    def _in_halves(self, points: Tensor, number: Tensor) -> Tensor:
        order = number.argsort()
        middle = len(order) // 2
        result = torch.empty(len(points), self._table.shape[1], device=points.device)
        for half in (order[:middle], order[middle:]):
            result[half] = self.at(points[half])
        return result

    def _add(self, numbers: Tensor) -> None:
        _, j, i = self._counts
        where = torch.stack([numbers // (j * i), numbers // i % j, numbers % i], dim=1)
        if not len(self._table):
            self._table = torch.empty(self._room * self._rows, self._table.shape[1], device=self._image.device)
        blocks = cut_bricks(self._image, where, self._network.halo).to(self._network.stem.weight.dtype)
        maps = self._network.local(blocks).movedim(1, -1)
        first = self._used * self._rows
        self._table[first : first + len(maps) * self._rows].view(maps.shape).copy_(maps)
        self._slot[numbers] = torch.arange(self._used, self._used + len(numbers), device=numbers.device)
        self._used += len(numbers)
