"""Where models are found: folders the user names, the user's own folder, and those that come with the extension.

Standard library only: Slicer's own process lists models with it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrseg.errors import ModelError, OutputError
from hrseg.model_header import SUFFIX, read_header

#: Folders to look in first, separated like PATH.
VARIABLE = "HRSEG_MODELS"


@dataclass(frozen=True)
class StoredModel:
    """A model file and its header, or why it cannot be read."""

    path: Path
    header: dict[str, Any]
    problem: str = ""

    @property
    def name(self) -> str:
        """The name by which it is chosen."""
        return self.header.get("name", self.path.stem)


def model_folders() -> list[Path]:
    """Existing folders that are searched, first come first served."""
    here = Path(__file__).resolve().parent
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    # The source tree keeps Resources beside the modules' folders; build and install trees beside the package.
    bundled = [here.parent / "Resources" / "Models", here.parents[1] / "Resources" / "Models"]
    return [folder for folder in [*named, user_folder(), *bundled] if folder.is_dir()]


def user_folder() -> Path:
    """The user's own models, which updates of the extension never touch. It need not exist."""
    return Path.home() / ".HighResSegmentation" / "models"


def stored_models() -> list[StoredModel]:
    """All models found, by name; where two share a name the first folder's counts."""
    found: dict[str, StoredModel] = {}
    for path in _files():
        try:
            model = StoredModel(path, read_header(path))
        except ModelError as error:
            model = StoredModel(path, {}, str(error))
        found.setdefault(model.name, model)
    return sorted(found.values(), key=lambda model: model.name)


def find_model(name: str) -> Path:
    """The file of a model, given its name or a path.

    Raises:
        ModelError: no such model; the names there are, are listed.
    """
    path = Path(name)
    if path.suffix == SUFFIX and (path.exists() or path.parent != Path()):
        if not path.exists():
            raise ModelError(f'There is no model file "{path}"; check the path.')
        return path
    models = {model.name: model.path for model in stored_models()}
    if name not in models:
        known = ", ".join(models) or "none"
        raise ModelError(f'There is no model "{name}"; found: {known}. `hrseg models add FILE` adds one.')
    return models[name]


def add_model(path: Path, *, replace: bool = False) -> Path:
    """Copies a model file to the user's folder under its own name; returns the copy.

    Raises:
        ModelError: not a model, or one of that name is there and is not to be replaced.
        OutputError: the folder cannot be written.
    """
    target = user_folder() / f"{read_header(path)['name']}{SUFFIX}"
    if target.exists() and not replace:
        raise ModelError(f'There is already a model "{target}"; use --replace to replace it.')
    temporary = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f'Cannot write "{target}": {error.strerror}.') from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return target


def _files() -> Iterator[Path]:
    for folder in model_folders():
        # Names with a dot in front are files that are still being written.
        yield from sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))
