"""A slice view that is followed from the panel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_worker import FakeClient, found
from module_panel import answer, status
from oss_panel import add_view, apply, labels, volume
from slicer_env import slicer

from hrseg.worker.messages import SampleRequest

if TYPE_CHECKING:
    from OSSNetLib.Widget import OSSNetPanel


@pytest.fixture
def ready(loaded: OSSNetPanel, client: FakeClient) -> Iterator[OSSNetPanel]:
    """With a field, and a slice view to follow."""
    nodes = add_view()
    loaded.exit()
    loaded.enter()
    answer(loaded)
    loaded.parameters.sliceView = nodes[0]
    apply(loaded, client)
    yield loaded
    loaded.exit()
    for node in nodes:
        slicer.mrmlScene.RemoveNode(node)


def _end(panel: OSSNetPanel, client: FakeClient) -> None:
    request = client.requests[-1]
    assert isinstance(request, SampleRequest)
    assert request.grid is not None
    client.arrays["labels"] = np.ones(request.grid.shape, np.uint8)
    client.end(found(client.arrays["labels"], request.grid.affine))
    panel.tick()


def test_following_is_off_until_it_is_ticked(ready: OSSNetPanel, client: FakeClient) -> None:
    asked = len(client.requests)
    ready.parameters.sliceView.SetSliceOffset(3)
    assert len(client.requests) == asked
    ready.ui.followCheckBox.checked = True
    assert len(client.requests) == asked + 1
    assert ready._soon.active
    ready.ui.ownLevelCheckBox.checked = True
    _end(ready, client)
    assert client.requests[-1].level == 0.5  # type: ignore[attr-defined]
    _end(ready, client)
    assert not ready._soon.active
    assert ready.follower.active
    ready.ui.followCheckBox.checked = False
    assert not ready.follower.active


@pytest.mark.parametrize("way", ["exit", "volume", "device", "import", "close"])
def test_what_ends_following(ready: OSSNetPanel, client: FakeClient, way: str) -> None:
    ready.ui.followCheckBox.checked = True
    _end(ready, client)
    if way == "exit":
        ready.exit()
    elif way == "volume":
        ready.ui.inputSelector.setCurrentNode(volume("other"))
    elif way == "device":
        ready.parameters.device = "cpu"
    elif way == "import":
        slicer.mrmlScene.StartState(slicer.mrmlScene.ImportState)
        slicer.mrmlScene.EndState(slicer.mrmlScene.ImportState)
    else:
        slicer.mrmlScene.Clear(0)
    assert not ready.follower.active
    assert not ready.ui.followCheckBox.checked
    ready.enter()


def test_following_goes_on_during_a_run(ready: OSSNetPanel, client: FakeClient) -> None:
    ready.ui.followCheckBox.checked = True
    _end(ready, client)
    apply(ready, client)
    assert ready.follower.active


def test_a_field_that_the_worker_has_forgotten_is_not_encoded_by_following(
    ready: OSSNetPanel, client: FakeClient
) -> None:
    (run,) = (request for request in client.requests if isinstance(request, SampleRequest))
    assert not run.remembered_only
    ready.ui.followCheckBox.checked = True
    assert client.requests[-1].remembered_only  # type: ignore[attr-defined]
    client.fail("bad_input", "The field is not in memory any more.", "Press Apply to make it again.")
    ready.tick()
    assert not ready.follower.active
    assert not ready.ui.followCheckBox.checked
    assert status(ready) == "The field is not in memory any more. Press Apply to make it again."
    assert not ready.ui.closerButton.enabled
    assert ready.ui.closerButton.toolTip == "Press Apply first."
    apply(ready, client)
    assert ready.ui.closerButton.enabled


def test_a_run_that_waits_is_not_ended_by_the_end_of_following(ready: OSSNetPanel, client: FakeClient) -> None:
    ready.ui.followCheckBox.checked = True
    ready.run.applyButton.click()
    client.fail("bad_input", "The field is not in memory any more.")
    ready.tick()
    assert not ready.follower.active
    assert ready.run.running
    client.end(labels(client))
    answer(ready)
    assert not ready.run.running
    assert ready.ui.closerButton.enabled


def test_an_end_is_explained(ready: OSSNetPanel, client: FakeClient) -> None:
    ready.ui.followCheckBox.checked = True
    client.fail("crashed", "The worker crashed.")
    ready.tick()
    assert not ready.ui.followCheckBox.checked
    assert status(ready) == "The worker crashed."
