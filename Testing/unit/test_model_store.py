from __future__ import annotations

from pathlib import Path

import pytest

from hrseg.errors import ModelError, OutputError
from hrseg.model_store import add_model, find_model, model_folders, stored_models, user_folder
from model_helpers import tiny_file


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two folders that the user names, in order."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setenv("HRSEG_MODELS", f"{folders[0]}:{folders[1]}:{tmp_path / 'missing'}:")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return folders


def names() -> list[str]:
    """Of the models found, without those that come with the extension."""
    bundled = [folder for folder in model_folders() if folder.name == "Models"]
    return [model.name for model in stored_models() if model.path.parent not in bundled]


def test_folders_in_order(named: list[Path]) -> None:
    assert model_folders()[:2] == named
    user_folder().mkdir(parents=True)
    assert model_folders()[:3] == [*named, user_folder()]


def test_first_folder_wins(named: list[Path]) -> None:
    tiny_file(named[1] / "a.safetensors", name="a")
    tiny_file(named[1] / "b.safetensors", name="b")
    assert names() == ["a", "b"]
    first = tiny_file(named[0] / "other.safetensors", name="a")
    assert names() == ["a", "b"]
    assert find_model("a") == first
    assert find_model("b") == named[1] / "b.safetensors"


def test_bad_file_is_listed_with_its_problem(named: list[Path]) -> None:
    (named[0] / "bad.safetensors").write_bytes(b"junk")
    bad = next(model for model in stored_models() if model.name == "bad")
    assert "not a model file" in bad.problem
    assert bad.header == {}


def test_files_being_written_are_not_listed(named: list[Path]) -> None:
    tiny_file(named[0] / ".hrseg-x.safetensors")
    assert names() == []


def test_find_by_path(named: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tiny_file(tmp_path / "x.safetensors")
    assert find_model(str(file)) == file
    monkeypatch.chdir(tmp_path)
    assert find_model("x.safetensors") == Path("x.safetensors")
    with pytest.raises(ModelError, match="There is no model file"):
        find_model(str(tmp_path / "y.safetensors"))


def test_unknown_name_lists_the_known(named: list[Path]) -> None:
    tiny_file(named[0] / "a.safetensors", name="a")
    with pytest.raises(ModelError, match=r'There is no model "x"; found: .*\ba\b'):
        find_model("x")


def test_add(named: list[Path], tmp_path: Path) -> None:
    file = tiny_file(tmp_path / "file-name.safetensors", name="liver")
    target = add_model(file)
    assert target == user_folder() / "liver.safetensors"
    assert target.read_bytes() == file.read_bytes()
    assert find_model("liver") == target
    with pytest.raises(ModelError, match="There is already a model"):
        add_model(file)
    file = tiny_file(file, name="liver", title="better")
    assert add_model(file, replace=True).read_bytes() == file.read_bytes()
    assert list(user_folder().iterdir()) == [target]


def test_add_nothing_but_models(named: list[Path], tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError):
        add_model(tmp_path / "x.safetensors")
    assert not user_folder().exists()


def test_add_where_nothing_can_be_written(named: list[Path], tmp_path: Path) -> None:
    file = tiny_file(tmp_path / "x.safetensors")
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(OutputError, match="Cannot write"):
        add_model(file)
