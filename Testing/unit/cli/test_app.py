import os
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[3] / "HighResCore"
HELP = """
import sys, time
began = time.process_time()
from hrseg.cli import main
sys.argv = ["hrseg", "--help"]
try:
    main()
finally:
    heavy = {"torch", "numpy", "SimpleITK", "matplotlib", "scipy", "pydantic", "monai", "lightning"} & set(sys.modules)
    print(heavy or "light", "fast" if time.process_time() - began < 0.7 else "slow", file=sys.stderr)
"""


def test_help_is_fast():
    environment = {**os.environ, "PYTHONPATH": str(CORE)}
    done = subprocess.run([sys.executable, "-c", HELP], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "light fast\n"
    for command in ("segment", "field", "models", "data-list", "train", "evaluate", "compare", "phantom", "demo"):
        assert f"│ {command} " in done.stdout


def test_no_arguments_show_the_help(hrseg):
    done = hrseg()
    assert (done.code, done.err) == (0, "")
    assert "Usage: hrseg" in done.out


def test_every_command_explains_its_options(hrseg):
    done = hrseg("train", "-h")
    assert done.code == 0
    assert "--max-minutes" in done.out


def test_wrong_commands(hrseg):
    done = hrseg("segmnt")
    assert done.code == 2
    assert done.error.startswith("No such command 'segmnt'")
    assert hrseg("segment").error == "Missing argument 'IMAGE...'; see \"hrseg segment --help\"."
    assert hrseg("models").error == 'Missing command; see "hrseg models --help".'


def failing(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr("hrseg.model_store.stored_models", fail)


def test_bugs_are_not_hidden(hrseg, monkeypatch):
    failing(monkeypatch, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        hrseg("models", "list")


def test_memory_that_runs_out_anywhere(hrseg, monkeypatch):
    for error in (MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")):
        failing(monkeypatch, error)
        done = hrseg("models", "list")
        assert done.code == 3
        assert done.error.startswith("Memory ran out; ")


def test_a_library_that_is_missing(hrseg, monkeypatch):
    failing(monkeypatch, ModuleNotFoundError("No module named 'lightning'", name="lightning"))
    done = hrseg("models", "list")
    assert done.code == 1
    advice = 'in the checkout: pip install -c constraints.txt -e ".[train]".'
    assert done.error == f'The library "lightning" is missing; {advice}'
