"""Training of the field: a volume, a few thousand of its points, and their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.errors import InputError, ModelError
from hrseg.geometry import Box, Vector, as_shape
from hrseg.methods import settings as checked
from hrseg.model_file import Header
from hrseg.oss_net.losses import auxiliary_loss, point_loss
from hrseg.oss_net.sampling import draw_points, node_labels
from hrseg.oss_net.settings import NetworkSettings, told_spacing
from hrseg.oss_net.training_settings import FieldTraining
from hrseg.resample import crop_or_pad
from hrseg.training.augmentation import Augment
from hrseg.training.sampling import MARGIN, random_box, random_patch
from hrseg.training.task import Task, TrainingCase


class FieldTask(Task):
    """See :class:`Task`."""

    def __init__(self, header: Header, settings: dict[str, Any]) -> None:
        self.header = header
        self.settings: FieldTraining = checked(FieldTraining, settings, header.name)
        network = checked(NetworkSettings, header.network, header.name)
        self._variant, self._published = network.variant, network.variant != "field"
        patch, finer = self.settings.patch or header.inference.get("window"), self.settings.finer
        if patch is None:
            raise ModelError(
                "How large samples are is not said; give the window of inference, or the patch of training."
            )
        if len(patch) != header.dimension:
            raise ModelError(f"The patch {patch} must have {header.dimension} sides.")
        self._patch, self._sides = patch, [side * finer for side in patch]
        self.finer = (1 if header.dimension == 2 else finer, finer, finer)
        self._nodes = [n * f for n, f in zip(network.field.all_strides(header.dimension), self.finer, strict=True)]
        self._augment = Augment(self.settings.augmentation, header, self._sides)

    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """See :meth:`Task.sample`: image (C, K, J, I), points (P, 3), target (P,), annotated (labels,), spacing (3,).

        The published networks' auxiliary loss needs the label map (K, J, I), too; ours weight (P,), see
        :func:`draw_points`, and nodes (*nodes), the labels of the context's nodes.
        """
        flat = self.header.dimension == 2
        image, label = self._block(case, rng)
        if flat:
            image, label = image[:, 0], label[0]
        image, label, annotated = self._augment(image, label, torch.tensor(case.annotated), rng)
        if flat:
            image, label = image[:, None], label[None]
        points, target, weight = draw_points(label, self.settings.points, rng)
        if self.settings.finer > 1:
            image = F.avg_pool3d(image[None], self.finer)[0]
            points = (points + 0.5) / torch.tensor(self.finer) - 0.5
        spacing = torch.tensor(self._spacing(case))
        sample = {"image": image, "points": points, "target": target, "annotated": annotated, "spacing": spacing}
        if self._published:
            return {**sample, "label": label}
        return {**sample, "weight": weight, "nodes": node_labels(label, self._nodes)}

    def _spacing(self, case: TrainingCase) -> Vector:
        """What the network is told: the spacing that the model works at, or that of the case where it works at any.

        Augmentation by scale does not change it: that stands for larger and smaller subjects, not for other voxels.
        """
        spacing = self.header.preprocessing.spacing or case.spacing or (1.0, 1.0, 1.0)
        return told_spacing(self.header, spacing)

    def begin(self, trained: dict[str, nn.Module], cases: list[TrainingCase]) -> tuple[nn.Module, list[TrainingCase]]:
        """See :meth:`Task.begin`.

        Raises:
            InputError: a label map that is not as fine as the recipe says; a published variant, whose losses take what
                nobody drew for background, and a case without some label.
        """
        for case in cases:
            expected = tuple(n * f for n, f in zip(case.image.shape[1:], self.finer, strict=True))
            if case.label.shape != expected:
                raise InputError(
                    f'The label map of "{case.name}" is not {self.settings.finer} times finer than its image; '
                    "give such label maps, or change finer in the recipe's training."
                )
            if self._published and not all(case.annotated):
                name = self.header.labels[case.annotated.index(False)].name
                raise InputError(
                    f'The variant "{self._variant}" learns from cases in which every label was drawn, but "{name}" is '
                    f'not annotated in "{case.name}"; leave that case out, or use the variant "field".'
                )
        return super().begin(trained, cases)

    def _block(self, case: TrainingCase, rng: np.random.RandomState) -> tuple[Tensor, Tensor]:
        """Image (C, K, J, I) and label map (K, J, I) around a random place.

        Of a finer label map the image's voxels are repeated, so that both change alike; they are averaged again later.
        """
        flat = self.header.dimension == 2
        sides = [1, *self._sides] if flat else self._sides
        if self.settings.finer == 1:
            return random_patch(case, sides, self.settings.foreground, rng)
        box = random_box(case, sides, self.settings.foreground, rng)
        step = np.asarray(self.finer)
        # As much is added on both sides of the patch, in whole voxels, so that blocks of fine ones stay together.
        patch = np.asarray([1, *self._patch] if flat else self._patch)
        whole = patch + 2 * np.where(patch > 1, np.ceil(patch * (MARGIN - 1) / 2), 0).astype(int)
        coarse = Box.whole(whole).shift(((np.add(box.start, box.stop) // 2) // step - whole // 2).tolist())
        fine = Box(as_shape(coarse.start * step), as_shape(coarse.stop * step))
        image = torch.from_numpy(np.ascontiguousarray(crop_or_pad(case.image, coarse)))
        for axis, count in enumerate(self.finer, start=1):
            image = image.repeat_interleave(count, dim=axis)
        return image, torch.from_numpy(np.ascontiguousarray(crop_or_pad(case.label, fine)))

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.loss`."""
        found = network(batch["image"], batch["points"], batch["spacing"])
        target, annotated = batch["target"], batch["annotated"]
        weight = batch.get("weight")
        losses = point_loss(found.logits, target, annotated, weight, plain=self._published)
        if found.prior is None:
            return losses
        if self._published:
            prior = auxiliary_loss(found.prior, batch["label"])
        else:
            # At all nodes: a few thousand points alone teach the context much more slowly.
            prior = point_loss(found.prior, batch["nodes"], annotated)["loss"]
        return {**losses, "loss": losses["loss"] + self.settings.prior * prior, "prior_loss": prior.detach()}
