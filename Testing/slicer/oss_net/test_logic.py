"""The self-test of the OSSNet module on Slicer's scene, and what only concerns developers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from import_cost import check_import_cost
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from OSSNetLib import Tests


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


def test_importing_the_module_costs_nothing() -> None:
    check_import_cost("OSSNet")
