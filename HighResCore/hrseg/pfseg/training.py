"""Training of PFSeg: (nearly) whole volumes, shrunk after augmentation, with helpers that inference does not need."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from hrseg.blocks import ResidualUNet
from hrseg.errors import ModelError
from hrseg.geometry import Box, Grid
from hrseg.methods import settings as checked
from hrseg.model_file import Header, Share, Strict
from hrseg.pfseg.guidance import choose
from hrseg.pfseg.losses import guidance_loss, similarity_loss, super_resolution_loss, target_enhanced_loss
from hrseg.pfseg.network import Guidance, Part, PFSegNetwork
from hrseg.pfseg.settings import InferenceSettings, NetworkSettings
from hrseg.pfseg.volumes import cut_guidance
from hrseg.resample import resample
from hrseg.training.augmentation import Augment
from hrseg.training.losses import masked_dice_ce
from hrseg.training.sampling import random_patch
from hrseg.training.settings import TrainingSettings
from hrseg.training.task import Task, TrainingCase

Weight = Annotated[float, Field(ge=0, le=1000)]


class HelperWeights(Strict):
    """Weights of the helpers' losses; 0 is off, and without all of them the image's decoder is not trained.

    Attributes:
        super_resolution, guidance, target_enhanced: 0.5 each, as published.
        similarity: 72, the published 0.5 times the square of the pooled depth of 12 that the published mean leaves out.
    """

    super_resolution: Weight = 0.5
    guidance: Weight = 0.5
    target_enhanced: Weight = 0.5
    similarity: Weight = 72.0


class PFSegSettings(TrainingSettings):
    """Adds what PFSeg needs.

    Attributes:
        low_steps: before, the part at low resolution learns alone for so many steps, from whole shrunk copies, if any.
        low_patch: least sides of what these steps see, in low-resolution voxels; samples have several sizes from there
            up to the whole copy, which is less to learn by heart. All of it if left out.
        size: sides of a sample in high-resolution voxels, (k, j, i) or (j, i): about those of a whole subject.
        block: where a sample, all of which the network sees at low resolution, is too large for high resolution: sides
            of what is computed and learnt there, a block in each eighth of the sample (quarter in 2D), at a random
            place. Blocks from all over it have about the mean and deviation of the whole, which the network normalises
            by in inference; one large part does not. Everything if left out.
        foreground: share of samples centred on a label, where the subject is larger.
        random_guidance: share of guidance crops at any place, so that people may move them.
        drop_guidance: share of samples without their crop, so that the model runs without it, too.
        hardest: share of the voxels that the cross-entropy is taken over, the worst ones. In whole volumes, of which
            structures are thousandths, the mean over all tells the network little about these.
        helpers: weights of the helpers' losses.
    """

    low_steps: Annotated[int, Field(ge=0)] = 0
    low_patch: list[Annotated[int, Field(ge=8, le=1024)]] | None = None
    size: Annotated[list[Annotated[int, Field(ge=16, le=1024)]], Field(min_length=2, max_length=3)]
    block: list[Annotated[int, Field(ge=8, le=1024)]] | None = None
    foreground: Share = 0.5
    random_guidance: Share = 0.25
    drop_guidance: Share = 0.3
    hardest: Annotated[float, Field(gt=0, le=1)] = 0.1
    helpers: HelperWeights = HelperWeights()


class PFSegTask(Task):
    """See :class:`Task`."""

    def __init__(self, header: Header, settings: dict[str, Any]) -> None:
        self.header, self._dimension = header, header.dimension
        self.settings: PFSegSettings = checked(PFSegSettings, settings, header.name)
        self.network = checked(NetworkSettings, header.network, header.name)
        self._mode = checked(InferenceSettings, header.inference, header.name).guidance
        size, lead = self.settings.size, [1] * (3 - self._dimension)
        factors = self.network.all_factors(self._dimension)
        steps = np.multiply(self.network.multiple(self._dimension), factors).tolist()
        if len(size) != self._dimension or any(n % step for n, step in zip(size, steps, strict=True)):
            raise ModelError(f"The size {size} must have {self._dimension} sides that are multiples of {steps}.")
        self._factors, low = factors, np.floor_divide(size, factors).tolist()
        block, halves = self.settings.block, [n // 2 for n in size]
        fits = block is None or (
            len(block) == len(size)
            and all(b % f == 0 and b <= h for b, f, h in zip(block, factors, halves, strict=True))
        )
        if not fits:
            raise ModelError(f"The block {block} must have sides up to {halves}, multiples of {factors}.")
        self._block = np.floor_divide(block, factors).tolist() if block else None
        self._sides = [*lead, *size]
        self._low = [*lead, *low]
        self._crop = [*lead, *self.network.guidance_shape(low)]
        self._augment = Augment(self.settings.augmentation, header, size)
        weights = self.settings.helpers
        helped = any((weights.super_resolution, weights.guidance, weights.target_enhanced, weights.similarity))
        self._helped = self.network.super_resolution and helped

    def begin(self, trained: dict[str, nn.Module], cases: list[TrainingCase]) -> tuple[nn.Module, list[TrainingCase]]:
        """See :meth:`Task.begin`."""
        network, cases = super().begin(trained, cases)
        low = trained.get("low")
        if isinstance(network, PFSegNetwork) and isinstance(low, ResidualUNet):
            network.start_from(low)
        return network, cases

    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """See :meth:`Task.sample`.

        Returns:
            low (C, *LR), annotated (labels,), image (C, *HR) and label (*HR); of the guidance crop: crop, place and
            present as in :class:`Guidance`, and mask (1, *HR), 1 in it. With blocks starts (blocks, axes), their first
            LR voxels, and HR is all of them, one after the other along the first axis.
        """
        flat = self._dimension == 2
        image, label = random_patch(case, self._sides, self.settings.foreground, rng)
        if flat:
            image, label = image[:, 0], label[0]
        image, label, annotated = self._augment(image, label, torch.tensor(case.annotated), rng)
        volume = (image[:, None] if flat else image).numpy()
        grid = Grid.from_spacing(volume.shape[1:])
        low = torch.from_numpy(resample(volume, grid, grid.resized(self._low)))
        found = {"low": low[:, 0] if flat else low, "image": image, "label": label, "annotated": annotated}
        if self.network.guidance_widths:
            found |= self._guidance(volume, rng)
        if self._block:
            starts = self._starts(self._block, rng)
            found["starts"] = torch.tensor(starts)
            parts = self._parts(starts, self._factors)
            for name in {"image", "label", "mask"} & found.keys():
                # The last axes are those of space.
                found[name] = torch.cat([found[name][(..., *part)] for part in parts], dim=-self._dimension)
        return found

    def _starts(self, block: list[int], rng: np.random.RandomState) -> list[list[int]]:
        """First LR voxels of a block at a random place in each eighth of the sample, a quarter in 2D."""
        halves = [n // 2 for n in self._low[-self._dimension :]]
        corners = product(*([0, half] for half in halves))
        free = np.subtract(halves, block) + 1
        return [np.add(corner, [rng.randint(n) for n in free]).tolist() for corner in corners]

    def _parts(self, starts: list[list[int]], factors: Sequence[int]) -> list[Part]:
        """Blocks with these first LR voxels as slices, in voxels so many times finer."""
        assert self._block
        sides = [list(zip(start, self._block, factors, strict=True)) for start in starts]
        return [tuple(slice(n * f, (n + m) * f) for n, m, f in axes) for axes in sides]

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.loss`."""
        guidance = Guidance(batch["crop"], batch["place"], batch["present"]) if "crop" in batch else None
        starts = batch["starts"].tolist() if self._block else []
        parts = [self._parts(each, [1] * self._dimension) for each in starts] or None
        logits, restored = network(batch["low"], guidance, super_resolve=self._helped, parts=parts)
        losses = masked_dice_ce(logits, batch["label"], batch["annotated"], hardest=self.settings.hardest)
        if restored is None:
            return losses
        helpers = self._helpers(logits.float().softmax(dim=1), restored.float(), batch)
        weights = self.settings.helpers
        total = losses["loss"] + sum(getattr(weights, name) * value for name, value in helpers.items())
        return {**losses, "loss": total, **{name: value.detach() for name, value in helpers.items()}}

    def _helpers(self, probability: Tensor, restored: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The helpers' losses that are on, by the names of their weights."""
        image, label, drawn = batch["image"], batch["label"], batch["annotated"]
        # Of labels that nobody drew in a case neither S nor Y says anything.
        column = drawn[(..., *[None] * (image.ndim - 2))]
        foreground = (probability[:, 1:] * column).sum(dim=1, keepdim=True)
        known = nn.functional.pad(drawn, (1, 0)).gather(1, label.flatten(1)).view_as(label)
        both = foreground, known[:, None].to(image.dtype), restored, image
        weights = self.settings.helpers
        losses = {}
        if weights.super_resolution:
            losses["super_resolution"] = super_resolution_loss(restored, image)
        if weights.guidance and "mask" in batch:
            losses["guidance"] = guidance_loss(restored, image, batch["mask"].to(image.dtype))
        if weights.target_enhanced:
            losses["target_enhanced"] = target_enhanced_loss(*both)
        if weights.similarity:
            losses["similarity"] = similarity_loss(*both)
        return losses

    def _guidance(self, volume: NDArray[np.float32], rng: np.random.RandomState) -> dict[str, Tensor]:
        mode = "random" if rng.random_sample() < self.settings.random_guidance else self._mode
        box = choose(volume, self._crop, "variance" if mode == "none" else mode, rng)
        present = torch.tensor(float(rng.random_sample() >= self.settings.drop_guidance))
        seen = cut_guidance(volume, box, Box.whole(self._sides), self._sides, self._dimension)
        mask = torch.zeros(1, *self._sides, dtype=torch.uint8)
        mask[(0, *box.slices)] = int(present)
        mask = mask[:, 0] if self._dimension == 2 else mask
        return {"crop": seen.crop[0], "place": seen.place[0], "present": present, "mask": mask}
