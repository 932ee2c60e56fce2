"""What CMake's lists say, and the folders that CMake would make of them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = ("HighResCore", "CropCascade", "OSSNet", "SRSegmentation")


def settings(module: str) -> dict[str, str]:
    """The variables that the CMakeLists of a module, or of the extension (""), sets: texts as they are written."""
    text = re.sub(r"^\s*#.*$", "", (ROOT / module / "CMakeLists.txt").read_text(), flags=re.M)
    found = {
        name: value.strip().strip('"') for name, value in re.findall(r"set\((\w+)\s(.*?)\)\s*$", text, re.M | re.S)
    }
    return {name: value.replace("${HOME_URL}", found.get("HOME_URL", "")) for name, value in found.items()}


def listed(module: str, variable: str) -> list[str]:
    """The files in one of a module's lists, in its order."""
    return settings(module)[variable].split()


def bundled_models() -> list[Path]:
    """The models that are installed."""
    return [ROOT / "Resources" / "Models" / name for name in listed("HighResCore", "BUNDLED_MODELS")]


def lay_out(folder: Path) -> Path:
    """Fills ``folder`` as the build does, and the installation after it: all modules flat, side by side."""
    for module in MODULES:
        for kind in ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"):
            for name in listed(module, kind):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / module / name, folder / name)
    models = folder / "Resources" / "Models"
    models.mkdir(parents=True)
    for model in bundled_models():
        (models / model.name).symlink_to(model)
    return folder
