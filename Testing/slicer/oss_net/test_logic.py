"""The self-test of the OSSNet module on Slicer's scene, and what only concerns developers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from OSSNetLib import Tests

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _silent(scene: Any) -> None:
    """No VTK class reports an error during any test here."""


class TestOSSNet(Tests.OSSNetTests, ScriptedLoadableModuleTest):
    def skipTest(self, reason: Any) -> None:  # noqa: N802
        pytest.fail(f"Nothing may be skipped here: {reason}")


def test_self_test_network_is_one_of_the_core(tmp_path: Path) -> None:
    """Its tensors are written by hand, so that changes of the network are noticed here first."""
    from hrseg.model_file import load_model
    from OSSNetLib.BrightModel import writeBrightModel

    assert load_model(writeBrightModel(tmp_path / "bright.safetensors")).header.method == "oss_net"


IMPORT = """
import sys, time
sys.path[:0] = [{here!r}, {core!r}, {module!r}]
import slicer_env, slicer_shim
slicer_env.boot(); slicer_shim.install(slicer_env.slicer)
import numpy
began = time.process_time()
import OSSNet
print(time.process_time() - began)
print([n for n in ("torch", "safetensors", "pydantic", "monai", "SimpleITK", "PySide6") if n in sys.modules])
"""


def test_importing_the_module_costs_nothing() -> None:
    """Slicer does that at every start. Counted are the seconds of this process alone."""
    root = HERE.parents[1]
    code = IMPORT.format(here=str(HERE), core=str(root / "HighResCore"), module=str(root / "OSSNet"))
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
