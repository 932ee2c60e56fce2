import sys
from dataclasses import dataclass

import pytest

from hrseg.cli import main
from hrseg.image import write_image
from training_helpers import GRID, scene, write_model


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self):
        """The one line that says what went wrong."""
        (line,) = self.err.splitlines()
        assert line.startswith("Error: ")
        return line.removeprefix("Error: ")


@pytest.fixture
def hrseg(capsys, monkeypatch):
    """Runs the command line in this process."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hrseg", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return Done(end.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture
def image(tmp_path):
    write_image(tmp_path / "scan.nii.gz", scene(0)[0], GRID)
    return tmp_path / "scan.nii.gz"


@pytest.fixture(autouse=True)
def _no_other_models(tmp_path_factory, monkeypatch):
    """Neither the user's own nor those that come with the project."""
    nowhere = tmp_path_factory.mktemp("nowhere")
    monkeypatch.setattr("pathlib.Path.home", lambda: nowhere)
    monkeypatch.delenv("HRSEG_MODELS", raising=False)
    monkeypatch.setattr("hrseg.model_store.__file__", str(nowhere / "core" / "hrseg" / "model_store.py"))
