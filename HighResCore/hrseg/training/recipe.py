"""A recipe: all that is needed to train a model again, in one YAML file with profiles."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from reprlib import repr as short
from typing import Annotated, Any, Literal

import torch
import yaml
from pydantic import Field, ValidationError, model_validator

from hrseg.errors import InputError
from hrseg.labels import Label
from hrseg.methods import method_class
from hrseg.model_file import Header, Limitations, Preprocessing, Provenance, Strict, first_problem
from hrseg.structures import label as structure_label

Byte = Annotated[int, Field(ge=0, le=255)]
#: PyYAML tells of most that it does not understand in its own words, but of odd dates or numbers in Python's.
_NOT_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
#: For labels that are not in the catalogue: Okabe and Ito's colours, distinct for the colour-blind too.
_COLORS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


class RecipeLabel(Strict):
    """A label: a structure of the catalogue (``structures.py``), or one of the user's own with a ``name``.

    Attributes:
        structure: key in the catalogue, which gives name, colour and codes.
        name, color: instead of the catalogue's.
        sources: names in data lists that count as this label; its own name if empty.
    """

    structure: str | None = None
    name: str | None = None
    color: tuple[Byte, Byte, Byte] | None = None
    sources: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_a_name(self) -> RecipeLabel:
        if not self.structure and not self.name:
            raise ValueError("a label needs a structure or a name")
        return self

    def label(self, value: int) -> Label:
        """The label of this voxel value. Raises InputError for an unknown structure."""
        if self.structure:
            label = structure_label(value, self.structure, name=self.name, sources=self.sources)
            return replace(label, color=self.color or label.color)
        return Label(value, self.name or "", self.color or _COLORS[value % len(_COLORS)], sources=self.sources)


class Recipe(Strict):
    """What a recipe file holds, one profile applied. See the recipes that come with the project."""

    name: str
    title: str = ""
    method: str
    dimension: Literal[2, 3]
    channels: list[str]
    labels: list[RecipeLabel]
    preprocessing: Preprocessing
    network: dict[str, Any] = {}
    inference: dict[str, Any] = {}
    training: dict[str, Any]
    licence: str = ""
    citation: str = ""
    intended_use: str = "Research only; not for clinical decisions."
    limitations: Limitations = []

    def header(self, provenance: Provenance) -> Header:
        """The header of the model that this recipe makes."""
        return Header(
            labels=[entry.label(value) for value, entry in enumerate(self.labels, 1)],
            training=provenance,
            **{
                key: getattr(self, key)
                for key in type(self).model_fields
                if key in Header.model_fields and key not in ("labels", "training")
            },
        )


def read_recipe(path: str | os.PathLike[str], profile: str) -> Recipe:
    """A recipe with the changes of one of its profiles.

    Raises:
        InputError: no such file, not YAML, no such profile, or settings that do not fit.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f'Cannot read the recipe "{path}": {error.strerror}; check the path.') from error
    except _NOT_YAML as error:
        raise InputError(f'The recipe "{path}" is not YAML: {" ".join(str(error).split()):.300}.') from error
    if not isinstance(content, dict):
        raise InputError(f'The recipe "{path}" must hold settings by name, not {type(content).__name__}.')
    profiles = content.pop("profiles", None) or {}
    if not isinstance(profiles, dict) or profile not in profiles:
        names = ", ".join(map(str, profiles if isinstance(profiles, (dict, list)) else [])) or "none"
        raise InputError(f'The recipe "{path}" has no profile "{profile}"; it has {names:.300}.')
    changes = profiles[profile] or {}
    if not isinstance(changes, dict):
        raise InputError(
            f'The profile "{profile}" of the recipe "{path}" must hold settings by name, not {short(changes)}.'
        )
    try:
        recipe = Recipe.model_validate(_merged(content, changes))
        header = recipe.header(Provenance())
        with torch.device("meta"):
            method_class(recipe.method).build(header)
        method_class(recipe.method).training_tasks(header, recipe.training)
    except RecursionError as error:
        raise InputError(f'The recipe "{path}" has settings that hold themselves; write them out.') from error
    except ValidationError as error:
        raise InputError(f'The recipe "{path}" is not valid: {first_problem(error)}.') from error
    return recipe


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes``; dictionaries are merged, everything else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result
