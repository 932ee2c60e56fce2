"""What runs inside Slicer's own process needs the standard library, numpy, SimpleITK and Slicer alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hrseg

FOLDER = Path(hrseg.__file__).parents[1]
BLOCK = """
import sys
for name in ("torch", "safetensors", "pydantic", "monai", "lightning", "scipy", "matplotlib", "typer", "rich", "yaml",
             "psutil"):
    sys.modules[name] = None
"""
#: The parts of the core that Slicer's modules use.
CORE = """
import hrseg.geometry, hrseg.resample, hrseg.image, hrseg.labels, hrseg.structures
import hrseg.prompts, hrseg.model_header, hrseg.model_store, hrseg.segmentation_file
import hrseg.worker.client
"""
#: The phantom of Slicer's Sample Data is made there, too.
PHANTOM = """
from hrseg.phantom import Torso, default_grid
image = Torso.random(0).image(default_grid((8, 8, 6), 40.0))
assert image.array.min() < -900 and image.array.max() > 0
"""
#: Slicer's own libraries are there, but not here: any name in them is an empty class.
STAND_INS = """
import types

class Library(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})

for name in ("slicer", "slicer.i18n", "slicer.util", "vtk", "vtk.util", "vtk.util.numpy_support", "qt", "ctk"):
    sys.modules[name] = Library(name)
sys.modules["slicer.i18n"].tr = lambda text: text
"""


def run(script: str) -> None:
    """The script in a Python without the libraries of the worker."""
    environment = {"PYTHONPATH": str(FOLDER)}
    command = [sys.executable, "-c", BLOCK + script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_core() -> None:
    run(CORE)


def test_phantom() -> None:
    run(PHANTOM)


@pytest.mark.parametrize("panels", [False, True])
def test_slicers_side(panels: bool) -> None:
    """All of it; and without Qt what needs none, as in a Slicer without a window."""
    names = sorted(path.stem for path in (FOLDER / "HighResSegmentationLib").glob("[A-Z]*.py"))
    wanted = [name for name in names if panels or not name.endswith("Panel")]
    assert {"Environment", "Models", "Volumes"} <= set(wanted)
    block = "" if panels else 'sys.modules["qt"] = sys.modules["ctk"] = None\n'
    run(STAND_INS + block + "".join(f"import HighResSegmentationLib.{name}\n" for name in wanted))


def test_a_blocked_library_is_noticed() -> None:
    with pytest.raises(AssertionError):
        run("import torch")
