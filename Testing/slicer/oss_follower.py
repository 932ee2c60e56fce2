"""What the tests of a slice view that is followed share: a follower without a panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from fake_worker import FakeClient, found
from oss_panel import add_view

from HighResSegmentationLib.Jobs import Jobs
from hrseg.worker.messages import SampleRequest

if TYPE_CHECKING:
    from OSSNetLib.SliceFollower import SliceFollower


class Followed:
    """A follower with a worker that says what the test says."""

    def __init__(self, client: FakeClient) -> None:
        from OSSNetLib.Logic import Settings
        from OSSNetLib.SliceFollower import SliceFollower

        self.client, self.jobs = client, Jobs(lambda: client)  # type: ignore[arg-type, return-value]
        self.errors: list[Exception] = []
        self.asked = 0
        self.follower: SliceFollower = SliceFollower(self.jobs, self._count, self.errors.append)
        self.settings = Settings("m")
        self.view, self.composite = add_view()

    def start(self, node: Any, **more: Any) -> None:
        self.follower.start(self.view, node, self.settings, **more)

    def end(self) -> SampleRequest:
        """The worker answers with labels as large as was asked; that request."""
        request = self.client.requests[-1]
        assert isinstance(request, SampleRequest)
        assert request.grid is not None
        array = np.ones(request.grid.shape, np.uint8)
        self.client.arrays["labels"] = array
        self.client.end(found(array, request.grid.affine))
        self.jobs.poll()
        return request

    def _count(self) -> None:
        self.asked += 1
