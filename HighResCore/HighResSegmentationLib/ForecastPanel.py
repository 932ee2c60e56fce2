"""What a run would need, and the devices it could run on: asked of the worker in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from HighResSegmentationLib.DevicePanel import DevicePanel, memoryText
from HighResSegmentationLib.Jobs import Job, Jobs, OnFailed
from hrseg.errors import Cancelled

if TYPE_CHECKING:
    from hrseg.worker.client import WorkerClient

#: A forecast is asked for when the choices have rested for so long.
_REST_MS = 500
#: Tells a forecast, or why there is none.
Ask = Callable[[Callable[[dict[str, Any]], None], OnFailed], None]


class ForecastPanel:
    """Keeps a label and the list of devices up to date.

    Args:
        label: shows the forecast.
        devices: shows the devices.
        jobs: asks the worker.
        choices: what the forecast depends on; None while there is nothing to forecast.
        ask: asks for the forecast of the present choices.
        watch: has somebody poll the jobs.
    """

    def __init__(
        self,
        label: qt.QLabel,
        devices: DevicePanel,
        jobs: Jobs,
        choices: Callable[[], Any],
        ask: Ask,
        watch: Callable[[], None],
    ) -> None:
        self._label, self._devices, self._jobs = label, devices, jobs
        self._choices, self._ask, self._watch = choices, ask, watch
        self._asked: Any = None
        self._works = False
        self._rest = qt.QTimer(label)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.connect("timeout()", self.ask)

    def changed(self) -> None:
        """The choices may have changed."""
        self._rest.start()

    def stop(self) -> None:
        """Asks nothing until the next change."""
        self._rest.stop()
        self._asked = None

    def askDevices(self) -> None:
        """Asks which devices there are and what memory is free; the forecast follows."""

        def build(client: WorkerClient) -> Any:
            from hrseg.worker.messages import DevicesRequest

            return DevicesRequest()

        self._jobs.start(Job(build, self._showDevices, self._showNoDevices, background=True))
        self._watch()

    def ask(self) -> None:
        """Asks for the forecast, unless it is known, something runs, or the worker cannot work."""
        choices = self._choices()
        if choices is None or choices == self._asked or self._jobs.busy or not self._works:
            return
        self._asked = choices
        self._label.text = _("Estimating ...")
        self._ask(self._show, self._showNone)
        self._watch()

    def _show(self, forecast: dict[str, Any]) -> None:
        self._label.text = forecastText(forecast)

    def _showNone(self, error: Exception) -> None:
        self._label.text = "" if isinstance(error, Cancelled) else str(error)

    def _showDevices(self, answer: dict[str, Any]) -> None:
        self._works, self._asked = True, None
        self._devices.setDevices(answer["devices"])
        self.changed()

    def _showNoDevices(self, error: Exception) -> None:
        self._works = False
        if not isinstance(error, Cancelled):
            self._label.text = _("{error} See Set up...").format(error=error)


def forecastText(forecast: dict[str, Any]) -> str:
    """Such as "1.2 GB of 9.8 GB free on cuda:0, about 40 s"."""
    need, free = forecast["bytes"], forecast["free_bytes"]
    text = _("{need} of {free} free on {device}").format(
        need=memoryText(need), free=memoryText(free), device=forecast["device"]
    )
    if forecast.get("seconds") is not None:
        text = _("{text}, about {seconds:.0f} s").format(text=text, seconds=max(1.0, forecast["seconds"]))
    return _("{text}; it will be done in smaller parts").format(text=text) if need > free else text
