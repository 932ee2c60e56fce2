"""What the widgets of all modules do: refuse a Slicer that is too old, live with their panel, and reload.

Slicer reads this file at every start, also one with Python 3.9: that must be able to.
"""

from __future__ import annotations

import sys
from typing import Any

from slicer.i18n import tr as _

_PYTHON = (3, 11)


class ModuleWidgetMixin:
    """To be put before ``ScriptedLoadableModuleWidget`` among the bases of a module's widget.

    Attributes:
        panel: what :meth:`makePanel` has made; None where this Slicer is too old.
    """

    layout: Any
    parent: Any
    moduleName: str
    panel: Any = None

    def makePanel(self) -> Any:
        """The panel, added to ``layout``. Only here, and in what it calls, newer Python is needed."""
        raise NotImplementedError

    def setup(self) -> None:
        """Makes the panel; after Reload, which enters nothing, the module may be shown already."""
        super().setup()  # type: ignore[misc]
        reason = whyTooOld()
        if reason:
            self._showReason(reason)
            return
        self.panel = self.makePanel()
        entered = getattr(self.parent, "isEntered", False)
        if entered() if callable(entered) else entered:
            self.panel.enter()

    def enter(self) -> None:
        """The module is shown."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        """Another module is shown."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """The module goes away; nothing observes, polls, places or follows any more."""
        if self.panel is not None:
            self.panel.cleanup()

    def onReload(self) -> None:
        """Has Reload read the module's own parts and the shared ones anew; ``hrseg`` needs a restart."""
        _endWorker()
        own = (f"{self.moduleName}Lib", __name__.split(".")[0])
        for name in [name for name in sys.modules if name.split(".")[0] in own]:
            del sys.modules[name]
        super().onReload()  # type: ignore[misc]

    def _showReason(self, reason: str) -> None:
        import qt

        self.reasonLabel = qt.QLabel(reason)
        self.reasonLabel.wordWrap = True
        self.layout.addWidget(self.reasonLabel)
        self.layout.addStretch(1)


def whyTooOld() -> str:
    """Why nothing of the extension runs in this Slicer; "" if it does."""
    if sys.version_info >= _PYTHON:
        return ""
    text = _("HighResSegmentation needs Slicer 5.10 or newer, whose Python is 3.11 or newer; this one has {here}.")
    return text.format(here=".".join(map(str, sys.version_info[:3])))


def _endWorker() -> None:
    """Ends the worker that the modules share, if there is one: what is read anew starts its own."""
    jobs = sys.modules.get(f"{__name__.split('.')[0]}.Jobs")
    if jobs is not None and jobs.sharedJobs.cache_info().currsize:
        jobs.sharedJobs().close()
