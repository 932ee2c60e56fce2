"""Training of the cascade: networks that only serve to propose boxes, the coarse network, then the fine one."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from hrseg.blocks import interpolated
from hrseg.crop_cascade.boxes import (
    components,
    crop_around,
    divided,
    jittered,
    object_boxes,
    paper_crop,
    paper_jittered,
)
from hrseg.crop_cascade.coarse import coarse_pass
from hrseg.crop_cascade.merging import cut, cut_labels
from hrseg.crop_cascade.network import CascadeNetwork, NetworkSettings
from hrseg.crop_cascade.settings import InferenceSettings
from hrseg.errors import InputError, ModelError
from hrseg.geometry import Box, Vector, as_shape
from hrseg.methods import method_class
from hrseg.methods import settings as checked
from hrseg.model_file import Header, Share
from hrseg.runtime import CPU
from hrseg.training.augmentation import Augment
from hrseg.training.losses import masked_dice_ce
from hrseg.training.sampling import MARGIN
from hrseg.training.settings import TrainingSettings
from hrseg.training.task import Task, TrainingCase

#: Whole volumes are changed, and their label maps compared, at this many times the network's size.
_FINER = 2
#: What each level of a pyramid is shrunk by. An odd number: with two, voxels half an object become background.
_LEVEL = 3


class CascadeSettings(TrainingSettings):
    """Adds what the two networks need; ``steps`` are the coarse network's.

    Attributes:
        fine_steps: of the fine network; as many as the coarse one's if left out (published: half).
        folds: the training cases are split into so many parts, and a network trained without a part proposes boxes in
            it, as wrong as they will be on new images. 0: the fine network sees crops around true objects alone.
        fold_steps: of each of these networks; half of ``steps`` if left out.
        proposed: share of the fine network's samples that are around such boxes.
        empty: share that is anywhere.
        jitter: how far faces of the boxes around true objects move, as a share of the side.
        transfer: the fine network starts from the weights of the coarse one.
    """

    fine_steps: Annotated[int, Field(ge=1)] | None = None
    folds: Annotated[int, Field(ge=0, le=10)] = 2
    fold_steps: Annotated[int, Field(ge=1)] | None = None
    proposed: Share = 0.4
    empty: Share = 0.1
    jitter: Share = 0.15
    transfer: bool = True


def cascade_tasks(header: Header, settings: dict[str, Any]) -> list[Task]:
    """The folds, the coarse network, the fine one. Raises ModelError for settings that do not fit."""
    s: CascadeSettings = checked(CascadeSettings, settings, header.name)
    network = checked(NetworkSettings, header.network, header.name)
    if s.folds == 1:
        raise ModelError(
            f'The model "{header.name}" has folds: 1; a network trained without all cases has none: use 0 or 2.'
        )
    published = checked(InferenceSettings, header.inference, header.name).published
    if published:
        # The published fine network starts afresh and sees crops around true objects alone.
        s = s.model_copy(update={"folds": 0, "transfer": False})
    if s.transfer and network.coarse != network.fine:
        raise ModelError(f'The networks of the model "{header.name}" differ, so transfer must be false.')
    steps = s.fold_steps or max(1, s.steps // 2)
    short = s.model_copy(update={"steps": steps, "validation_every": steps})
    tasks: list[Task] = [CoarseTask(header, short, (number, s.folds)) for number in range(s.folds)]
    fine = s.model_copy(update={"steps": s.fine_steps or s.steps})
    return [*tasks, CoarseTask(header, s), FineTask(header, fine)]


class _Cascade(Task):
    """What the stages share."""

    def __init__(self, header: Header, settings: CascadeSettings) -> None:
        self.settings: CascadeSettings = settings
        self.header = header
        self._inference = checked(InferenceSettings, header.inference, header.name)
        self._sides = self._inference.sides

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Task.loss`. Where label maps are finer than the image, at their resolution."""
        logits, label = network(batch["image"]).float(), batch["label"]
        return masked_dice_ce(interpolated(logits, label.shape[1:]), label, batch["annotated"])

    def _build(self) -> CascadeNetwork:
        network = method_class(self.header.method).build(self.header)
        assert isinstance(network, CascadeNetwork)
        return network

    def _sample(
        self, case: TrainingCase, block: Box, sides: list[int], augment: Augment, rng: np.random.RandomState
    ) -> dict[str, Tensor]:
        """The block of a case at ``sides``, changed; then the image, if published the label map too, at the network's.

        A coarse network that learns shrunk label maps grows sure of voxels that are only partly object.
        """
        nearest, drawn = self._inference.published, torch.tensor(case.annotated)
        image = torch.from_numpy(cut(case.image, block, sides, nearest=nearest))
        label = torch.from_numpy(cut_labels(case.label, block, sides, nearest=nearest))
        flat = self.header.dimension == 2
        if flat:
            image, label = image[:, 0], label[0]
        image, label, drawn = augment(image, label, drawn, rng)
        if flat:
            image, label = image[:, None], label[None]
        whole = Box.whole(label.shape)
        image = torch.from_numpy(cut(image.numpy(), whole, self._sides, nearest=nearest))
        if nearest:
            label = torch.from_numpy(cut_labels(label.numpy().astype(np.uint8), whole, self._sides, nearest=True))
        image, label = (image[:, 0], label[0]) if flat else (image, label)
        return {"image": image, "label": label.long(), "annotated": drawn}


