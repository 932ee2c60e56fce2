"""The four places that the code is run from: pytest, the source tree, the build tree, an installed extension.

In each the packages are imported by a fresh Python that has nothing but the folders that Slicer puts on ``sys.path``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from extension_layout import MODULES, ROOT, bundled_models, lay_out

NAMES = [
    "hrseg.worker.server",
    "hrseg.crop_cascade.method",
    "HighResCore",
    "CropCascade",
    "CropCascadeLib",
    "OSSNet",
    "OSSNetLib",
    "SRSegmentation",
    "SRSegmentationLib",
]
#: Told the sources, which an editable installation adds to the path, and the folders that Slicer adds.
SCRIPT = f"""
import importlib.util, json, sys, types
sources, *folders = sys.argv[1:]
sys.path[:] = [*(path for path in sys.path if path not in ("", sources)), *folders]
for name in ("slicer", "slicer.i18n"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["slicer.i18n"].tr = lambda text: text
import hrseg, HighResSegmentationLib
from HighResSegmentationLib import Models, Requirements, SampleData
print(json.dumps({{
    "packages": [hrseg.__file__, HighResSegmentationLib.__file__],
    "models": [str(entry.path) for entry in Models.listModels() if not entry.problem],
    "requirements": [each.name for each in Requirements.requirements("linux")],
    "files": [str(SampleData.THUMBNAIL), str(Requirements.FILE.parent / "UI" / "HighResSetup.ui")],
    "importable": [name for name in {NAMES} if importlib.util.find_spec(name)],
}}))
"""


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that both the build tree and the installed extension have."""
    return lay_out(tmp_path_factory.mktemp("build") / "lib" / "Slicer-5.12" / "qt-scripted-modules")


@pytest.fixture(scope="module")
def installed(flat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, away from sources and build."""
    target = tmp_path_factory.mktemp("Slicer 5.12") / "HighResSegmentation" / "lib" / "Slicer-5.12"
    return shutil.copytree(flat, target / "qt-scripted-modules", symlinks=True)


def run(folders: Sequence[Path], home: Path) -> dict[str, Any]:
    """What a fresh Python finds, with an empty home and without the sources of an editable installation."""
    variables = {name: value for name, value in os.environ.items() if name not in ("HRSEG_MODELS", "PYTHONPATH")}
    variables |= {"HOME": str(home), "USERPROFILE": str(home)}
    command = [sys.executable, "-c", SCRIPT, str(ROOT / "HighResCore"), *map(str, folders)]
    done = subprocess.run(command, env=variables, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(found: dict[str, Any], packages: Path, models: Path) -> None:
    """The packages came from one folder, the bundled models from the other, and the resources are there."""
    assert found["packages"] == [str(packages / f"{name}/__init__.py") for name in ("hrseg", "HighResSegmentationLib")]
    assert sorted(found["models"]) == sorted(str(models / model.name) for model in bundled_models())
    assert found["requirements"][:3] == ["numpy", "SimpleITK", "torch"]
    for file in found["files"]:
        assert Path(file).is_file(), file


def test_pytest(tmp_path: Path) -> None:
    found = run([ROOT / "HighResCore"], tmp_path)
    check(found, ROOT / "HighResCore", ROOT / "Resources" / "Models")
    assert found["importable"] == ["hrseg.worker.server", "hrseg.crop_cascade.method", "HighResCore"]


def test_source_tree(tmp_path: Path) -> None:
    """Slicer appends the folder of each module, in no certain order."""
    found = run([ROOT / module for module in reversed(MODULES)], tmp_path)
    check(found, ROOT / "HighResCore", ROOT / "Resources" / "Models")
    assert found["importable"] == NAMES


def test_build_tree(flat: Path, tmp_path: Path) -> None:
    found = run([flat], tmp_path)
    check(found, flat, flat / "Resources" / "Models")
    assert found["importable"] == NAMES


def test_installed(installed: Path, tmp_path: Path) -> None:
    found = run([installed], tmp_path)
    check(found, installed, installed / "Resources" / "Models")
    assert found["importable"] == NAMES
