"""A stand-in for the logic of the PyTorch extension."""

# ruff: noqa: N802, N803 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

from typing import Any


class FakeTorch:
    """The logic of the PyTorch extension."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.error = error

    def uninstallTorch(self) -> None:
        self.calls.append(("uninstall", None))

    def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> None:
        assert not askConfirmation
        self.calls.append(("install", torchVersionRequirement))
        print("Collecting torch\nInstalled ", end="")
        print("torch")
        if self.error:
            raise self.error
