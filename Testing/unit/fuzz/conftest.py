from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import fuzzing


@pytest.fixture(autouse=True, scope="session")
def _tell_of_hangs(pytestconfig: pytest.Config) -> None:
    """Stacks of hung examples go to the real standard error, not to what pytest catches."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        fuzzing.STDERR = os.dup(2)


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    with fuzzing.little_memory():
        yield
