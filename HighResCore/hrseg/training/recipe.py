"""A recipe: all that is needed to train a model again, in one YAML file with profiles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from hrseg.errors import InputError
from hrseg.labels import Label
from hrseg.methods import method_class
from hrseg.model_file import Header, Preprocessing, Provenance, Strict, first_problem
from hrseg.structures import label as structure_label


class RecipeLabel(Strict):
    """A label: a structure of the catalogue, with another name or other names in data lists where needed."""

    structure: str
    name: str | None = None
    sources: tuple[str, ...] = ()


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

    def header(self, provenance: Provenance) -> Header:
        """The header of the model that this recipe makes."""
        return Header(
            labels=[self._label(number + 1, entry) for number, entry in enumerate(self.labels)],
            training=provenance,
            **{
                key: getattr(self, key)
                for key in type(self).model_fields
                if key in Header.model_fields and key not in ("labels", "training")
            },
        )

    @staticmethod
    def _label(value: int, entry: RecipeLabel) -> Label:
        return structure_label(value, entry.structure, name=entry.name, sources=entry.sources)


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
    except yaml.YAMLError as error:
        raise InputError(f'The recipe "{path}" is not YAML: {" ".join(str(error).split())}.') from error
    if not isinstance(content, dict):
        raise InputError(f'The recipe "{path}" must hold settings by name, not {type(content).__name__}.')
    profiles = content.pop("profiles", {}) or {}
    if profile not in profiles:
        raise InputError(f'The recipe "{path}" has no profile "{profile}"; it has {", ".join(profiles) or "none"}.')
    try:
        recipe = Recipe.model_validate(_merged(content, profiles[profile] or {}))
        method_class(recipe.method).build(recipe.header(Provenance()))
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
