"""Training of SASR-Net: patches at the fine resolution, and what the network sees of them made from these."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from hrseg.errors import InputError, ModelError
from hrseg.geometry import Box, Grid, as_shape
from hrseg.lesions import lesion_mask, size_name, terciles
from hrseg.methods import settings as checked
from hrseg.model_file import Header, Share
from hrseg.resample import crop_or_mirror, resample
from hrseg.sasr.gates import gates_of_lesions, lesions
from hrseg.sasr.layers import shrunk
from hrseg.sasr.losses import Weights, sasr_loss
from hrseg.sasr.network import SasrNetwork
from hrseg.sasr.settings import InferenceSettings, NetworkSettings
from hrseg.sasr.view import of_three
from hrseg.training.augmentation import Augment
from hrseg.training.cases import ValidationCase, relabelled
from hrseg.training.sampling import random_box, random_patch
from hrseg.training.settings import TrainingSettings
from hrseg.training.task import Task, TrainingCase

Weight = Annotated[float, Field(ge=0, le=100)]


class SasrSettings(TrainingSettings):
    """Adds the patch and the terms of the loss.

    Attributes:
        patch: sides in voxels of what the network sees; the window of inference if left out.
        foreground: share of patches centred on a label, each label equally often.
        shrunk: share of samples of images with finer label maps in which the image is shrunk, so that the image itself
            is what super-resolving has to find. Images without finer label maps are always shrunk.
        image_weight, feature_weight, scale_weight: of the loss of the super-resolved image, of feature affinity (FA)
            and of scale affinity (SA), where the mask's loss counts 1.
        image_loss: squared (``l2``) or absolute differences, as a share of those of the interpolated image.
        ramp: share of the steps over which the affinities come in.
    """

    patch: list[Annotated[int, Field(ge=8, le=1024)]] | None = None
    foreground: Share = 0.67
    shrunk: Share = 0.5
    image_weight: Weight = 0.2
    feature_weight: Weight = 0.5
    scale_weight: Weight = 0.1
    image_loss: Literal["l1", "l2"] = "l2"
    ramp: Share = 0.1


class SasrTask(Task):
    """See :class:`Task`."""

    def __init__(self, header: Header, settings: dict[str, Any]) -> None:
        self.header = header
        self.settings: SasrSettings = checked(SasrSettings, settings, header.name)
        self._inference = checked(InferenceSettings, header.inference, header.name)
        network = checked(NetworkSettings, header.network, header.name)
        self._patch = self.settings.patch or list(self._inference.window)
        problem = _problem(self.settings, self._patch, network, header.dimension)
        if problem:
            raise ModelError(f'The training settings of the model "{header.name}" do not fit: {problem}.')
        self._factors = network.all_factors(header.dimension)
        self._paths = network.paths(header.dimension)
        self.finer = as_shape(of_three(self._factors))
        self._augment = Augment(self.settings.augmentation, header, self._fine_patch)

    def begin(self, trained: dict[str, nn.Module], cases: list[TrainingCase]) -> tuple[nn.Module, list[TrainingCase]]:
        """See :meth:`Task.begin`."""
        cases = [self._sized(case) for case in cases]
        # Label maps at the image's resolution, of the cases that have finer ones.
        self._coarse = {case.name: relabelled(case, case.image.shape[1:]) for case in cases if _is_finer(case)}
        learns_finer = self._coarse or self._inference.size or self._inference.feeds == "shrunk"
        if max(self._factors) > 1 and not learns_finer:
            raise InputError(
                "No label map is finer than its image, so that the network learns from shrunk images alone; "
                "set feeds: shrunk in the recipe's inference, or give finer label maps."
            )
        self._limits = terciles([lesion.diameter for case in cases for lesion in lesions(self._seen_lesions(case))])
        network, _ = super().begin(trained, cases)
        return network, cases

    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """See :meth:`Task.sample`.

        ``image`` (C, *patch) is what the network sees, ``label`` (*fine) and ``fine`` (C, *fine), the image at that
        resolution, what it is to find; ``has_fine`` says whether there is such an image.
        """
        native = _is_finer(case) and rng.random_sample() >= self.settings.shrunk
        image, label = self._native(case, rng) if native else self._shrunk(case, rng)
        if self.header.dimension == 2:
            image, label = image[:, 0], label[0]
        image, label, annotated = self._augment(image, label, torch.tensor(case.annotated), rng)
        seen = shrunk(image[None], self._factors)[0]
        return {
            "image": seen,
            "label": label,
            "annotated": annotated,
            "fine": image,
            "has_fine": torch.tensor(not native),
        }

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.loss`."""
        assert isinstance(network, SasrNetwork)
        s = self.settings
        ramp = min(1.0, (self.step + 1) / max(1.0, s.ramp * s.steps))
        weights = Weights(s.image_weight, s.feature_weight * ramp, s.scale_weight * ramp)
        return sasr_loss(network.outputs(batch["image"]), batch, weights, s.image_loss)

    def observe(self, network: nn.Module, case: ValidationCase) -> dict[str, float]:
        """Mean gate per path and size of lesions: ``gate_small_3`` for the path that is 3 voxels wide."""
        if not self._paths:
            return {}
        assert isinstance(network, SasrNetwork)
        found: dict[str, list[list[float]]] = {}
        for diameter, gates in gates_of_lesions(network, self.header, case.image, case.truth, self._patch):
            found.setdefault(size_name(diameter, self._limits), []).append(gates)
        return {
            f"gate_{size}_{name}": float(value)
            for size, rows in found.items()
            for name, value in zip(self._paths, np.mean(rows, axis=0), strict=True)
        }

    @property
    def _fine_patch(self) -> list[int]:
        return [p * f for p, f in zip(self._patch, self._factors, strict=True)]

    def _native(self, case: TrainingCase, rng: np.random.RandomState) -> tuple[Tensor, Tensor]:
        """A block of a case with a finer label map; the image's voxels are repeated, so that both change alike."""
        box = random_box(self._coarse[case.name], of_three(self._patch), self.settings.foreground, rng)
        image, factors = crop_or_mirror(case.image, box), np.asarray(self.finer)
        for axis, factor in zip((-3, -2, -1), self.finer, strict=True):
            image = np.repeat(image, factor, axis=axis)
        fine = Box(as_shape(box.start * factors), as_shape(box.stop * factors))
        return torch.from_numpy(image), torch.from_numpy(np.ascontiguousarray(crop_or_mirror(case.label, fine)))

    def _shrunk(self, case: TrainingCase, rng: np.random.RandomState) -> tuple[Tensor, Tensor]:
        """A block at the image's resolution; it is shrunk after it was changed."""
        case = self._coarse.get(case.name, case)
        return random_patch(case, of_three(self._fine_patch), self.settings.foreground, rng, crop_or_mirror)

    def _sized(self, case: TrainingCase) -> TrainingCase:
        """The image in as many voxels as inference resizes it to.

        Where inference does not shrink it the label map is finer, if it has enough voxels, and so is the image: what
        the network sees is made of it then.
        """
        if self._inference.size is None:
            return case
        shape = as_shape(of_three(self._inference.size))
        fine = as_shape(np.multiply(shape, self.finer))
        finer_label, finer_image = (
            all(n >= m for n, m in zip(have, fine, strict=True)) for have in (case.label.shape, case.image.shape[1:])
        )
        native = self._inference.feeds == "native"
        counted = Grid.from_spacing(case.image.shape[1:])
        wanted = counted.resized(fine if native and finer_label and finer_image else shape)
        image = resample(case.image, counted, wanted)
        return relabelled(replace(case, image=image), fine if native and finer_label else shape)

    def _seen_lesions(self, case: TrainingCase) -> NDArray[np.bool_]:
        """The mask of lesions at the resolution of what the network sees, (*shape)."""
        shape = np.asarray(of_three(self._inference.size) if self._inference.size else case.image.shape[1:])
        if self._inference.feeds == "shrunk":
            shape = np.maximum(1, shape // self.finer)
        mask = lesion_mask(relabelled(case, as_shape(shape)).label, self.header.labels)
        return mask[0] if self.header.dimension == 2 else mask


def _is_finer(case: TrainingCase) -> bool:
    return case.label.shape != case.image.shape[1:]


def _problem(s: SasrSettings, patch: list[int], network: NetworkSettings, dimension: int) -> str | None:
    """What does not fit the network or the dimension, if anything."""
    multiple = network.multiple(dimension)
    if len(patch) != dimension or any(p % m for p, m in zip(patch, multiple, strict=False)):
        return f"the patch {patch} must have {dimension} sides that are multiples of {multiple}"
    if not network.sr and (s.image_weight or s.feature_weight or s.scale_weight):
        return "without the image decoder (network.sr) image_weight, feature_weight and scale_weight must be 0"
    if not network.sdc and s.scale_weight:
        return "without scale-aware convolutions (network.sdc) there are no gates: scale_weight must be 0"
    return None
