"""Inference of the cascade: the coarse network proposes boxes, the fine network segments their crops, all is joined."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hrseg.blocks import placed
from hrseg.crop_cascade.boxes import JOIN, ObjectBox, crop_around, object_boxes, share
from hrseg.crop_cascade.coarse import Coarse, coarse_pass, probabilities
from hrseg.crop_cascade.merging import SLAB, Canvas, Region, cut
from hrseg.crop_cascade.network import CascadeNetwork, NetworkSettings
from hrseg.crop_cascade.settings import InferenceSettings, unfit
from hrseg.crop_cascade.touching import SPLITTING, split_instances
from hrseg.errors import InputError, ModelError
from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.instances import instances_of
from hrseg.label_assembly import assemble
from hrseg.memory import activation_peak, cpu_network_bytes
from hrseg.methods import Method, Options, Result, prepare_for, result_of, settings
from hrseg.model_file import Header, Model
from hrseg.preprocess import Prepared, check, locate, preparing_bytes
from hrseg.prompts import RegionBox
from hrseg.runtime import Run, halvings, with_fallback

if TYPE_CHECKING:
    from hrseg.training.task import Task


@dataclass(eq=False)
class _Seen:
    """What is known of an image so far: its crops by their boxes are probabilities (classes, *sides)."""

    image: Image
    prepared: Prepared
    coarse: Coarse | None = None
    crops: dict[Box, Tensor] = field(default_factory=dict)


#: Objects that a memory forecast expects where nobody drew them.
_EXPECTED = 32


class CropCascade(Method):
    """Segment-then-Segment: two networks of a small input size, the second one on crops at full resolution."""

    name = "crop_cascade"
    title = "Segment-then-Segment"
    takes_boxes = True
    NetworkSettings = NetworkSettings
    InferenceSettings = InferenceSettings

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._settings = settings(InferenceSettings, model.header.inference, model.header.name)
        self._sides = self._settings.sides
        self._seen: _Seen | None = None

    @classmethod
    def build(cls, header: Header) -> nn.Module:
        """See :meth:`Method.build`."""
        network = settings(NetworkSettings, header.network, header.name)
        inference = settings(InferenceSettings, header.inference, header.name)
        problem = unfit(network, inference, header)
        if problem:
            raise ModelError(f'The settings of the model "{header.name}" do not fit its method: {problem}.')
        built = [
            n.build(header.dimension, len(header.channels), header.classes) for n in (network.coarse, network.fine)
        ]
        return CascadeNetwork(*built)

    def segment(self, image: Image, options: Options, run: Run) -> Result:
        """See :meth:`Method.segment`."""
        if self._settings.coarse_only and options.boxes:
            raise InputError(
                f'The variant "{self._settings.variant}" of the model "{self.model.header.name}" is its coarse network '
                "alone, which looks at the whole image; leave the boxes out."
            )
        seen = self._look_at(image, options, run)
        objects = self._drawn(image, seen.prepared, options, run)
        if options.propose or self._settings.coarse_only:
            coarse = self._coarse(seen, run)
            if self._settings.coarse_only:
                return self._result(image, seen.prepared, self._whole(coarse), [], options, run, run.used)
            objects += self._proposed(coarse, seen.prepared, objects, run)
        device, canvas = self._fine(seen, objects, options, run)
        return self._result(image, seen.prepared, canvas, objects, options, run, device)

    def propose(self, image: Image, options: Options, run: Run) -> list[RegionBox]:
        """See :meth:`Method.propose`."""
        seen = self._look_at(image, options, run)
        drawn = self._drawn(image, seen.prepared, options, run)
        objects = self._proposed(self._coarse(seen, run), seen.prepared, drawn, run)
        return [self._as_box(entry.tight, seen.prepared.grid, n) for n, entry in enumerate(objects, 1)]

    def forecast(self, image: Image, options: Options, device: torch.device) -> int:
        """See :meth:`Method.forecast`."""
        image = check(image, self.model.header)
        _, _, subject, grid = locate(image, self.model.header.preprocessing)
        count = len(options.boxes) + _EXPECTED * options.propose
        batch = min(self._settings.batch, count)
        stages = [self._fine_bytes(image, options, device, batch, count)]
        if options.propose:
            stages.append(self._coarse_bytes(math.prod(grid.shape), device))
        if device.type != "cpu":
            return max(stages)
        return max(preparing_bytes(image, subject, grid), 4 * len(self.model.header.channels) * grid.size + max(stages))

    @classmethod
    def training_tasks(cls, header: Header, settings: dict[str, Any]) -> list[Task]:
        """See :meth:`Method.training_tasks`."""
        from hrseg.crop_cascade.training import cascade_tasks

        return cascade_tasks(header, settings)

    def _look_at(self, image: Image, options: Options, run: Run) -> _Seen:
        """The image prepared, with what is known of it if it is the one that is remembered."""
        seen = self._seen
        if seen is None or seen.image is not image:
            with run.stage("preparing"):
                seen = _Seen(image, prepare_for(run, image, self.model.header))
        self._seen = seen if options.remember else None
        return seen

    def _drawn(self, image: Image, prepared: Prepared, options: Options, run: Run) -> list[ObjectBox]:
        objects = []
        # What is split, proposals that nobody has edited, comes last.
        for box in sorted(options.boxes, key=lambda box: bool(self._settings.split) and box.proposed):
            _, notice = box.voxels(image.grid)
            if notice:
                run.notice(notice)
            tight = box.hull(prepared.grid).clip(prepared.grid.shape)
            if not tight.size:
                run.notice(f'There is nothing but background in the box "{box.name}".')
                continue
            region = Region(tight, box.inside(prepared.grid, tight))
            objects.append(ObjectBox(tight, crop_around(tight, self._settings, prepared.grid.spacing), region, box))
        return objects

    def _coarse(self, seen: _Seen, run: Run) -> Coarse:
        prepared = seen.prepared

        def cost(device: torch.device, _: int) -> int:
            return self._coarse_bytes(prepared.grid.size, device)

        def work(device: torch.device, _: int) -> Coarse:
            network = placed(self._part("coarse"), device)
            with run.stage("coarse"):
                return coarse_pass(network, prepared.array, self._settings, device)

        if seen.coarse is None:
            seen.coarse = with_fallback(run, [1], cost, work, held=prepared.array.nbytes)
        return seen.coarse

    def _proposed(self, coarse: Coarse, prepared: Prepared, drawn: list[ObjectBox], run: Run) -> list[ObjectBox]:
        """Objects of the coarse mask but those where an expert has drawn a box."""
        with run.stage("boxes"):
            threshold = 0.5 if self._settings.published else self._settings.threshold
            mask = coarse.mask(threshold)
            found = object_boxes(mask, self._settings, prepared.grid.spacing)
        if not found:
            few = "only specks, or objects too large for a crop" if mask.any() else "no object"
            run.notice(f"The coarse network found {few}.")
        return [entry for entry in found if all(share(entry.tight, other.tight) <= JOIN for other in drawn)]

    def _fine(self, seen: _Seen, objects: list[ObjectBox], options: Options, run: Run) -> tuple[torch.device, Canvas]:
        """The crops of all objects, segmented and on one canvas."""
        s, prepared = self._settings, seen.prepared
        closely, others = objects[: s.most], objects[s.most :]
        if others:
            run.notice(f"There are {len(objects)} objects; the smallest {len(others)} have the coarse result.")
        needed = {entry.crop for entry in closely}
        seen.crops = {crop: values for crop, values in seen.crops.items() if crop in needed}
        device = self._look(seen, sorted(needed - seen.crops.keys(), key=lambda crop: crop.start), options, run)
        canvas, failed = self._canvas(prepared), list[ObjectBox]()
        for entry in closely:
            values = seen.crops[entry.crop]
            if torch.isfinite(values).all():
                canvas.add(entry.crop, values, entry.region)
            else:
                failed.append(entry)
        if failed:
            crops = "1 crop, which has" if len(failed) == 1 else f"{len(failed)} crops, which have"
            run.notice(f"The fine network failed in {crops} the coarse result.")
        for entry in [*others, *failed]:
            box = entry.tight.clip(prepared.grid.shape)
            canvas.add(box, self._coarse(seen, run).at(box), entry.region)
        return device, canvas

    def _look(self, seen: _Seen, crops: list[Box], options: Options, run: Run) -> torch.device:
        """What the fine network says of ``crops`` goes to ``seen.crops``; returns where it ran."""
        prepared, batch = seen.prepared, min(self._settings.batch, max(1, len(crops)))

        def cost(device: torch.device, size: int) -> int:
            return self._fine_bytes(prepared, options, device, size, len(crops))

        def work(device: torch.device, size: int) -> torch.device:
            network = placed(self._part("fine"), device)
            with run.stage("crops", max(1, len(crops))) as advance:
                for start in range(0, len(crops), size):
                    part = crops[start : start + size]
                    images = [cut(prepared.array, c, self._sides, nearest=self._settings.published) for c in part]
                    seen.crops.update(zip(part, probabilities(network, images, device), strict=True))
                    advance(len(part))
            return device

        return with_fallback(run, halvings(batch), cost, work, held=prepared.array.nbytes)

    def _canvas(self, prepared: Prepared) -> Canvas:
        merge = "or" if self._settings.published else self._settings.merge
        return Canvas(self.model.header.classes, prepared.grid.shape, merge)

    def _whole(self, coarse: Coarse) -> Canvas:
        """The coarse result as the only crop."""
        canvas = Canvas(self.model.header.classes, coarse.shape, "or" if coarse.nearest else "max")
        canvas.add(Box.whole(coarse.shape), coarse.probability)
        return canvas

    def _result(
        self,
        image: Image,
        prepared: Prepared,
        canvas: Canvas,
        objects: list[ObjectBox],
        options: Options,
        run: Run,
        device: torch.device,
    ) -> Result:
        header = self.model.header
        boxes = [entry.drawn or self._as_box(entry.tight, prepared.grid, n) for n, entry in enumerate(objects, 1)]
        with run.stage("joining", -(-prepared.grid.shape[0] // SLAB)) as advance:
            keep = options.keep_probability
            assembly = assemble(canvas.slabs(advance), prepared, header.classes, keep_probability=keep)
            labels, probability = assembly.labels(), assembly.probability()
            # It holds a slice of probabilities, which of a 2D image is all.
            del assembly
            instances = instances_of(labels, image.grid, boxes) if options.instances else None
            if instances is not None and self._settings.split:
                drawn = [entry.drawn for entry in objects if entry.drawn and not entry.drawn.proposed]
                boxes = drawn + split_instances(instances, image.grid, len(drawn), self._settings.split)
        return result_of(labels, image.grid, header, run, device, probability, boxes=boxes, instances=instances)

    def _as_box(self, tight: Box, grid: Grid, number: int) -> RegionBox:
        """A proposed box for a person to edit: wider by a coarse voxel, which is how well the object's end is known."""
        margin = [-(-n // side) if n > 1 else 0 for n, side in zip(grid.shape, self._sides, strict=True)]
        return RegionBox.of_voxels(tight.expand(margin).clip(grid.shape), grid, f"object {number}")

    def _coarse_bytes(self, voxels: int, device: torch.device) -> int:
        """Bytes of the coarse pass over a working grid, the prepared image not counted."""
        network = self._network_bytes("coarse", device, 1)
        # The foreground's probability at full size, the mask, and the numbers of its components.
        return network if device.type != "cpu" else network + 12 * voxels

    def _fine_bytes(
        self, image: Image | Prepared, options: Options, device: torch.device, batch: int, count: int
    ) -> int:
        network = self._network_bytes("fine", device, batch)
        if device.type != "cpu":
            return network
        header, grid = self.model.header, image.grid
        crops = 4 * count * header.classes * math.prod(self._sides)
        kept = grid.size * (1 + 4 * len(header.labels) * options.keep_probability)
        # Sums and weights of a slab, and a slice of the last one; then the objects' numbers and the work on them.
        numbers = min(SLAB, grid.shape[0]) * (header.classes + 2) + header.classes
        joining = 4 * numbers * math.prod(grid.shape[1:])
        instances = grid.size * (2 + (SPLITTING if self._settings.split else 4)) * options.instances
        # Of the network its code stays.
        return crops + max(network, cpu_network_bytes(0) + kept + max(joining, instances))

    def _network_bytes(self, part: str, device: torch.device, batch: int) -> int:
        activations = int(self._bytes_per_voxel[part] * batch * math.prod(self._sides))
        if device.type == "cpu":
            return cpu_network_bytes(activations)
        weights = sum(p.numel() for p in self._part(part).parameters())
        return int(activations * 1.2 + 4 * weights)

    @cached_property
    def _bytes_per_voxel(self) -> dict[str, float]:
        """Bytes of activations per voxel of either network's input, found in a small one."""
        return {part: self._activations(part) for part in ("coarse", "fine")}

    def _part(self, name: str) -> nn.Module:
        """The ``coarse`` or the ``fine`` network."""
        return self.model.network.get_submodule(name)

    def _activations(self, part: str) -> float:
        header, network = self.model.header, self._part(part)
        multiple = getattr(settings(NetworkSettings, header.network, header.name), part).multiple
        # Twice as long along one axis: instance norm needs more than one voxel at the coarsest level.
        sides = [2 * max(multiple, 16), *[max(multiple, 16)] * (header.dimension - 1)]
        crop = torch.zeros(1, len(header.channels), *sides, device=next(network.parameters()).device)
        return activation_peak(lambda: network(crop).softmax(dim=1)) / math.prod(sides)
