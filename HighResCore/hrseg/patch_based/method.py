"""Inference of the baseline: windows of the working grid, blended, assembled to a label map."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hrseg.errors import ModelError
from hrseg.geometry import Box, Grid
from hrseg.image import Image
from hrseg.label_assembly import LabelAssembly, assemble
from hrseg.memory import activation_peak, cpu_network_bytes
from hrseg.methods import Method, Options, Result, result_of, settings
from hrseg.model_file import Header, Model
from hrseg.patch_based.network import InferenceSettings, NetworkSettings
from hrseg.preprocess import check, locate, prepare, preparing_bytes
from hrseg.runtime import Run, autocast, with_fallback
from hrseg.windows import blended_slabs, window_count

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
        problem = network.check_strides(header.dimension) or _window_problem(
            inference.window, network.multiple(header.dimension), header.dimension
        )
        if problem:
            raise ModelError(f'The settings of the model "{header.name}" do not fit its method: {problem}.')
        return network.build(header)

    def segment(self, image: Image, options: Options, run: Run) -> Result:
        """See :meth:`Method.segment`."""
        header = self.model.header
        with run.stage("preparing"):
            prepared = prepare(image, header)
        volume = torch.from_numpy(prepared.array)

        def cost(device: torch.device, batch: int) -> int:
            return self._inference_bytes(prepared.subject, prepared.grid, options, device, batch)

        def work(device: torch.device, batch: int) -> tuple[torch.device, LabelAssembly]:
            slabs = self._slabs(volume, device, batch, run)
            return device, assemble(slabs, prepared, header.classes, keep_probability=options.keep_probability)

        device, assembly = with_fallback(run, _halvings(_BATCH[run.device.type]), cost, work)
        with run.stage("restoring"):
            labels, probability = assembly.labels(), assembly.probability()
        return result_of(labels, image.grid, header, run, device, probability)

    def forecast(self, image: Image, options: Options, device: torch.device) -> int:
        """See :meth:`Method.forecast`."""
        header = self.model.header
        _, _, subject, grid = locate(check(image, header), header.preprocessing)
        inference = self._inference_bytes(subject, grid, options, device, _BATCH[device.type])
        if device.type != "cpu":
            return inference
        return max(preparing_bytes(image, subject, grid), 4 * len(header.channels) * grid.size + inference)

    def _inference_bytes(self, subject: Box, grid: Grid, options: Options, device: torch.device, batch: int) -> int:
        """Bytes that inference needs on a device, the prepared image not counted."""
        header, window = self.model.header, self._settings.window
        with torch.device("meta"):
            network = self.build(header)
            windows = torch.empty(batch, len(header.channels), *window)
        activations = activation_peak(lambda: network(windows).softmax(dim=1))
        if device.type != "cpu":
            return int(activations * 1.2 + 4 * sum(p.numel() for p in network.parameters()))
        plane = [max(n, w) for n, w in zip(grid.shape[4 - len(window) :], window[1:], strict=True)]
        slab = 4 * window[0] * math.prod(plane)
        # Sums of probabilities and of weights.
        blending = slab * (header.classes + 1)
        kept = subject.size * (1 + 4 * len(header.labels) * options.keep_probability)
        return cpu_network_bytes(activations) + blending + kept

    @classmethod
    def training_task(cls, header: Header, settings: dict[str, Any]) -> Task:
        """See :meth:`Method.training_task`."""
        from hrseg.patch_based.training import PatchTask

        return PatchTask(header, settings)

    def _slabs(self, volume: Tensor, device: torch.device, batch: int, run: Run) -> Iterator[tuple[int, Tensor]]:
        """Blended class probabilities in slabs of slices; a 2D image is one slab of one slice."""
        network, window, overlap = self.model.network.to(device), self._settings.window, self._settings.overlap
        flat = self.model.header.dimension == 2
        space = volume[:, 0] if flat else volume

        def predict(x: Tensor) -> Tensor:
            with autocast(device):
                return network(x).float().softmax(dim=1)

        with run.stage("inference", window_count(space.shape[1:], window, overlap)) as advance:
            slabs = blended_slabs(space, window, predict, overlap=overlap, batch=batch, device=device, advance=advance)
            if flat:
                yield 0, torch.cat([slab for _, slab in slabs], dim=1)[:, None]
            else:
                yield from slabs


def _window_problem(window: list[int], multiple: list[int], dimension: int) -> str | None:
    if len(window) != dimension or any(w % m for w, m in zip(window, multiple, strict=False)):
        return f"the window {window} must have {dimension} sides that are multiples of {multiple}"
    return None


def _halvings(count: int) -> list[int]:
    """count, count/2 ... 1."""
    return [count] + (_halvings(count // 2) if count > 1 else [])
