from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrseg.errors import OutputError
from hrseg.worker.arrays import map_array, read_array, write_array
from hrseg.worker.messages import ProtocolError

ARRAY = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "array",
    [
        ARRAY,
        np.asfortranarray(ARRAY),
        ARRAY[:, ::-1, ::2],
        np.moveaxis(ARRAY, -1, 0),
        ARRAY.astype(">i2"),
        ARRAY.astype(np.float16),
        ARRAY > 5,
        ARRAY[0, 0],
    ],
)
def test_any_view_arrives(tmp_path: Path, array: Any) -> None:
    entry = write_array(tmp_path / "a.npy", array)
    assert entry == {"file": "a.npy", "shape": list(array.shape), "dtype": array.dtype.name}
    again = read_array(tmp_path, entry)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)
    # Others read the same file with numpy.
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


def test_copy_outlives_the_file(tmp_path: Path) -> None:
    entry = write_array(tmp_path / "a.npy", ARRAY)
    copy = read_array(tmp_path, entry)
    (tmp_path / "a.npy").unlink()
    assert type(copy) is np.ndarray
    copy += 1
    assert copy[0, 0, 0] == 1


def test_mapped_array_cannot_be_changed(tmp_path: Path) -> None:
    write_array(tmp_path / "a.npy", ARRAY)
    mapped = map_array(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 0


def test_full_disk(tmp_path: Path, full_disk: Callable[[int], Any]) -> None:
    write_array(tmp_path / "a.npy", ARRAY)
    with full_disk(1000), pytest.raises(OutputError) as error:
        write_array(tmp_path / "a.npy", np.zeros((100, 100)))
    assert str(error.value) == (
        f'Cannot write to the temporary folder "{tmp_path}": File too large; free some space there, or set the '
        "variable TMPDIR to a folder that has more."
    )
    # What was there is whole, and nothing else is.
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
    np.testing.assert_array_equal(map_array(tmp_path / "a.npy"), ARRAY)


def test_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory; free"):
        write_array(tmp_path / "gone" / "a.npy", ARRAY)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"file": "../a.npy"}, 'The array file "../a.npy" is not in the private folder'),
        ({"file": "b.npy"}, "There is no array in"),
        ({"file": "text.npy"}, "There is no array in"),
        ({"shape": [3, 2, 4]}, "not as announced"),
        ({"dtype": "uint8"}, "not as announced"),
        ({"file": None}, "There is no array in"),
    ],
)
def test_entries_that_do_not_fit(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    (tmp_path / "text.npy").write_text("not an array")
    entry = write_array(tmp_path / "a.npy", ARRAY)
    with pytest.raises(ProtocolError, match=problem):
        read_array(tmp_path, {**entry, **change})
