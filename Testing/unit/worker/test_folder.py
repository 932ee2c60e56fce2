from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from hrseg.errors import OutputError
from hrseg.worker.folder import clear_folder, is_private, make_folder, remove_folder


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def folder_of(parent: Path, name: str, owner: str) -> Path:
    folder = parent / name
    folder.mkdir()
    (folder / "owner").write_text(owner)
    (folder / "image1.npy").write_bytes(b"1")
    return folder


def test_folder_is_private(temporary: Path) -> None:
    folder = make_folder()
    assert folder.parent == temporary
    assert folder.name.startswith("hrseg-")
    assert is_private(folder)
    assert (folder / "owner").read_text() == f"{os.getpid()} {platform.node()}"
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700


def test_folders_of_the_dead_are_removed(temporary: Path, dead: int) -> None:
    here = platform.node()
    folder_of(temporary, "hrseg-dead", f"{dead} {here}")
    kept = [
        folder_of(temporary, "hrseg-mine", f"{os.getpid()} {here}"),
        folder_of(temporary, "hrseg-elsewhere", f"{dead} another-computer"),
        folder_of(temporary, "hrseg-text", "owner of this house"),
        folder_of(temporary, "hrseg-empty", ""),
        folder_of(temporary, "other-dead", f"{dead} {here}"),
    ]
    new = make_folder()
    assert sorted(temporary.iterdir()) == sorted([*kept, new])


def test_link_to_a_folder_is_not_followed(temporary: Path, dead: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    target = folder_of(tmp_path_factory.mktemp("home"), "hrseg-target", f"{dead} {platform.node()}")
    (temporary / "hrseg-link").symlink_to(target)
    make_folder()
    assert (target / "image1.npy").exists()


def test_removing(temporary: Path) -> None:
    folder = make_folder()
    (folder / "image1.npy").write_bytes(b"1")
    remove_folder(folder)
    assert not folder.exists()
    # A second time there is nothing to do.
    remove_folder(folder)


def test_other_folders_are_not_removed(temporary: Path) -> None:
    document = temporary / "document.txt"
    document.write_text("precious")
    remove_folder(temporary)
    clear_folder(temporary, "document.txt")
    assert document.exists()


def test_clearing_keeps_what_is_named(temporary: Path) -> None:
    folder = make_folder()
    for name in ("image1.npy", "job1-label_map.npy", ".job2-label_map.npy.part"):
        (folder / name).write_bytes(b"1")
    clear_folder(folder, "image1.npy")
    assert sorted(path.name for path in folder.iterdir()) == ["image1.npy", "owner"]


def test_no_temporary_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = temporary / "gone"
    monkeypatch.setattr("tempfile.tempdir", str(gone))
    with pytest.raises(OutputError) as error:
        make_folder()
    assert str(error.value).startswith(f'Cannot write to the temporary folder "{gone}": No such file or directory; ')


def test_another_place(temporary: Path, tmp_path_factory: pytest.TempPathFactory, dead: int) -> None:
    parent = tmp_path_factory.mktemp("large disk")
    folder_of(parent, "hrseg-dead", f"{dead} {platform.node()}")
    folder = make_folder(parent)
    assert list(parent.iterdir()) == [folder]
    assert list(temporary.iterdir()) == []