class CoarseTask(_Cascade):
    """Whole images at the network's size. With ``fold`` (number, of how many), all cases but those of this fold."""

    def __init__(self, header: Header, settings: CascadeSettings, fold: tuple[int, int] | None = None) -> None:
        super().__init__(header, settings)
        self.name = "coarse" if fold is None else f"fold{fold[0]}"
        self._fold = fold
        variant = "paper_plain" if self._inference.published else "plain"
        self.header = header.model_copy(update={"inference": {**header.inference, "variant": variant}})
        self._augment = Augment(settings.augmentation, header, None)

    def begin(self, trained: dict[str, nn.Module], cases: list[TrainingCase]) -> tuple[nn.Module, list[TrainingCase]]:
        """See :meth:`Task.begin`. Raises InputError for fewer cases than folds."""
        self._network = self._build()
        if self._fold:
            if len(cases) < self._fold[1]:
                raise InputError(
                    f"{len(cases)} training case{'s' * (len(cases) != 1)} cannot be split into folds: {self._fold[1]}; "
                    "set folds: 0 in the recipe's training, or give more cases."
                )
            cases = [case for number, case in enumerate(cases) if number % self._fold[1] != self._fold[0]]
        self._blocks = {case.name: self._shrunk(case) for case in cases}
        return self._network.coarse, cases

    def whole(self, network: nn.Module) -> nn.Module:
        """See :meth:`Task.whole`."""
        return CascadeNetwork(network, self._network.fine)

    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """See :meth:`Task.sample`: image (C, *size), label (finer, *sides), annotated (labels,)."""
        small = self._blocks[case.name]
        return self._sample(small, Box.whole(small.label.shape), list(small.label.shape), self._augment, rng)

    def _shrunk(self, case: TrainingCase) -> TrainingCase:
        """The case :data:`_FINER` times as large as the network's input, so that changing it takes little."""
        if self._inference.published:
            return case
        return _resized(case, [1 if side == 1 else _FINER * side for side in self._sides])


