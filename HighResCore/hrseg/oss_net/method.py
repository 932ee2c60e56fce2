"""Inference of OSS-Net: the image becomes a field, the field a label map on whatever grid is asked for."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hrseg.blocks import placed
from hrseg.errors import ModelError
from hrseg.geometry import Grid
from hrseg.image import Image
from hrseg.memory import activation_peak, cpu_network_bytes
from hrseg.methods import Method, Options, Result, prepare_for, result_of, settings
from hrseg.model_file import Header, Model
from hrseg.oss_net.encoding import CACHE, Windows, encode
from hrseg.oss_net.field import Field, check_room
from hrseg.oss_net.network import FieldNetwork
from hrseg.oss_net.published import PublishedNetwork
from hrseg.oss_net.settings import InferenceSettings, NetworkSettings, told_spacing
from hrseg.oss_net.surface import SURFACE
from hrseg.preprocess import check, locate, preparing_bytes
from hrseg.runtime import CPU, Run, with_fallback

if TYPE_CHECKING:
    from hrseg.training.task import Task

#: Points at once.
_CHUNK = 16384
#: Bytes per point and number of the decoder: inputs, hidden values and what activations need.
_PER_HIDDEN = 4 * 8
#: Numbers of a published window's convolutions per point and channel.
_PER_WINDOW = 4 * 6 * 343
#: Evaluation's own arrays: cells being refined, and coordinates of points.
_WORK = 2**26


class OssNet(Method):
    """A continuous occupancy field."""

    name = "oss_net"
    title = "OSS-Net"
    any_spacing = True
    NetworkSettings = NetworkSettings
    InferenceSettings = InferenceSettings

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._settings = settings(InferenceSettings, model.header.inference, model.header.name)
        self._network_settings = settings(NetworkSettings, model.header.network, model.header.name)
        self._seen: tuple[Image, Field] | None = None

    @classmethod
    def build(cls, header: Header) -> nn.Module:
        """See :meth:`Method.build`."""
        s = settings(NetworkSettings, header.network, header.name)
        window = settings(InferenceSettings, header.inference, header.name).window
        problem = s.problem(header.dimension, window)
        if problem:
            raise ModelError(f'The settings of the model "{header.name}" do not fit its method: {problem}.')
        channels = len(header.channels)
        if s.variant == "field":
            return FieldNetwork(header.dimension, channels, header.classes, s.field)
        return PublishedNetwork(s.variant, channels, header.classes, s.published)

    def segment(self, image: Image, options: Options, run: Run) -> Result:
        """See :meth:`Method.segment`. The label map lies on the image's grid, or on one of ``options.spacing``."""
        grid = image.grid.with_spacing(options.spacing) if options.spacing else image.grid
        self.check_room(grid, options, run)
        return self.look(self.field(image, run, remember=options.remember), grid, options, run)

    def look(self, field: Field, grid: Grid, options: Options, run: Run, *, level: float | None = None) -> Result:
        """What a field says on a grid, without encoding anything.

        Args:
            field: of an image, made now or saved before.
            grid: of the label map.
            options: say what is wanted beside it.
            run: conditions.
            level: see :meth:`Field.label_map`.

        Raises:
            InputError: a ``level`` that is not between 0 and 1.
            OutOfMemory, Cancelled: as :meth:`Method.segment`.
        """
        header, device = self.model.header, field.encoding.image.device
        probability = field.probability(grid, run=run) if options.keep_probability else None
        if probability is None or level is not None:
            labels = field.label_map(grid, level=level, run=run).array
        else:
            labels = field.labels_of(probability)
        return result_of(labels, grid, header, run, device, probability, continuous=field)

    def check_room(self, grid: Grid, options: Options, run: Run, *, surface: bool = False) -> None:
        """Raises OutOfMemory where there is no room for the result on ``grid``, and for its ``surface`` if wanted."""
        check_room(grid, self._bytes_kept(options) + SURFACE * surface, run.budget_on(CPU))

    def look_bytes(
        self, working: Grid, grid: Grid, options: Options, device: torch.device, *, surface: bool = False
    ) -> int:
        """Bytes of the device's memory that :meth:`look` on ``grid`` needs, and what makes a ``surface`` of that.

        A field that was made on ``working`` is included.
        """
        # The image is kept in half precision.
        held = 2 * len(self.model.header.channels) * working.size + self._asking_bytes(working)
        each = self._bytes_kept(options) + SURFACE * surface
        return held + (grid.size * each if device.type == "cpu" else 0)

    def field(self, image: Image, run: Run, *, remember: bool = False) -> Field:
        """The image as a field; the one of the last call where the same image was to be remembered.

        Raises:
            InputError, OutOfMemory, Cancelled: as :meth:`Method.segment`.
        """
        if self._seen is not None and self._seen[0] is image:
            field = self._seen[1]
        else:
            self._seen = None
            field = self._encoded(image, run)
        self._seen = (image, field) if remember else None
        return field

    def forecast(self, image: Image, options: Options, device: torch.device) -> int:
        """See :meth:`Method.forecast`."""
        image = check(image, self.model.header)
        _, _, subject, grid = locate(image, self.model.header.preprocessing)
        output = image.grid.with_spacing(options.spacing) if options.spacing else image.grid
        if device.type != "cpu":
            return self._encoding_bytes(grid, device)
        # The prepared image, and the encoding's in half precision.
        held = 2 * len(self.model.header.channels) * grid.size
        preparing = preparing_bytes(image, subject, grid)
        looking = self.look_bytes(grid, output, options, device)
        return max(preparing + held, held + self._encoding_bytes(grid, device), looking)

    @classmethod
    def training_tasks(cls, header: Header, settings: dict[str, Any]) -> list[Task]:
        """See :meth:`Method.training_tasks`."""
        from hrseg.oss_net.training import FieldTask

        return [FieldTask(header, settings)]

    def _encoded(self, image: Image, run: Run) -> Field:
        with run.stage("preparing"):
            grid, values = self._prepared(image, run)

        def cost(device: torch.device, _: int) -> int:
            return self._encoding_bytes(grid, device)

        def work(device: torch.device, _: int) -> Field:
            network = placed(self.model.network, device)
            spacing = told_spacing(self.model.header, grid.spacing)
            count = self._windows.count(network, grid.shape) if isinstance(network, FieldNetwork) else 1
            with run.stage("encoding", count) as advance:
                encoding = encode(network, values.to(device), spacing, self._windows, advance)
            return Field(self.model, grid, image.grid, encoding)

        return with_fallback(run, [1], cost, work, held=2 * values.numel())

    def _prepared(self, image: Image, run: Run) -> tuple[Grid, torch.Tensor]:
        """The working grid, and its values in half precision, which is all that is kept."""
        prepared = prepare_for(run, image, self.model.header)
        return prepared.grid, torch.from_numpy(prepared.array).half()

    @cached_property
    def _windows(self) -> Windows:
        """In which the context is computed."""
        window = self._settings.window
        return Windows(window and [1, *window][-3:], self._settings.overlap)

    def _window_load(self, network: FieldNetwork, grid: Grid) -> tuple[int, int, int]:
        """Voxels of a window, bytes of what all of them read, and of blending them on the CPU."""
        nodes, window = self._windows.nodes(network, grid.shape)
        if window == nodes:
            return grid.size, 0, 0
        s = self._network_settings.field
        numbers = s.features + self.model.header.classes
        # The maps in half precision; sums of them and of weights, as thick as a window.
        blending = 2 * numbers * math.prod(nodes) + 4 * (numbers + 1) * window[0] * math.prod(nodes[1:])
        return math.prod(window) * math.prod(network.strides), 4 * s.widths[0] * math.prod(nodes), blending

    def _bytes_kept(self, options: Options) -> int:
        """Bytes per voxel of what is asked for."""
        return 1 + 4 * len(self.model.header.labels) * options.keep_probability

    def _encoding_bytes(self, grid: Grid, device: torch.device) -> int:
        """Bytes that encoding needs on a device, its image not counted on the CPU."""
        network = self.model.network
        if isinstance(network, FieldNetwork):
            voxels, held, blending = self._window_load(network, grid)
        else:
            voxels = math.prod(self._network_settings.published.sides)
            held, blending = grid.size * 4 * len(self.model.header.channels), 0
        activations = int(self._bytes_per_voxel * voxels) + held
        if device.type == "cpu":
            return cpu_network_bytes(activations) + blending
        weights = sum(p.numel() for p in network.parameters())
        image = 2 * len(self.model.header.channels) * grid.size
        return int(1.2 * activations) + 4 * weights + image + self._asking_bytes(grid)

    def _asking_bytes(self, grid: Grid) -> int:
        """Bytes of an encoding without its image, and of what evaluating points needs."""
        s, header = self._network_settings, self.model.header
        chunk = min(_CHUNK, self._settings.chunk)
        if s.variant == "field":
            nodes = grid.size // math.prod(s.field.all_strides(header.dimension))
            table = 6 * nodes * (s.field.features + header.classes)
            return table + CACHE + chunk * s.field.hidden * _PER_HIDDEN + _WORK
        window = len(header.channels) * (2 if s.variant in ("B", "D") else 1)
        padded = 4 * window * grid.size
        return padded + chunk * (s.published.hidden * _PER_HIDDEN + window * _PER_WINDOW) + _WORK

    @cached_property
    def _bytes_per_voxel(self) -> float:
        """Bytes of activations per voxel of the encoder's input, found in a small one."""
        header, network = self.model.header, self.model.network
        channels = len(header.channels)
        parameter = next(network.parameters())
        if isinstance(network, PublishedNetwork):
            sides = self._network_settings.published.sides
            return activation_peak(lambda: network.encode(parameter.new_zeros(1, channels, *sides))) / math.prod(sides)
        assert isinstance(network, FieldNetwork)
        sides = [1 if header.dimension == 2 and axis == 0 else 2 * n for axis, n in enumerate(network.multiple)]
        volume = parameter.new_zeros(1, channels, *sides)
        return activation_peak(lambda: network.encode(volume)) / math.prod(sides)
