"""What importing a module file costs: Slicer does that at every start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SCRIPT = """
import sys, time
sys.path[:0] = {folders!r}
import slicer_env, slicer_shim
slicer_env.boot(); slicer_shim.install(slicer_env.slicer)
import numpy
began = time.process_time()
import {module}
print(time.process_time() - began)
print([n for n in ("torch", "safetensors", "pydantic", "monai", "SimpleITK", "PySide6") if n in sys.modules])
"""


def check_import_cost(module: str) -> None:
    """Asserts that it takes less than 50 ms and loads nothing heavy. Counted are the seconds of this process alone."""
    root = _HERE.parents[1]
    code = _SCRIPT.format(module=module, folders=[str(_HERE), str(root / "HighResCore"), str(root / module)])
    # Other processes may slow it down, but nothing makes it faster than it is.
    seconds = []
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        taken, heavy = out.strip().splitlines()[-2:]
        assert heavy == "[]"
        seconds.append(float(taken))
        if seconds[-1] < 0.05:
            break
    assert min(seconds) < 0.05