class FineTask(_Cascade):
    """Crops around true objects and around those that networks of other folds proposed, and empty ones."""

    name = "fine"

    def __init__(self, header: Header, settings: CascadeSettings) -> None:
        super().__init__(header, settings)
        self._patch = self._sides[3 - header.dimension :]
        self._augment = Augment(settings.augmentation, header, self._patch)

    def begin(self, trained: dict[str, nn.Module], cases: list[TrainingCase]) -> tuple[nn.Module, list[TrainingCase]]:
        """See :meth:`Task.begin`."""
        network = self._build()
        self._coarse = trained["coarse"]
        if self.settings.transfer:
            network.fine.load_state_dict(self._coarse.state_dict())
        self._levels = {} if self._inference.published else {case.name: self._pyramid(case) for case in cases}
        self._true = {case.name: self._objects(case.label > 0) for case in cases}
        folds = [trained[name] for name in sorted(trained) if name.startswith("fold")]
        self._proposals: dict[str, list[Box]] = {
            case.name: self._proposed(folds[number % len(folds)], case) if folds else []
            for number, case in enumerate(cases)
        }
        return network.fine, cases

    def whole(self, network: nn.Module) -> nn.Module:
        """See :meth:`Task.whole`."""
        device = next(network.parameters()).device
        return CascadeNetwork(self._coarse.to(device), network)

    def sample(self, case: TrainingCase, rng: np.random.RandomState) -> dict[str, Tensor]:
        """See :meth:`Task.sample`: image (C, *size), label (*size), annotated (labels,)."""
        crop = self._crop(case, rng)
        # Larger than the sample, so that rotating it brings in voxels, not its repeated border.
        outer = [n if n == 1 else int(np.ceil(n * MARGIN)) for n in crop.shape]
        start = [a - (n - m) // 2 for a, n, m in zip(crop.start, outer, crop.shape, strict=True)]
        block = Box(as_shape(start), as_shape(np.add(start, outer)))
        sides = [n if n == 1 else int(np.ceil(n * MARGIN)) for n in self._sides]
        # A large block is shrunk from a coarser level of the pyramid, which costs less and looks the same.
        for level in self._levels.get(case.name, []):
            if any(1 < n < 2 * _LEVEL * side for n, side in zip(block.shape, sides, strict=True)):
                break
            case = level
            block = Box(as_shape(np.asarray(block.start) // _LEVEL), as_shape(-(-np.asarray(block.stop) // _LEVEL)))
        return self._sample(case, block, sides, self._augment, rng)

    def _objects(self, mask: NDArray[np.bool_]) -> list[Box]:
        return [part for box, _ in components(mask) for part in divided(box, mask, self._inference)]

    def _pyramid(self, case: TrainingCase) -> list[TrainingCase]:
        """The case at a third, a ninth ... of its resolution, down to about the network's size."""
        levels = [case]
        while all(n == 1 or n >= _LEVEL * side for n, side in zip(levels[-1].label.shape, self._sides, strict=True)):
            levels.append(_resized(levels[-1], [-(-n // _LEVEL) for n in levels[-1].label.shape]))
        return levels[1:]

    def _crop(self, case: TrainingCase, rng: np.random.RandomState) -> Box:
        shape, s = case.label.shape, self.settings
        true, proposed = self._true[case.name], self._proposals[case.name]
        if self._inference.published:
            return self._published_crop(true, shape, rng)
        around = partial(crop_around, settings=self._inference, spacing=self._spacing(case))
        kind = rng.random_sample()
        if proposed and kind < s.proposed:
            return around(proposed[rng.randint(len(proposed))])
        if true and kind < 1 - s.empty:
            return around(jittered(true[rng.randint(len(true))], s.jitter, rng))
        # Anywhere: as large as an object of this case, or as the network's input.
        like = true[rng.randint(len(true))].shape if true else as_shape(np.minimum(self._sides, shape))
        start = [rng.randint(max(1, n - m + 1)) for n, m in zip(shape, like, strict=True)]
        return around(Box.whole(like).shift(start))

    def _published_crop(self, true: list[Box], shape: tuple[int, ...], rng: np.random.RandomState) -> Box:
        """C2: one box of the image at random, moved by up to 16 pixels; the whole image where that is rejected."""
        box = paper_jittered(true[rng.randint(len(true))], rng) if true else None
        crop = paper_crop(box, self._inference.size, shape) if box else None
        return crop or Box.whole(shape)

    def _proposed(self, network: nn.Module, case: TrainingCase) -> list[Box]:
        s = self._inference
        mask = coarse_pass(network.eval(), case.image, s, CPU).mask(s.threshold)
        return [entry.tight for entry in object_boxes(mask, s, self._spacing(case))]

    def _spacing(self, case: TrainingCase) -> Vector:
        """Of the case's working grid: the model's, or that of the image where the model works at any, as in use."""
        return self.header.preprocessing.spacing or case.spacing or (1.0, 1.0, 1.0)


def _resized(case: TrainingCase, sides: list[int]) -> TrainingCase:
    whole = Box.whole(case.label.shape)
    image, label = cut(case.image, whole, sides), cut_labels(case.label, whole, sides)
    return TrainingCase(case.name, image, label, case.annotated, {})
