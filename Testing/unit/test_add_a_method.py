"""The code of docs/add_a_method.md, as it stands there: a reader who follows the page gets a method that works."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import hrseg
from hrseg import methods
from hrseg.data_list import read_data_list
from hrseg.training import history
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import read_recipe
from training_helpers import write_data

PAGE = Path(__file__).parents[2] / "docs" / "add_a_method.md"
ROOM = "hrseg.smooth_threshold"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files, found as if they were in the package, and its line in the table of methods."""
    folder = tmp_path_factory.mktemp("page")
    for path, text in files().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    name, place = re.findall(r'^    "(\w+)": "([\w.:]+)",$', PAGE.read_text(encoding="utf-8"), re.M)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hrseg, "__path__", [*hrseg.__path__, str(folder / "HighResCore" / "hrseg")])
        patch.setitem(methods._METHODS, name, place)
        patch.setattr(history, "draw_curves", lambda *args: None)
        yield folder
    for name in [name for name in sys.modules if name.startswith(ROOM)]:
        del sys.modules[name]


def files() -> dict[str, str]:
    """Path to text, of the blocks that begin with their path."""
    blocks = re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return dict(blocks)


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("page_test_method", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_files_that_it_lists(folder: Path) -> None:
    listed = re.findall(r"^  (\w+\.py) ", PAGE.read_text(encoding="utf-8"), re.M)
    made = [path.name for path in (folder / "HighResCore/hrseg/smooth_threshold").glob("*.py")]
    assert sorted({*made, "__init__.py"}) == sorted(listed)


def test_its_own_tests_pass(folder: Path) -> None:
    module = loaded(folder / "Testing/unit/smooth_threshold/test_method.py")
    for dimension in (2, 3):
        module.test_slabs_change_nothing(dimension)
    module.test_it_stays_within_its_forecast()
    module.test_settings_that_do_not_fit_are_refused()
    tests = {name for name in dir(module) if name.startswith("test_")}
    assert tests == {
        "test_slabs_change_nothing",
        "test_it_stays_within_its_forecast",
        "test_settings_that_do_not_fit_are_refused",
    }


def test_it_learns(folder: Path, tmp_path: Path) -> None:
    """Bright balls and dark cubes in noise: thresholds that were blurred a little find most of them."""
    recipe = read_recipe(folder / "recipes/balls-smooth-threshold.yaml", "cpu")
    data = read_data_list(write_data(tmp_path))
    header = train(recipe, data, tmp_path / "balls.safetensors", TrainingOptions("cpu", accelerator="cpu"))
    assert header is not None
    assert header.training.metrics["validation"]["dice"] > 0.8
