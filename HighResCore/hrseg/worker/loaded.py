"""Models that stay loaded between jobs, each with its method and how fast it was."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import torch

from hrseg.methods import Method, method_of
from hrseg.model_file import Model, file_sha256, load_model
from hrseg.model_header import read_header

#: So many models are kept.
_MOST = 2
#: The stage whose time grows with the number of boxes; that of all others grows with the number of voxels.
PER_BOX = "crops"
#: A stage that took fewer seconds had nothing to do, as where all is remembered.
_NOTHING = 1e-3


class Pace:
    """How fast a model is: seconds per voxel, or per box, of each stage when it last had something to do."""

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}
        self._boxes: int | None = None

    def learn(self, seconds: dict[str, float], voxels: int, crops: int = 0, boxes: int | None = None) -> None:
        """Takes in a job.

        Args:
            seconds: per stage.
            voxels: of the image.
            crops: that were looked at.
            boxes: of the result, if it segmented.
        """
        for stage, value in seconds.items():
            units = crops if stage == PER_BOX else voxels
            if units and value > _NOTHING:
                self._rates[stage] = value / units
        self._boxes = self._boxes if boxes is None else boxes

    def expect(self, voxels: int, boxes: int | None) -> float | None:
        """Seconds that segmenting will take, with nothing remembered; None where that was never done.

        ``boxes`` None: as many as last time.
        """
        if self._boxes is None:
            return None
        count = self._boxes if boxes is None else boxes
        return sum(rate * (count if stage == PER_BOX else voxels) for stage, rate in self._rates.items())


@dataclass(eq=False)
class Loaded:
    """A model in memory. ``method`` may remember the last image, ``encoded`` says that it has the field of it."""

    model: Model
    method: Method
    settings: str
    sha256: str
    paces: dict[str, Pace] = field(default_factory=dict)
    encoded: bool = False

    def renew(self, inference: dict[str, Any]) -> None:
        """Takes a method that remembers nothing, with ``inference`` among its settings."""
        self.method, self.settings = _method(self.model, inference), _text(inference)
        self.encoded = False

    def pace(self, options: dict[str, Any]) -> Pace:
        """How fast it was with these options: a finer mask takes its own time."""
        return self.paces.setdefault(json.dumps([options.get("resolution"), options.get("super_resolved")]), Pace())

    def about(self) -> dict[str, str]:
        """What goes into a result about its model."""
        header = self.model.header
        return {
            "name": header.name,
            "title": header.title,
            "method": header.method,
            "licence": header.licence,
            "citation": header.citation,
            "sha256": self.sha256,
        }


class LoadedModels:
    """The models used last."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, int, int, str], Loaded] = {}

    def get(self, path: str, device: torch.device, inference: dict[str, Any]) -> Loaded:
        """The model at ``path``, read again where the file has changed, with ``inference`` among its settings.

        Raises:
            ModelError: no model, or settings that do not fit it.
        """
        read_header(path)
        status = os.stat(path)
        key = (path, status.st_mtime_ns, status.st_size, str(device))
        loaded = self._models.pop(key, None)
        if loaded is None:
            self._make_room(path, str(device))
            model = load_model(path)
            loaded = Loaded(model, _method(model, inference), _text(inference), file_sha256(path))
        elif loaded.settings != _text(inference):
            loaded.renew(inference)
        # The one used last is the last one.
        self._models[key] = loaded
        return loaded

    def forget(self) -> None:
        """Has the methods forget what they remember of an image."""
        for loaded in self._models.values():
            loaded.renew(json.loads(loaded.settings))

    def _make_room(self, path: str, device: str) -> None:
        for key in [k for k in self._models if (k[0], k[3]) == (path, device)]:
            del self._models[key]
        while len(self._models) >= _MOST:
            del self._models[next(iter(self._models))]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _text(inference: dict[str, Any]) -> str:
    return json.dumps(inference, sort_keys=True)


def _method(model: Model, inference: dict[str, Any]) -> Method:
    return method_of(model.with_inference(inference) if inference else model)
