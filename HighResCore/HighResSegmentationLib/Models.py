"""The models to choose from, with what users want to know of them, read from the headers of the files alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from hrseg.model_store import StoredModel, stored_models


@dataclass(frozen=True)
class ModelEntry:
    """A model file in words.

    Attributes:
        path: the file.
        name: by which it is chosen, and stored with scenes.
        title: for people.
        method: such as "crop_cascade".
        dimension: 2 or 3; 0 if unknown.
        channels: names of the image's channels, such as CT, or red, green, blue.
        labels: names of what it segments, in order.
        licence: of the weights.
        accuracy: on held-out images, or that it was not measured.
        intendedUse: what it is for, and not for.
        limitations: what is known to go wrong, sentence by sentence.
        citation: of what it was trained on.
        problem: why the file cannot be used; empty if it can.
    """

    path: Path
    name: str
    title: str
    method: str = ""
    dimension: int = 0
    channels: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    licence: str = ""
    accuracy: str = ""
    intendedUse: str = ""
    limitations: tuple[str, ...] = ()
    citation: str = ""
    problem: str = ""


def listModels(method: str | Collection[str] | None = None) -> list[ModelEntry]:
    """The models found, by title; those of one ``method``, or of some, if named. Unreadable files come last."""
    methods = [method] if isinstance(method, str) else method
    entries = map(_entry, stored_models())
    chosen = [entry for entry in entries if entry.problem or methods is None or entry.method in methods]
    return sorted(chosen, key=lambda entry: (bool(entry.problem), entry.title))


def defaultModel(entries: Sequence[ModelEntry], volumeNode: Any, lastUsed: str = "") -> ModelEntry | None:
    """The model to begin with: the one last used, else the first that fits the volume best, else the first.

    Args:
        entries: those to choose from; what cannot be used is passed over.
        volumeNode: to be segmented; None if there is none yet.
        lastUsed: name of the model of the last run; "" if there was none.
    """
    usable = [entry for entry in entries if not entry.problem]
    known = [entry for entry in usable if entry.name == lastUsed]
    return max(known or usable, key=lambda entry: _fit(entry, volumeNode), default=None)


def _fit(entry: ModelEntry, volumeNode: Any) -> int:
    """A volume for a picture is worse than gray for color."""
    image = None if volumeNode is None else volumeNode.GetImageData()
    if image is None:
        return 0
    dimension = 2 if image.GetDimensions()[2] == 1 else 3
    # A fourth component is the opacity of a color.
    channels = min(3, image.GetNumberOfScalarComponents())
    return 2 * (entry.dimension == dimension) + (len(entry.channels) == channels)


def _entry(model: StoredModel) -> ModelEntry:
    if model.problem:
        return ModelEntry(model.path, model.name, model.name, problem=model.problem)
    header = model.header
    try:
        return ModelEntry(
            model.path,
            model.name,
            title=str(header.get("title") or model.name),
            method=str(header["method"]),
            dimension=int(header["dimension"]),
            channels=tuple(map(str, header["channels"])),
            labels=tuple(str(label["name"]) for label in header["labels"]),
            licence=str(header.get("licence", "")),
            accuracy=_accuracy(header),
            intendedUse=str(header.get("intended_use", "")),
            limitations=tuple(map(str, header.get("limitations", ()))),
            citation=str(header.get("citation", "")),
        )
    # Only the worker checks headers in full.
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        text = _('The header of the model "{path}" is incomplete or damaged ({reason}); get the file again.')
        problem = text.format(path=model.path, reason=f"{type(error).__name__}: {error}")
        return ModelEntry(model.path, model.name, model.name, problem=problem)


def _accuracy(header: dict[str, Any]) -> str:
    """Such as "Dice 0.89 on 60 held-out images"."""
    measured = ((header.get("training") or {}).get("metrics") or {}).get("test") or {}
    dice, cases = measured.get("dice"), measured.get("cases")
    if not isinstance(dice, float) or not isinstance(cases, int):
        return _("Accuracy not measured on held-out images")
    return _("Dice {dice:.2f} on {cases} held-out images").format(dice=dice, cases=cases)
