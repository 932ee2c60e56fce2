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
from hrseg.geometry import Box, Grid, Shape, as_shape
from hrseg.methods import settings as checked
from hrseg.model_file import Header, Share, Strict
from hrseg.pfseg.guidance import choose
from hrseg.pfseg.losses import guidance_loss, similarity_loss, super_resolution_loss, target_enhanced_loss
from hrseg.pfseg.network import Guidance, Part, PFSegNetwork
from hrseg.pfseg.sample_sizes import SampleSizes
from hrseg.pfseg.settings import InferenceSettings, NetworkSettings
from hrseg.pfseg.volumes import cut_guidance
from hrseg.resample import SHRINK
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
        low_rate: learning rate of what it has learned, as a share of that of the rest, when the second stage goes on.
        size: most sides of a sample, in high-resolution voxels, (k, j, i) or (j, i): about those of a whole subject.
            With a ``batch_size`` of 1 samples of smaller subjects are smaller, as large as what the network sees of
            them in use; it normalises over that.
        least_size: samples have several sizes from these sides up to ``size``, which is less to learn by heart; this
            needs a ``batch_size`` of 1. All have the sides ``size`` if left out.
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
    low_rate: Share = 1.0
    size: Annotated[list[Annotated[int, Field(ge=16, le=1024)]], Field(min_length=2, max_length=3)]
    least_size: list[Annotated[int, Field(ge=16, le=1024)]] | None = None
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
        size = self.settings.size
        factors = self.network.all_factors(self._dimension)
        steps = np.multiply(self.network.multiple(self._dimension), factors).tolist()
        if len(size) != self._dimension or any(n % step for n, step in zip(size, steps, strict=True)):
            raise ModelError(f"The size {size} must have {self._dimension} sides that are multiples of {steps}.")
        self._factors = factors
        self._sizes = self._checked_sizes(steps)
        block, halves = self.settings.block, [n // 2 for n in size]
        fits = block is None or (
            len(block) == len(size)
            and all(b % f == 0 and b <= h for b, f, h in zip(block, factors, halves, strict=True))
        )
        if not fits:
            raise ModelError(f"The block {block} must have sides up to {halves}, multiples of {factors}.")
        self._augments: dict[tuple[int, ...], Augment] = {}
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

    def parameters(self, network: nn.Module) -> list[dict[str, Any]]:
        """See :meth:`Task.parameters`."""
        assert isinstance(network, PFSegNetwork)
        known = dict.fromkeys(p for module in network.low_modules() for p in module.parameters())
        rest = [p for p in network.parameters() if p not in known]
        share = self.settings.low_rate if self.settings.low_steps else 1.0
        return [{"params": rest}, {"params": list(known), "lr": share * self.settings.learning_rate}]

    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """See :meth:`Task.sample`.

        Returns:
            low (C, *LR), annotated (labels,), image (C, *HR) and label (*HR); of the guidance crop: crop, place and
            present as in :class:`Guidance`, and mask (1, *HR), 1 in it. With blocks their first and last LR voxels
            (blocks, axes, 2), and HR is all of them, one after the other along the first axis.
        """
        flat, size = self._dimension == 2, self._sizes.draw(case.label.shape, rng)
        image, label = random_patch(case, self._lead(size), self.settings.foreground, rng)
        if flat:
            image, label = image[:, 0], label[0]
        image, label, annotated = self._augment(tuple(size))(image, label, torch.tensor(case.annotated), rng)
        volume = (image[:, None] if flat else image).numpy()
        grid, low = Grid.from_spacing(volume.shape[1:]), np.floor_divide(size, self._factors).tolist()
        shrink = SHRINK[self.header.preprocessing.shrink]
        shrunk = torch.from_numpy(shrink(volume, grid, grid.resized(self._lead(low))))
        found = {"low": shrunk[:, 0] if flat else shrunk, "image": image, "label": label, "annotated": annotated}
        if self.network.guidance_widths:
            found |= self._guidance(volume, self._lead(self.network.guidance_shape(low)), rng)
        if self.settings.block:
            blocks = self._blocks(low, self.settings.block, rng)
            found["blocks"] = torch.tensor(blocks)
            # The last axes are those of space.
            parts: list[Any] = [(..., *_slices(block, self._factors)) for block in blocks]
            for name in {"image", "label", "mask"} & found.keys():
                found[name] = torch.cat([found[name][part] for part in parts], dim=-self._dimension)
        return found

    def _checked_sizes(self, steps: list[int]) -> SampleSizes:
        s, name = self.settings, self.header.name
        least = s.least_size or s.size
        if len(least) != len(s.size) or any(a > b for a, b in zip(least, s.size, strict=True)):
            raise ModelError(f"The least_size {least} must have {len(s.size)} sides up to {s.size}.")
        sizes = SampleSizes(least, s.size, steps, alike=s.batch_size > 1)
        if len(sizes.all) > 1 and s.batch_size > 1:
            raise ModelError(
                f'The model "{name}" has least_size: {least}, samples of several sizes, of which no batch of '
                f"{s.batch_size} can be made; set batch_size to 1."
            )
        return sizes

    def _augment(self, size: tuple[int, ...]) -> Augment:
        """For samples of that size."""
        if size not in self._augments:
            self._augments[size] = Augment(self.settings.augmentation, self.header, size)
        return self._augments[size]

    def _lead(self, sides: Sequence[int]) -> Shape:
        """Three sides of what has two in 2D."""
        return as_shape([*[1] * (3 - self._dimension), *sides])

    def _blocks(self, low: list[int], sides: list[int], rng: np.random.RandomState) -> list[list[list[int]]]:
        """Begin and end of blocks in LR voxels, at a random place in each eighth of a sample, in 2D each quarter."""
        halves = np.floor_divide(low, 2)
        block = np.minimum(halves, np.floor_divide(sides, self._factors))
        corners = np.array(list(product(*([0, half] for half in halves))))
        starts = corners + [[rng.randint(n) for n in halves - block + 1] for _ in corners]
        return np.stack([starts, starts + block], axis=-1).tolist()

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.loss`."""
        guidance = Guidance(batch["crop"], batch["place"], batch["present"]) if "crop" in batch else None
        samples = batch["blocks"].tolist() if "blocks" in batch else []
        parts = [[_slices(block, [1] * self._dimension) for block in blocks] for blocks in samples] or None
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

    def _guidance(self, volume: NDArray[np.float32], crop: Shape, rng: np.random.RandomState) -> dict[str, Tensor]:
        mode = "random" if rng.random_sample() < self.settings.random_guidance else self._mode
        sides = volume.shape[1:]
        box = choose(volume, crop, "variance" if mode == "none" else mode, rng)
        present = torch.tensor(float(rng.random_sample() >= self.settings.drop_guidance))
        seen = cut_guidance(volume, box, Box.whole(sides), sides, self._dimension)
        mask = torch.zeros(1, *sides, dtype=torch.uint8)
        mask[(0, *box.slices)] = int(present)
        mask = mask[:, 0] if self._dimension == 2 else mask
        return {"crop": seen.crop[0], "place": seen.place[0], "present": present, "mask": mask}


def _slices(block: list[list[int]], factors: Sequence[int]) -> Part:
    """Begin and end per axis (axes, 2) as slices, in voxels so many times finer."""
    return tuple(slice(start * f, stop * f) for (start, stop), f in zip(block, factors, strict=True))
