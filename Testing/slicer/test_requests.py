"""Jobs on a volume that changes during the run, and what the user sees while an image is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import panel_env
import pytest
from fake_worker import FakeClient
from module_panel import volume
from scene_helpers import put_under, shift
from slicer_env import slicer

from HighResSegmentationLib.Jobs import Jobs
from HighResSegmentationLib.Requests import imageFields, jobOn, nodeOf
from hrseg.errors import InputError
from hrseg.worker.messages import ProposeRequest

qt = panel_env.qt


class Run:
    """A job on a volume, which has begun."""

    def __init__(self) -> None:
        self.client, self.volume = FakeClient(), volume()
        self.jobs = Jobs(lambda: self.client)  # type: ignore[arg-type, return-value]
        self.used: list[Any] = []
        self.errors: list[Exception] = []
        settings, identifier = SimpleNamespace(model="m", device="cpu", inference={}), self.volume.GetID()
        self.jobs.start(
            jobOn(
                identifier,
                lambda client: ProposeRequest(**imageFields(client, nodeOf(identifier), settings)),
                lambda result, node: self.used.append((result, node)),
                self.errors.append,
            )
        )

    def end(self) -> None:
        self.client.end({"answer": 42})
        self.jobs.poll()


@pytest.fixture
def run(scene: Any) -> Iterator[Run]:
    run = Run()
    yield run
    assert not run.jobs.active


def _harden(node: Any) -> None:
    put_under(node, shift(10, 20, 30))
    node.HardenTransform()


def _center(node: Any) -> None:
    node.AddCenteringTransform() if hasattr(node, "AddCenteringTransform") else node.SetOrigin(-8, -8, -8)
    node.HardenTransform()


def _crop(node: Any) -> None:
    slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(node)[:-1].copy())


@pytest.mark.parametrize("change", [_harden, _center, _crop, lambda node: node.SetSpacing(1, 1, 1.01)])
def test_a_result_for_another_geometry_is_dropped_in_words(run: Run, change: Callable[[Any], None]) -> None:
    change(run.volume)
    run.end()
    assert run.used == []
    (error,) = run.errors
    assert isinstance(error, InputError)
    assert str(error) == (
        'The geometry of "CT chest" was changed during the run, so its result was dropped; run it again.'
    )


def _rename(node: Any) -> None:
    node.SetName("other name")


def _brighten(node: Any) -> None:
    slicer.util.updateVolumeFromArray(node, slicer.util.arrayFromVolume(node) + 1)


@pytest.mark.parametrize("change", [lambda node: put_under(node, shift(10, 20, 30)), _rename, _brighten])
def test_a_volume_that_is_moved_by_a_transform_keeps_its_result(run: Run, change: Callable[[Any], None]) -> None:
    change(run.volume)
    run.end()
    assert run.errors == []
    assert run.used == [({"answer": 42}, run.volume)]


def test_a_volume_that_is_removed_or_emptied(scene: Any) -> None:
    for change, words in (
        (lambda node: scene.RemoveNode(node), "was removed during the run"),
        (lambda node: node.SetAndObserveImageData(None), "is empty"),
    ):
        run = Run()
        change(run.volume)
        run.end()
        assert run.used == []
        assert words in str(run.errors[0])


def test_a_wait_cursor_is_shown_while_an_image_is_written_and_only_then(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, node, cursors = FakeClient(), volume(), []
    settings = SimpleNamespace(model="m", device="cpu", inference={})
    write = client.image_file

    def seen(*arguments: Any) -> Any:
        cursors.append(qt.QApplication.overrideCursor() is not None)
        return write(*arguments)

    monkeypatch.setattr(client, "image_file", seen)
    for _ in range(2):
        imageFields(client, node, settings)  # type: ignore[arg-type]
    assert cursors == [True, False]
    slicer.util.updateVolumeFromArray(node, np.ones((4, 4, 4), np.int16))
    imageFields(client, node, settings)  # type: ignore[arg-type]
    assert cursors[2:] == [True]
    assert qt.QApplication.overrideCursor() is None
