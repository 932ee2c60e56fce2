"""Inference of SASR-Net: the segmentation path alone, the whole image at once where memory suffices."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrseg.blocks import placed
from hrseg.errors import InputError, ModelError
from hrseg.image import Image, LabelMap
from hrseg.label_assembly import LabelAssembly
from hrseg.memory import activation_peak, available, check_room, cpu_network_bytes
from hrseg.methods import Method, Options, Result, prepare_for, result_of, settings
from hrseg.model_file import Header, Model
from hrseg.preprocess import Prepared, check, locate, preparing_bytes, sides_text
from hrseg.runtime import Run, autocast, with_fallback
from hrseg.sasr.network import SasrNetwork
from hrseg.sasr.settings import InferenceSettings, NetworkSettings
from hrseg.sasr.view import View, filled, resized, restored, view_of
from hrseg.windows import blended_slabs, window_count

if TYPE_CHECKING:
    from hrseg.training.task import Task

#: Windows are halved no further than to so many voxels along an axis.
_SMALLEST = 32
#: Sides of the smaller one of the windows that memory is measured with, in two and three dimensions.
_PROBE = {2: 48, 3: 16}


class Sasr(Method):
    """A network that answers at a multiple of its input's resolution."""

    name = "sasr"
    title = "SASR-Net"
    makes_finer = True
    NetworkSettings = NetworkSettings
    InferenceSettings = InferenceSettings

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        header = model.header
        self._settings = settings(InferenceSettings, header.inference, header.name)
        self._network = settings(NetworkSettings, header.network, header.name)
        self._factors = self._network.all_factors(header.dimension)
        self.makes_finer = max(self._factors) > 1
        self._multiple = self._network.multiple(header.dimension)
        self._peaks: dict[bool, tuple[float, float]] = {}

    @classmethod
    def build(cls, header: Header) -> nn.Module:
        """See :meth:`Method.build`."""
        network = settings(NetworkSettings, header.network, header.name)
        inference = settings(InferenceSettings, header.inference, header.name)
        problem = network.problem(header.dimension) or inference.problem(network, header.dimension)
        if problem:
            raise ModelError(f'The settings of the model "{header.name}" do not fit its method: {problem}.')
        return SasrNetwork.of(header, network)

    def segment(self, image: Image, options: Options, run: Run) -> Result:
        """See :meth:`Method.segment`."""
        header = self.model.header
        self._check(options)
        with run.stage("preparing"):
            prepared = prepare_for(run, image, header)
            prepared = resized(prepared, self._settings.size, self._settings.blocks(self._factors))
            view = self._view(image, prepared, options)

        def cost(device: torch.device, window: list[int]) -> int:
            return self._bytes(view.volume.shape[1:], view.output.size, options, device, window)

        def work(device: torch.device, window: list[int]) -> tuple[torch.device, LabelAssembly, Image | None]:
            return device, *self._assembled(image, view, options, device, window, run)

        windows = self._windows(view.volume.shape[1:])
        copied = not np.may_share_memory(prepared.array, view.volume.numpy())
        held = prepared.array.nbytes + copied * view.volume.nbytes
        device, assembly, sharp = with_fallback(run, windows, cost, work, held)
        if sharp and self._settings.size and sharp.grid.size < image.grid.size:
            run.notice(
                f"The super-resolved image has {sides_text(sharp.grid)} voxels, fewer than the image, which has "
                f'{sides_text(image.grid)}: the model "{header.name}" sees all pictures at one size.'
            )
        found = {"super_resolved": sharp} if sharp else {}
        return result_of(assembly.labels(), view.output, header, run, device, assembly.probability(), **found)

    def forecast(self, image: Image, options: Options, device: torch.device) -> int:
        """See :meth:`Method.forecast`.

        Raises:
            OutOfMemory: main memory does not suffice for the smallest windows; of a GPU the CPU takes over.
        """
        self._check(options)
        header = self.model.header
        image = check(image, header)
        _, _, subject, grid = locate(image, header.preprocessing)
        sides = self._settings.size or grid.shape[3 - header.dimension :]
        seen = (
            [-(-n // f) for n, f in zip(sides, self._factors, strict=True)] if self._shrinks(options) else list(sides)
        )
        voxels = image.grid.size * (math.prod(self._factors) if options.resolution == "fine" else 1)
        needs = [self._bytes(seen, voxels, options, device, window) for window in self._windows(seen)]
        room = available(device)
        need = next((n for n in needs if n <= room), needs[-1])
        if device.type != "cpu":
            return need
        check_room(need, room)
        copied = self._shrinks(options) or any(n % m for n, m in zip(seen, self._multiple, strict=True))
        held = 4 * len(header.channels) * (math.prod(sides) + copied * math.prod(seen))
        return max(preparing_bytes(image, subject, grid), held + need)

    @property
    def paths(self) -> list[str]:
        """See :meth:`hrseg.sasr.settings.NetworkSettings.paths`."""
        return self._network.paths(self.model.header.dimension)

    def lesion_gates(self, image: Image, truth: LabelMap) -> list[tuple[float, list[float]]]:
        """See :func:`hrseg.sasr.gates.gates_of_lesions`."""
        from hrseg.sasr.gates import gates_of_lesions

        network: Any = self.model.network
        return gates_of_lesions(network, self.model.header, image, truth, self._settings.window)

    @classmethod
    def training_tasks(cls, header: Header, settings: dict[str, Any]) -> list[Task]:
        """See :meth:`Method.training_tasks`."""
        from hrseg.sasr.training import SasrTask

        return [SasrTask(header, settings)]

    def _check(self, options: Options) -> None:
        name = self.model.header.name
        if options.super_resolved and not self._network.sr:
            raise InputError(f'The model "{name}" was trained without super-resolving images; ask for the mask alone.')
        if options.resolution == "fine" and not self.makes_finer:
            raise InputError(f'The model "{name}" makes no masks finer than the image; use the resolution "input".')

    def _shrinks(self, options: Options) -> bool:
        return self._settings.feeds == "shrunk" and options.resolution == "input"

    def _view(self, image: Image, prepared: Prepared, options: Options) -> View:
        fine = options.resolution == "fine"
        view = view_of(image, prepared, self._factors, shrinks=self._shrinks(options), fine=fine)
        return filled(view, self._multiple)

    def _windows(self, shape: Sequence[int]) -> list[list[int]]:
        """Sides of windows to try: one that holds all, the model's own, and halves of it."""
        whole = [-(-n // m) * m for n, m in zip(shape, self._multiple, strict=True)]
        windows = [whole]
        sides = [min(n, w) for n, w in zip(whole, self._settings.window, strict=True)]
        while sides != windows[-1]:
            windows.append(sides)
            halves = [n // 2 // m * m for n, m in zip(sides, self._multiple, strict=True)]
            sides = [h if h >= max(_SMALLEST, m) else n for h, n, m in zip(halves, sides, self._multiple, strict=True)]
        return windows

    def _assembled(
        self, image: Image, view: View, options: Options, device: torch.device, window: list[int], run: Run
    ) -> tuple[LabelAssembly, Image | None]:
        """The label map, and the super-resolved image if wanted, from slabs of both together."""
        classes, shape, axis = self.model.header.classes, view.place.grid.shape, 1 if view.flat else 0
        means = [view.means[axis], *(n for a, n in enumerate(view.means) if a != axis)]
        keep = options.keep_probability
        assembly = LabelAssembly(view.averaged, classes, keep_probability=keep, axis=axis)
        sharp = np.empty((len(self.model.header.channels), *shape), np.float32) if options.super_resolved else None
        rest = [n for a, n in enumerate(shape) if a != axis]
        for start, slab in self._slabs(view, options, device, window, run):
            # Sides that were no multiple of the factors were filled up.
            part = slab[:, : max(0, shape[axis] - start), : rest[0], : rest[1]]
            if not part.shape[1]:
                continue
            # Slabs hold all that the network says of a voxel, and so no part of a mean.
            found = F.avg_pool3d(part[:classes], means) if max(means) > 1 else part[:classes]
            assembly.add(start // means[0], found)
            if sharp is not None:
                np.moveaxis(sharp, axis + 1, 1)[:, start : start + part.shape[1]] = part[classes:].numpy()
        return assembly, None if sharp is None else restored(sharp, view, image)

    def _slabs(
        self, view: View, options: Options, device: torch.device, window: list[int], run: Run
    ) -> Iterator[tuple[int, Tensor]]:
        """Blended class probabilities, then the super-resolved channels, in slabs along K; of a 2D image along J."""
        network: Any = placed(self.model.network, device)
        overlap = self._settings.overlap

        def predict(x: Tensor) -> Tensor:
            with autocast(device):
                return _predicted(network, x, options.super_resolved)

        count = window_count(view.volume.shape[1:], window, overlap)
        with run.stage("inference", count) as advance:
            for start, slab in blended_slabs(
                view.volume, window, predict, overlap=overlap, device=device, advance=advance, factors=self._factors
            ):
                yield start, slab[:, :, None] if view.flat else slab

    def _bytes(
        self, seen: Sequence[int], voxels: int, options: Options, device: torch.device, window: Sequence[int]
    ) -> int:
        """Bytes that inference needs on a device.

        Args:
            seen: spatial shape of what the network sees.
            voxels: of the label map.
            options: what is asked for.
            device: where the network runs.
            window: sides of what it sees at once.
        """
        header = self.model.header
        activations = self._activations(options.super_resolved, math.prod(window))
        if device.type != "cpu":
            # Half precision needs half of this; the rest is left to the libraries' own work space.
            return int(activations * 1.2 + 4 * sum(p.numel() for p in self.model.network.parameters()))
        sharp = len(header.channels) * options.super_resolved
        plane = [max(n, w) * f for n, w, f in zip(seen[1:], window[1:], self._factors[1:], strict=True)]
        # Sums of what is predicted and of weights, as thick as a window.
        blending = 4 * (header.classes + sharp + 1) * window[0] * self._factors[0] * math.prod(plane)
        kept = voxels * (1 + 4 * len(header.labels) * options.keep_probability)
        fine = 2 * 4 * sharp * math.prod(seen) * math.prod(self._factors)
        return cpu_network_bytes(activations) + blending + kept + fine

    def _activations(self, sharp: bool, voxels: int) -> int:
        """Bytes that the network needs for so many voxels at once, found in two small windows."""
        if sharp not in self._peaks:
            probe = _PROBE[len(self._multiple)]
            small, large = ([-(-n // m) * m for m in self._multiple] for n in (probe, 2 * probe))
            # The difference leaves out what does not grow with the window, such as folded weights.
            peaks = [self._measured_peak(sharp, sides) for sides in (small, large)]
            slope = (peaks[1] - peaks[0]) / (math.prod(large) - math.prod(small))
            self._peaks[sharp] = max(0.0, peaks[0] - slope * math.prod(small)), slope
        constant, slope = self._peaks[sharp]
        return int(constant + slope * voxels)

    def _measured_peak(self, sharp: bool, sides: list[int]) -> int:
        network: Any = self.model.network
        device = next(network.parameters()).device
        window = torch.zeros(1, len(self.model.header.channels), *sides, device=device)
        return activation_peak(lambda: _predicted(network, window, sharp))


def _predicted(network: Any, x: Tensor, sharp: bool) -> Tensor:
    """Class probabilities (N, classes, *fine), and after them the channels of the super-resolved image if wanted."""
    if not sharp:
        return network(x).float().softmax(dim=1)
    logits, image = network.with_image(x)
    return torch.cat([logits.float().softmax(dim=1), image.float()], dim=1)
