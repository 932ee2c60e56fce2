"""Inference of the baseline: windows of the working grid, blended, assembled to a label map."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hrseg.blocks import placed
from hrseg.errors import ModelError
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.label_assembly import LabelAssembly, assemble
from hrseg.memory import activation_peak, cpu_network_bytes
from hrseg.methods import Method, Options, Result, prepare_for, result_of, settings
from hrseg.model_file import Header, Model
from hrseg.patch_based.network import InferenceSettings, NetworkSettings
from hrseg.preprocess import check, locate, preparing_bytes
from hrseg.runtime import Run, autocast, halvings, with_fallback
from hrseg.windows import blended_slabs, window_count, window_problem

if TYPE_CHECKING:
    from hrseg.training.task import Task

#: Windows at once: the GPU is kept busy by several, the CPU by one.
_BATCH = {"cuda": 4, "cpu": 1, "mps": 1}


class PatchBased(Method):
    """A residual U-Net over overlapping windows with Gaussian blending."""

    name = "patch_based"
    title = "Sliding window"
    NetworkSettings = NetworkSettings
    InferenceSettings = InferenceSettings

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._settings = settings(InferenceSettings, model.header.inference, model.header.name)

    @classmethod
    def build(cls, header: Header) -> nn.Module:
        """See :meth:`Method.build`."""
        network = settings(NetworkSettings, header.network, header.name)
        inference = settings(InferenceSettings, header.inference, header.name)
        problem = network.check_strides(header.dimension) or window_problem(
            inference.window, network.multiple(header.dimension), header.dimension
        )
        if problem:
            raise ModelError(f'The settings of the model "{header.name}" do not fit its method: {problem}.')
        return network.build(header)

    def segment(self, image: Image, options: Options, run: Run) -> Result:
        """See :meth:`Method.segment`."""
        header = self.model.header
        with run.stage("preparing"):
            prepared = prepare_for(run, image, header)

        def cost(device: torch.device, batch: int) -> int:
            return self._inference_bytes(image.grid, prepared.grid, options, device, batch)

        def work(device: torch.device, batch: int) -> tuple[torch.device, LabelAssembly]:
            axis = 3 - header.dimension
            slabs = self._slabs(torch.from_numpy(prepared.array), device, batch, run)
            keep = options.keep_probability
            return device, assemble(slabs, prepared, header.classes, keep_probability=keep, axis=axis)

        batches = halvings(_BATCH[run.device.type])
        device, assembly = with_fallback(run, batches, cost, work, held=prepared.array.nbytes)
        return result_of(assembly.labels(), image.grid, header, run, device, assembly.probability())

    def forecast(self, image: Image, options: Options, device: torch.device) -> int:
        """See :meth:`Method.forecast`."""
        header = self.model.header
        image = check(image, header)
        _, _, subject, grid = locate(image, header.preprocessing)
        inference = self._inference_bytes(image.grid, grid, options, device, _BATCH[device.type])
        if device.type != "cpu":
            return inference
        return max(preparing_bytes(image, subject, grid), 4 * len(header.channels) * grid.size + inference)

    def _inference_bytes(self, image: Grid, working: Grid, options: Options, device: torch.device, batch: int) -> int:
        """Bytes that inference needs on a device, the prepared image not counted."""
        header, window = self.model.header, self._window(working.shape)
        activations = int(self._bytes_per_voxel * batch * math.prod(window))
        if device.type != "cpu":
            # Half precision needs half of this; the rest is left to the libraries' own work space.
            return int(activations * 1.2 + 4 * sum(p.numel() for p in self.model.network.parameters()))
        plane = [max(n, w) for n, w in zip(working.shape[4 - len(window) :], window[1:], strict=True)]
        # Sums of probabilities and of weights, as thick as a window.
        blending = 4 * (header.classes + 1) * window[0] * math.prod(plane)
        kept = image.size * (1 + 4 * len(header.labels) * options.keep_probability)
        return cpu_network_bytes(activations) + blending + kept

    def _window(self, shape: Sequence[int]) -> list[int]:
        """Sides of the windows in a volume of this shape (K, J, I)."""
        window = self._settings.window
        if not self._settings.fit_window:
            return window
        longest = zip(window, shape[-len(window) :], self._multiple, strict=True)
        return [min(side, -(-length // step) * step) for side, length, step in longest]

    @cached_property
    def _multiple(self) -> list[int]:
        header = self.model.header
        return settings(NetworkSettings, header.network, header.name).multiple(header.dimension)

    @cached_property
    def _bytes_per_voxel(self) -> float:
        """Bytes of activations per voxel of a window, found in a small one."""
        header, network = self.model.header, self.model.network
        sides = [max(m, 8) for m in self._multiple]
        window = torch.zeros(1, len(header.channels), *sides, device=next(network.parameters()).device)
        return activation_peak(lambda: network(window).softmax(dim=1)) / math.prod(sides)

    @classmethod
    def training_tasks(cls, header: Header, settings: dict[str, Any]) -> list[Task]:
        """See :meth:`Method.training_tasks`."""
        from hrseg.patch_based.training import PatchTask

        return [PatchTask(header, settings)]

    def _slabs(self, volume: Tensor, device: torch.device, batch: int, run: Run) -> Iterator[tuple[int, Tensor]]:
        """Blended class probabilities in slabs along K; of a 2D image along J."""
        network, overlap = placed(self.model.network, device), self._settings.overlap
        flat = self.model.header.dimension == 2
        space, window = volume[:, 0] if flat else volume, self._window(volume.shape[1:])

        def predict(x: Tensor) -> Tensor:
            with autocast(device):
                return network(x).float().softmax(dim=1)

        with run.stage("inference", window_count(space.shape[1:], window, overlap)) as advance:
            slabs = blended_slabs(space, window, predict, overlap=overlap, batch=batch, device=device, advance=advance)
            for start, slab in slabs:
                yield start, slab[:, :, None] if flat else slab
