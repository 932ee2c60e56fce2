"""The networks of the paper (Reich et al., BMVC 2021): O-Net and OSS-Net A to D, for comparison.

Departures, none of which changes the number of parameters: coordinates are -1 to 1 instead of voxel numbers; wide
patches are averaged both in training and in inference; volumes of any size are resized to the encoder's; several labels
have a softmax over as many outputs and the background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.oss_net.network import Prediction
from hrseg.oss_net.pade import Pade
from hrseg.oss_net.settings import PublishedSettings

PATCH = 7
_BLOCKS = 5
_CONDITIONS = 6


class PublishedNetwork(nn.Module):
    """The variant of that name.

    Args:
        variant: ``O-Net`` (no patches), ``A`` (patches), ``B`` (and wide ones), ``C``, ``D`` (these with skips of the
            encoder and its auxiliary head).
        channels: of the image.
        classes: labels and background; a single label has one output, and the background's logit is 0.
        settings: sizes.
    """

    def __init__(self, variant: str, channels: int, classes: int, settings: PublishedSettings) -> None:
        super().__init__()
        s = settings
        self.classes = classes
        self._outputs = 1 if classes == 2 else classes
        self._sides = tuple(s.sides)
        self.grid = tuple(side // 2 ** len(s.widths) for side in s.sides)
        self.patches, self._wide = variant != "O-Net", variant in ("B", "D")
        self.encoder = Encoder(channels, s.widths, variant in ("C", "D"), self._outputs)
        window = channels * (2 if self._wide else 1)
        self.patch_encoder = PatchEncoder(window) if self.patches else None
        latent = math.prod(self.grid)
        inputs = 3 + latent + (PATCH**3 if self.patches else 0)
        self.decoder = Decoder(inputs, latent, s.hidden, self._outputs)

    def forward(self, image: Tensor, points: Tensor, spacing: Tensor) -> Prediction:
        """Logits at points, as :meth:`hrseg.oss_net.network.FieldNetwork.forward`; the spacing has no influence."""
        latents, auxiliary = self.encode(image)
        windows = None
        if self.patches:
            padded = self.padded(image)
            one = [self.windows(volume, place) for volume, place in zip(padded, points, strict=True)]
            windows = torch.stack(one)
        logits = self.decode(windows, points, image.shape[2:], latents)
        return Prediction(logits.transpose(1, 2), None if auxiliary is None else self.full_logits(auxiliary, 1))

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Latents (N, 1 or 6, L) and the auxiliary logits (N, outputs, *grid) of images (N, C, K, J, I)."""
        small = F.interpolate(image.to(self.decoder.head.weight.dtype), self._sides, mode="trilinear")
        return self.encoder(small)

    def decode(self, windows: Tensor | None, points: Tensor, shape: Sequence[int], latents: Tensor) -> Tensor:
        """Logits (N, P, classes) of points (N, P, 3) with windows (N, P, C, 7, 7, 7)."""
        size = torch.tensor(list(shape), device=points.device)
        parts = [(2 * points + 1) / size - 1]
        if self.patch_encoder is not None and windows is not None:
            parts.append(self.patch_encoder(windows.flatten(0, 1)).unflatten(0, windows.shape[:2]))
        parts.append(latents[:, :1].expand(-1, points.shape[1], -1))
        return self.full_logits(self.decoder(torch.cat(parts, dim=-1), latents), -1)

    def full_logits(self, outputs: Tensor, axis: int) -> Tensor:
        """Outputs with one logit per class along ``axis``: the background's, 0, is added to a single one."""
        return torch.cat([torch.zeros_like(outputs), outputs], dim=axis) if self._outputs == 1 else outputs

    def padded(self, image: Tensor) -> Tensor:
        """Images (N, C, ...) with zeros around; wide windows have means of 2³ voxels as further channels."""
        edge = PATCH
        near = F.pad(image, [edge] * 6)
        if not self._wide:
            return near
        means = F.avg_pool3d(near, 2, 1)
        return torch.cat([near, F.pad(means, [0, 1] * 3)], dim=1)

    def windows(self, padded: Tensor, points: Tensor) -> Tensor:
        """Windows (P, C, 7, 7, 7) around the voxels nearest to points (P, 3) of one of :meth:`padded`'s images."""
        shape = padded.shape[1:]
        limit = torch.tensor([n - 2 * PATCH - 1 for n in shape], device=points.device)
        voxel = torch.minimum(points.round().long().clamp(min=0), limit) + PATCH
        channels = len(padded) // 2 if self._wide else len(padded)
        flat = padded.flatten(1)
        near = flat[:channels, self._index(voxel, shape, range(-3, 4))]
        if self._wide:
            near = torch.cat([near, flat[channels:, self._index(voxel, shape, range(-PATCH, PATCH, 2))]])
        return near.transpose(0, 1).unflatten(2, (PATCH, PATCH, PATCH))

    def _index(self, voxel: Tensor, shape: Sequence[int], run: range) -> Tensor:
        """Flat indices (P, 343) of the voxels at all offsets of ``run`` along each axis."""
        offset = torch.tensor(list(run), device=voxel.device)
        step = (shape[1] * shape[2], shape[2], 1)
        a, b, c = ((voxel[:, axis, None] + offset) * step[axis] for axis in range(3))
        return (a[:, :, None, None] + b[:, None, :, None] + c[:, None, None, :]).flatten(1)


