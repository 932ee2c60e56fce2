"""What Slicer itself does when packages are installed: pip, its extensions manager, the worker that is closed."""

# ruff: noqa: N802 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

import contextlib
import sys
import types
from typing import Any

import pytest
from fake_torch import FakeTorch
from fake_worker import FakeClient
from slicer_env import slicer

from HighResSegmentationLib import Packages
from HighResSegmentationLib.Jobs import Job, Jobs
from hrseg.worker.messages import ProposeRequest


def test_pip_of_older_and_newer_slicers(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", calls.append, raising=False)
    Packages.Host().installPackages(["pydantic>=2.7"])
    assert calls == [["pydantic>=2.7"]]
    newer = types.ModuleType("slicer.packaging")
    newer.pip_ensure = lambda names, **options: calls.append((names, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slicer.packaging", newer)
    Packages.Host().installPackages(["pydantic>=2.7"])
    names, options = calls[1]
    assert names == ["pydantic>=2.7"]
    # The user has been asked already, and a restart is our own offer.
    assert options["prompt_install"] is options["prompt_restart"] is False


def test_damaged_packages_by_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(slicer.util, "pip_install", calls.append, raising=False)
    Packages.Host().reinstallPackages(["pydantic>=2.7"])
    # The second call adds dependencies that are missing.
    assert calls == [["pydantic>=2.7", "--force-reinstall", "--no-deps"], ["pydantic>=2.7"]]


def test_the_shared_worker_is_closed(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, errors = FakeClient(), []
    jobs = Jobs(lambda: client)
    monkeypatch.setattr("HighResSegmentationLib.Jobs.sharedJobs", lambda: jobs)
    Packages.Host().closeWorker()
    assert client.closed == 0
    jobs.start(Job(lambda client: ProposeRequest(image=None, model="m"), lambda result: None, errors.append))  # type: ignore[arg-type]
    Packages.Host().closeWorker()
    assert client.closed == 1
    assert "had to end" in str(errors[0])


def test_the_extensions_module_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert Packages.Host().pyTorch() is None
    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = FakeTorch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    assert isinstance(Packages.Host().pyTorch(), FakeTorch)


class Manager:
    """Slicer's extensions manager."""

    def __init__(self, error: Exception | None = None) -> None:
        self.interactive, self.error = True, error
        self.installed: list[str] = []
        self.calls: list[tuple[str, bool, bool, bool]] = []

    def isExtensionInstalled(self, name: str) -> bool:
        return name in self.installed

    def installExtensionFromServer(self, name: str, restart: bool = True, update: bool = False) -> bool:
        self.calls.append((name, restart, update, self.interactive))
        if self.error:
            raise self.error
        return True


@pytest.mark.parametrize("error", [None, RuntimeError("no server")])
def test_the_extension_is_downloaded_without_questions_and_without_a_restart(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = Manager(error)
    monkeypatch.setattr(slicer.app, "extensionsManagerModel", lambda: manager, raising=False)
    assert not Packages.Host().hasPyTorchExtension()
    with pytest.raises(RuntimeError) if error else contextlib.nullcontext():
        assert Packages.Host().installPyTorchExtension()
    assert manager.calls == [("PyTorch", False, False, False)]
    assert manager.interactive
    manager.installed.append("PyTorch")
    assert Packages.Host().hasPyTorchExtension()
