"""What runs inside Slicer's own process needs the standard library, numpy and SimpleITK alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hrseg

SCRIPT = """
import sys
for name in ("torch", "safetensors", "pydantic", "monai", "lightning", "scipy", "matplotlib", "typer", "rich", "yaml"):
    sys.modules[name] = None
import hrseg.geometry, hrseg.resample, hrseg.image, hrseg.labels, hrseg.structures
import hrseg.prompts, hrseg.model_header, hrseg.model_store, hrseg.segmentation_file
"""


def test_slicers_side_imports_without_the_workers_libraries() -> None:
    environment = {"PYTHONPATH": str(Path(hrseg.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
