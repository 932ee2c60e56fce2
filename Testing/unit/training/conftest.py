from __future__ import annotations

import pytest

from hrseg.data_list import DataList, read_data_list
from hrseg.training import history
from training_helpers import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataList:
    """The small data set."""
    return read_data_list(write_data(tmp_path_factory.mktemp("data")))


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no curves, which takes longer than they do."""
    monkeypatch.setattr(history, "draw_curves", lambda *args: None)
