"""Our network of the field: context once at low resolution, a little detail at full resolution, a cheap decoder.

The published network (Reich et al., BMVC 2021) encodes a 7-wide patch anew for each point; here all features are
computed by convolutions, once, and read by trilinear interpolation wherever a point lies. What the decoder says is
added to what the context alone says, which is the prior that restricts where the decoder is asked at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.blocks import ResidualUNet, begin_with_background
from hrseg.oss_net.bricks import brick_nodes, brick_of, cut_bricks, lattice
from hrseg.oss_net.decoder import Modulation, PointDecoder
from hrseg.oss_net.interpolation import maps_at, rows_at
from hrseg.oss_net.pade import activation
from hrseg.oss_net.settings import FieldSettings

#: Coordinates are voxels from the centre divided by this.
_REACH = 64
#: Context nodes along k that the stem computes at once.
_SLAB = 16


@dataclass(frozen=True)
class Prediction:
    """Of points in training.

    Attributes:
        logits: (N, classes, P).
        prior: from the context alone, at its nodes, (N, classes, *nodes), or of the published auxiliary grid; None
            without.
    """

    logits: Tensor
    prior: Tensor | None


class FieldNetwork(nn.Module):
    """See above.

    Args:
        dimension: 2 (arrays with one slice) or 3.
        channels: of the image.
        classes: labels and background.
        settings: sizes.
    """

    def __init__(self, dimension: int, channels: int, classes: int, settings: FieldSettings) -> None:
        super().__init__()
        s = settings
        self._flat, self.classes = dimension == 2, classes
        self.strides = s.all_strides(dimension)
        kernel = (1 if self._flat else s.kernel, s.kernel, s.kernel)
        self.halo = [len(s.local) * (n // 2) for n in kernel]
        self.multiple = s.multiple(dimension)
        self.stem = nn.Conv3d(channels, s.widths[0], tuple(self.strides), tuple(self.strides))  # type: ignore[arg-type]
        down = [[2] * dimension] * (len(s.widths) - 1)
        self.context = ResidualUNet(dimension, s.widths[0], s.features, s.widths, down)
        self.prior = nn.Linear(s.features, classes)
        begin_with_background(self.prior)
        layers: list[nn.Module] = []
        for a, b in zip([channels, *s.local[:-1]], s.local, strict=True):
            layers += [nn.Conv3d(a, b, kernel), activation(s.activation)]
        self.local = nn.Sequential(*layers)
        inputs = s.features + s.local[-1] + 3
        self.decoder = PointDecoder(inputs, s.features + 3, s.hidden, s.blocks, classes, s.activation)

    def forward(self, image: Tensor, points: Tensor, spacing: Tensor) -> Prediction:
        """Logits at points.

        Args:
            image: (N, C, K, J, I).
            points: (N, P, 3), (k, j, i) in voxels of the image, fractional.
            spacing: (N, 3), mm (k, j, i), see :func:`hrseg.oss_net.settings.told_spacing`.
        """
        shape = image.shape[2:]
        maps = self.encode(image)
        modulation = self.decoder.modulation(self.condition(maps, spacing))
        at_points = maps_at(maps, self.to_nodes(points))
        detail = self._details(image, points)
        logits = self.decode(at_points, detail, self.coordinates(points, shape), modulation)
        # Nodes beyond the image, where it was filled up, say nothing.
        k, j, i = (-(-n // s) for n, s in zip(shape, self.strides, strict=True))
        return Prediction(logits.transpose(1, 2), maps[:, -self.classes :, :k, :j, :i])

    def encode(self, image: Tensor) -> Tensor:
        """The context of images (N, C, K, J, I): features and prior logits (N, features + classes, *nodes)."""
        return self.maps(self.nodes(image))

    def maps(self, nodes: Tensor) -> Tensor:
        """The context of images, or of windows of them, whose :meth:`nodes` (N, width, *nodes) are given."""
        x = self.context(nodes.squeeze(2) if self._flat else nodes).float()
        prior = self.prior(x.movedim(1, -1)).movedim(-1, 1)
        maps = torch.cat([x, prior], dim=1)
        return maps.unsqueeze(2) if self._flat else maps

    def lay_out(self) -> None:
        """Has features at full resolution computed voxel by voxel in memory, as tables of rows have them."""
        for layer in self.local:
            if isinstance(layer, nn.Conv3d):
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last_3d)

    def condition(self, maps: Tensor, spacing: Tensor) -> Tensor:
        """What is known of images as wholes: mean features, and the logarithm of the spacing that it is told."""
        return torch.cat([maps[:, : -self.classes].mean(dim=(2, 3, 4)), spacing.log()], dim=1)

    def decode(self, context: Tensor, detail: Tensor, coordinates: Tensor, modulation: Modulation) -> Tensor:
        """Logits (..., P, classes); ``context`` has features and prior logits, see :meth:`encode`."""
        features, prior = context[..., : -self.classes], context[..., -self.classes :]
        return prior + self.decoder(torch.cat([features, detail, coordinates], dim=-1), modulation)

    def to_nodes(self, points: Tensor) -> Tensor:
        """Voxel indices as indices of context nodes, each of which lies in the middle of its voxels."""
        stride = torch.tensor(self.strides, device=points.device)
        return (points - (stride - 1) / 2) / stride

    def coordinates(self, points: Tensor, shape: Sequence[int]) -> Tensor:
        """Where points (..., 3), in voxels (k, j, i), lie from the centre of a volume of that shape, about -1 to 1."""
        centre = torch.tensor([(n - 1) / 2 for n in shape], device=points.device)
        return (points - centre) / _REACH

    def nodes(self, image: Tensor) -> Tensor:
        """(N, C, K, J, I) to (N, width, *nodes), slab by slab so that no padded or converted copy of it is needed."""
        length = image.shape[2]
        after = [-n % m for n, m in zip(image.shape[2:], self.multiple, strict=True)]
        step = _SLAB * self.strides[0]
        slabs = []
        for start in range(0, length + after[0], step):
            stop = min(start + step, length + after[0])
            rows = torch.arange(start, stop, device=image.device).clamp(max=length - 1)
            slab = image.index_select(2, rows).to(self.stem.weight.dtype)
            slabs.append(self.stem(F.pad(slab, [0, after[2], 0, after[1], 0, 0], mode="replicate")))
        return torch.cat(slabs, dim=2)

    def _details(self, image: Tensor, points: Tensor) -> Tensor:
        """Features (N, P, F) at full resolution, of whole volumes where that is less work than bricks."""
        shape = image.shape[2:]
        brick, place = brick_of(points.flatten(0, 1), shape)
        counts = lattice(shape)
        number = (brick[:, 0] * counts[1] + brick[:, 1]) * counts[2] + brick[:, 2]
        sample = torch.arange(len(image), device=image.device).repeat_interleave(points.shape[1])
        used, slot = torch.unique(sample * math.prod(counts) + number, return_inverse=True)
        nodes = brick_nodes(shape)
        each = math.prod(n + 2 * h for n, h in zip(nodes, self.halo, strict=True))
        if len(used) * each >= len(image) * math.prod(n + 2 * h for n, h in zip(shape, self.halo, strict=True)):
            k, j, i = self.halo
            return maps_at(self.local(F.pad(image, [i, i, j, j, k, k], mode="replicate")), points)
        blocks = []
        for n, volume in enumerate(image):
            mine = used[used // math.prod(counts) == n] % math.prod(counts)
            where = torch.stack([mine // (counts[1] * counts[2]), mine // counts[2] % counts[1], mine % counts[2]], 1)
            blocks.append(cut_bricks(volume, where, self.halo))
        table = self.local(torch.cat(blocks)).float().movedim(1, -1).flatten(0, -2)
        return rows_at(table, place, nodes, slot * math.prod(nodes)).unflatten(0, points.shape[:2])