class Encoder(nn.Module):
    """The volume to latent vectors: one of the last map, or (with skips) six of all maps, and an auxiliary map."""

    def __init__(self, channels: int, widths: Sequence[int], skips: bool, outputs: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Down(a, b) for a, b in zip([channels, *widths[:-1]], widths, strict=True))
        last = widths[-1]
        if not skips:
            self.head = _conv_norm_pade(last, 1, bias=True)
            return
        self.skips = nn.ModuleList(_conv_norm_pade(w, w // 2, bias=False) for w in widths)
        self.head = _conv_norm_pade(sum(w // 2 for w in widths), _CONDITIONS, bias=True)
        self.auxiliary = nn.Conv3d(last, outputs, 5, padding=2, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, C, *sides) to latents (N, 1 or 6, L) and auxiliary logits, if any."""
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        if not hasattr(self, "skips"):
            return self.head(x).flatten(2), None
        grid = x.shape[2:]
        small = [skip(F.adaptive_max_pool3d(m, grid)) for skip, m in zip(self.skips, maps, strict=True)]
        return self.head(torch.cat(small, dim=1)).flatten(2), self.auxiliary(x)


class Down(nn.Module):
    """A residual block that halves the sides."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv3d(cin, cout, 3, padding=1, bias=False),
            BatchNorm(cout),
            Pade(),
            nn.AvgPool3d(2),
            nn.Conv3d(cout, cout, 3, padding=1, bias=False),
            BatchNorm(cout),
        )
        self.shortcut = nn.Conv3d(cin, cout, 1, bias=False) if cin != cout else nn.Identity()
        self.pool, self.act = nn.AvgPool3d(2), Pade()

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, *sides) to (N, cout, *sides / 2)."""
        return self.act(self.main(x) + self.pool(self.shortcut(x)))


class PatchEncoder(nn.Module):
    """Windows (P, C, 7, 7, 7) to 343 features each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        middle = max(channels // 2, 1)
        self.layers = nn.Sequential(
            nn.Conv3d(channels, middle, 7, padding=3), Pade(), nn.Conv3d(middle, 1, 7, padding=3), Pade()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(P, 343)."""
        return self.layers(x).flatten(1)


class Decoder(nn.Module):
    """Five residual blocks on points, each conditioned on a latent vector."""

    def __init__(self, inputs: int, latent: int, hidden: int, outputs: int) -> None:
        super().__init__()
        sizes = [inputs] + [hidden] * (_BLOCKS - 1)
        self.blocks = nn.ModuleList(PointBlock(size, latent, hidden) for size in sizes)
        self.head = nn.Linear(hidden, outputs, bias=False)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        """(N, P, inputs) and latents (N, 1 or 6, L) to (N, P, outputs)."""
        single = latents.shape[1] == 1
        for number, block in enumerate(self.blocks):
            x = block(x, latents[:, 0 if single else number + 1])
        return self.head(x)


class PointBlock(nn.Module):
    """A residual block with conditional normalisation."""

    def __init__(self, cin: int, latent: int, cout: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(cin, cout), nn.Linear(cout, cout)
        self.norm1, self.norm2 = ConditionalNorm(latent, cout), ConditionalNorm(latent, cout)
        self.act1, self.act2 = Pade(), Pade()
        self.shortcut = nn.Linear(cin, cout) if cin != cout else nn.Identity()

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """(N, P, cin) to (N, P, cout)."""
        y = self.act1(self.norm1(self.linear1(x), latent))
        return self.act2(self.norm2(self.linear2(y), latent) + self.shortcut(x))


class ConditionalNorm(nn.Module):
    """As released: one mean and one variance for all points and features of a batch, running ones in inference."""

    mean: Tensor
    variance: Tensor

    def __init__(self, latent: int, features: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Linear(latent, features), nn.Linear(latent, features)
        for layer, bias in ((self.scale, 1.0), (self.shift, 0.0)):
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("variance", torch.ones(1))

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """(N, P, features), with latents (N, L)."""
        x = F.batch_norm(x.flatten()[:, None], self.mean, self.variance, training=self.training).view(x.shape)
        return self.scale(latent)[:, None] * x + self.shift(latent)[:, None]


class BatchNorm(nn.BatchNorm3d):
    """Without the counter of batches: nothing uses it, and model files hold weights only."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.num_batches_tracked = None

    def _load_from_state_dict(self, *args: Any) -> None:
        # The parent's own version adds a counter to weights that come without version notes.
        nn.Module._load_from_state_dict(self, *args)


def _conv_norm_pade(cin: int, cout: int, *, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(cin, cout, 5, padding=2, bias=bias), BatchNorm(cout), Pade())
