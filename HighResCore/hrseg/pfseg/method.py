"""Inference of PFSeg: one pass over the whole volume, at its own resolution or finer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hrseg.blocks import placed
from hrseg.errors import InputError, ModelError
from hrseg.geometry import Box, Grid, Reorientation
from hrseg.image import Image
from hrseg.label_assembly import LabelAssembly, assemble
from hrseg.memory import MIB, available, check_room
from hrseg.methods import Method, Options, Result, prepare_for, result_of, settings
from hrseg.model_file import Header, Model
from hrseg.pfseg.forward import PLANS, Plan, decode, encode, forward_bytes, units
from hrseg.pfseg.guidance import box_at, check_inside, choose
from hrseg.pfseg.network import Guidance, PFSegNetwork
from hrseg.pfseg.settings import InferenceSettings, NetworkSettings
from hrseg.pfseg.volumes import (
    Volumes,
    cut_guidance,
    enlarged,
    flat,
    inner_slabs,
    kept,
    padded_sides,
    resolution_of,
    shrunk,
)
from hrseg.preprocess import Prepared, check, locate, preparing_bytes
from hrseg.prompts import RegionBox
from hrseg.runtime import Run, autocast, with_fallback

if TYPE_CHECKING:
    from hrseg.training.task import Task

#: Voxels below this share of the low-resolution ones are too fine for ``resolution="fine"`` to make sense.
_TOO_FINE = 0.7
#: Bytes that the first run loads.
_CODE = 64 * MIB


@dataclass(frozen=True, eq=False)
class _Seen:
    """An image, prepared; ``high`` (C, *HR) is kept only where other guidance crops may follow."""

    image: Image
    resolution: str
    volumes: Volumes
    high: NDArray[np.float32] | None


class PFSeg(Method):
    """Patch-free segmentation: the network sees a shrunk copy of the whole volume, its mask is at full resolution."""

    name = "pfseg"
    title = "PFSeg"
    makes_finer = True
    takes_guidance = True
    NetworkSettings = NetworkSettings
    InferenceSettings = InferenceSettings

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        header, self._dimension = model.header, model.header.dimension
        self._inference = settings(InferenceSettings, header.inference, header.name)
        self._network = settings(NetworkSettings, header.network, header.name)
        lead = [1] * (3 - self._dimension)
        self._multiple = [*lead, *self._network.multiple(self._dimension)]
        self._factors = [*lead, *self._network.all_factors(self._dimension)]
        self._seen: _Seen | None = None

    @classmethod
    def build(cls, header: Header) -> nn.Module:
        """See :meth:`Method.build`."""
        network = settings(NetworkSettings, header.network, header.name)
        settings(InferenceSettings, header.inference, header.name)
        problem = network.problem(header.dimension)
        if problem:
            raise ModelError(f'The settings of the model "{header.name}" do not fit its method: {problem}.')
        return PFSegNetwork(header.dimension, len(header.channels), header.classes, network)

    def segment(self, image: Image, options: Options, run: Run) -> Result:
        """See :meth:`Method.segment`."""
        self._check(options)
        seen = self._prepared(image, options, run)
        box, guidance = self._guidance(image, seen, options, run)
        volumes, held = seen.volumes, seen.volumes.low.nbytes
        if options.remember and seen.high is not None:
            held += seen.high.nbytes
        # Unless it is remembered, the full-resolution volume goes: what it takes is free for the network.
        del seen
        grid = self._output_grid(image.grid, volumes.prepared.change, options)

        def cost(device: torch.device, plan: Plan) -> int:
            return self._inference_bytes(volumes.low.shape[1:], grid.size, options, device, plan)

        def work(device: torch.device, plan: Plan) -> tuple[torch.device, LabelAssembly, NDArray | None]:
            return device, *self._pass(volumes, guidance, options, run, device, plan)

        device, assembly, restored = with_fallback(run, PLANS, cost, work, held=held)
        return result_of(
            assembly.labels(),
            grid,
            self.model.header,
            run,
            device,
            assembly.probability(),
            super_resolved=None if restored is None else self._image_of(restored, volumes, image.name),
            guidance=None if box is None else RegionBox.of_voxels(box, volumes.prepared.grid, "guidance"),
        )

    def forecast(self, image: Image, options: Options, device: torch.device) -> int:
        """See :meth:`Method.forecast`.

        Raises:
            OutOfMemory: main memory does not suffice for the smallest chunks; of a GPU the CPU takes over.
        """
        self._check(options)
        fine = options.resolution == "fine"
        is_low, header = resolution_of(image.grid, self.model.header, self._factors, fine=fine)
        image = check(image, header)
        change, _, subject, grid = locate(image, header.preprocessing)
        low = padded_sides(grid.shape, self._multiple, (1, 1, 1) if is_low else self._factors)
        size = self._output_grid(image.grid, change, options).size
        needs = (self._inference_bytes(low, size, options, device, plan) for plan in PLANS)
        room = available(device)
        for inference in needs:
            if inference <= room:
                break
        if device.type != "cpu":
            return inference
        check_room(inference, room)
        value = 4 * len(header.channels)
        high = 0 if fine else value * grid.size * (math.prod(self._factors) if is_low else 1)
        held = value * math.prod(low) + high * options.remember
        return max(preparing_bytes(image, subject, grid), int(1.75 * high), held + inference)

    @classmethod
    def training_tasks(cls, header: Header, settings: dict[str, Any]) -> list[Task]:
        """See :meth:`Method.training_tasks`."""
        from hrseg.pfseg.low_training import stages

        return stages(header, settings)

    def _check(self, options: Options) -> None:
        name = self.model.header.name
        if options.super_resolved and not self._network.super_resolution:
            raise InputError(f'The model "{name}" cannot rebuild the image; leave the super-resolved image out.')
        if options.guidance_center is None:
            return
        if options.resolution == "fine":
            raise InputError("A result finer than the image has no guidance crop; leave the guidance center out.")
        if not self._network.guidance_widths:
            raise InputError(f'The model "{name}" uses no guidance crop; leave the guidance center out.')

    def _prepared(self, image: Image, options: Options, run: Run) -> _Seen:
        seen = self._seen
        if seen is None or seen.image is not image or seen.resolution != options.resolution:
            with run.stage("preparing"):
                fine = options.resolution == "fine"
                is_low, header = resolution_of(image.grid, self.model.header, self._factors, fine=fine)
                prepared = prepare_for(run, image, header)
                if fine:
                    self._notice_too_fine(prepared, run)
                    volumes, high = enlarged(prepared, self._multiple, self._factors), None
                elif is_low:
                    volumes, high = kept(prepared, self._multiple, self._factors)
                else:
                    volumes, high = shrunk(prepared, self._multiple, self._factors, header.preprocessing.shrink)
                seen = _Seen(image, options.resolution, volumes, high)
        self._seen = seen if options.remember else None
        return seen

    def _notice_too_fine(self, prepared: Prepared, run: Run) -> None:
        spacing = self.model.header.preprocessing.spacing
        own = prepared.oriented.spacing
        if spacing and min(np.divide(own, np.multiply(spacing, self._factors))) < _TOO_FINE:
            run.notice(
                f"The image has voxels of {_mm(own)} mm, finer than the {_mm(prepared.grid.spacing)} mm that the model "
                'takes for a finer result; resolution "input" uses all of them.'
            )

    def _guidance(self, image: Image, seen: _Seen, options: Options, run: Run) -> tuple[Box | None, Guidance | None]:
        """The crop in voxels of the working grid, and as the network takes it."""
        mode = self._inference.guidance
        if seen.high is None or not self._network.guidance_widths:
            return None, None
        if mode == "none" and options.guidance_center is None:
            return None, None
        with run.stage("guidance"):
            grid, volumes = seen.volumes.prepared.grid, seen.volumes
            low = list(volumes.low.shape[1:])
            sides = [1] * (3 - self._dimension) + self._network.guidance_shape(low[3 - self._dimension :])
            if options.guidance_center is None:
                box = choose(seen.high, sides, mode)
            else:
                check_inside(options.guidance_center, image)
                box, notices = box_at(options.guidance_center, sides, grid)
                for text in notices:
                    run.notice(text)
            whole = np.multiply(low, self._factors).tolist()
            return box, cut_guidance(seen.high, box, volumes.inner, whole, self._dimension)

    def _pass(
        self, volumes: Volumes, guidance: Guidance | None, options: Options, run: Run, device: torch.device, plan: Plan
    ) -> tuple[LabelAssembly, NDArray | None]:
        network = placed(self.model.network, device)
        assert isinstance(network, PFSegNetwork)
        image = flat(torch.from_numpy(volumes.low), self._dimension)[None].to(device)
        seen = None if guidance is None else Guidance(*(part.to(device) for part in guidance))
        restored = None
        with torch.no_grad(), self._precision(device):
            with run.stage("inference", units(network, image.shape[2], plan)) as advance:
                maps = encode(network, image, seen, plan, advance)
                kept = list(maps) if options.super_resolved else []
                decoded = decode(network.segmentation, maps, plan, advance)
                slabs = inner_slabs(decoded, volumes.inner, self._dimension)
                assembly = assemble(
                    ((start, slab.softmax(dim=0).cpu()) for start, slab in slabs),
                    volumes.prepared,
                    self.model.header.classes,
                    keep_probability=options.keep_probability,
                    axis=3 - self._dimension,
                )
            if options.super_resolved and network.super_resolution is not None:
                with run.stage("super-resolution", units(network, image.shape[2], plan, encoding=False)) as advance:
                    decoded = decode(network.super_resolution, kept, plan, advance, network.first_image(image))
                    slabs = inner_slabs(decoded, volumes.inner, self._dimension)
                    restored = self._restored(slabs, volumes)
        return assembly, restored

    def _restored(self, slabs: Iterator[tuple[int, Tensor]], volumes: Volumes) -> NDArray:
        """The super-resolved image (C, K, J, I), in the grey values of the input and their type."""
        prepared = volumes.prepared
        array = np.empty((len(self.model.header.channels), *volumes.inner.shape), dtype=prepared.stored)
        view = np.moveaxis(array, 4 - self._dimension, 1)
        for start, slab in slabs:
            view[:, start : start + slab.shape[1]] = prepared.grey_values(slab.cpu().numpy())
        return array

    def _image_of(self, array: NDArray, volumes: Volumes, name: str) -> Image:
        prepared = volumes.prepared
        sharp = Image(array, prepared.grid, f"{name} super-resolved".strip())
        return sharp.reoriented(prepared.change.inverse)

    def _output_grid(self, grid: Grid, change: Reorientation, options: Options) -> Grid:
        """The label map's grid: the image's, or finer along the axes that the model makes finer."""
        if options.resolution == "input":
            return grid
        return grid.finer([self._factors[axis] for axis in change.inverse.axes])

    def _precision(self, device: torch.device) -> AbstractContextManager:
        if self._map_type(device) == torch.bfloat16:
            return torch.autocast("cpu", torch.bfloat16)
        return autocast(device)

    def _map_type(self, device: torch.device) -> torch.dtype:
        """In which the network's maps are on the CPU; of other devices memory is told from float32."""
        half = device.type == "cpu" and self._inference.precision == "bfloat16"
        return torch.bfloat16 if half else torch.float32

    def _inference_bytes(
        self, low: Sequence[int], size: int, options: Options, device: torch.device, plan: Plan
    ) -> int:
        """Bytes that inference needs on a device, the low-resolution input not counted."""
        shape = (len(self.model.header.channels), *low[3 - self._dimension :])
        crop = self._network.guidance_shape(list(shape[1:]))
        network = self._without_weights.to(self._map_type(device))
        activations = forward_bytes(network, shape, crop, plan, super_resolve=options.super_resolved)
        if device.type != "cpu":
            # Half precision needs half of this; the rest is left to the libraries' own work space.
            return int(activations * 0.8 + 4 * sum(p.numel() for p in self.model.network.parameters()))
        header = self.model.header
        kept = size * (1 + 4 * len(header.labels) * options.keep_probability)
        restored = 4 * len(header.channels) * math.prod(low) * math.prod(self._factors) * options.super_resolved
        # In channels-last order oneDNN makes no reordered copies; some memory is for the code that is loaded.
        return int(1.03 * activations) + _CODE + kept + restored

    @cached_property
    def _without_weights(self) -> PFSegNetwork:
        with torch.device("meta"):
            network = self.build(self.model.header)
        assert isinstance(network, PFSegNetwork)
        return network.eval().requires_grad_(False)


def _mm(values: Sequence[float]) -> str:
    return " x ".join(f"{v:g}" for v in np.round(np.asarray(values, dtype=float), 3))
