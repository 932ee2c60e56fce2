"""Choice of a model, with what it says of itself underneath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import qt
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from HighResSegmentationLib.Models import ModelEntry


#: Pixels beside a title in the list: of its frame and its scroll bar.
_MARGIN = 24


class ModelPanel:
    """A list of models by title, and the details of the chosen one.

    Args:
        holder: an empty widget of the panel.
        listModels: the models there are.
        onChosen: called with the name when the user chooses another one.

    Attributes:
        entries: the models listed.
    """

    def __init__(
        self, holder: qt.QWidget, listModels: Callable[[], Sequence[ModelEntry]], onChosen: Callable[[str], None]
    ) -> None:
        self._listModels, self._onChosen = listModels, onChosen
        self.entries: list[ModelEntry] = []
        layout = qt.QVBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        self.comboBox, self.detailsLabel = qt.QComboBox(), qt.QLabel()
        self.comboBox.name = "modelComboBox"
        self.comboBox.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        self.detailsLabel.wordWrap = True
        layout.addWidget(self.comboBox)
        layout.addWidget(self.detailsLabel)
        self.comboBox.connect("activated(int)", self._activated)
        self.refresh("")

    @property
    def entry(self) -> ModelEntry | None:
        """The chosen model, if there is one that can be used."""
        index = self.comboBox.currentIndex
        return self.entries[index] if 0 <= index < len(self.entries) else None

    def refresh(self, name: str) -> None:
        """Lists the models anew; ``name`` stays or becomes the chosen one."""
        self.entries = list(self._listModels())
        self.comboBox.clear()
        for entry in self.entries:
            self.comboBox.addItem(entry.title)
        # Titles that begin alike are told apart in the list, however narrow the panel is.
        titles = self.comboBox.view()
        titles.setMinimumWidth(titles.sizeHintForColumn(0) + _MARGIN)
        self.comboBox.enabled = bool(self.entries)
        self.choose(name)

    def choose(self, name: str) -> None:
        """Shows the model of that name as the chosen one; "" where there is none."""
        names = [entry.name for entry in self.entries]
        self.comboBox.setCurrentIndex(names.index(name) if name in names else -1)
        tip = _(
            "The model, which decides what is segmented. Your own are files in the folder "
            ".HighResSegmentation/models in your home folder."
        )
        self.comboBox.toolTip = f"{self.entry.title} ({self.entry.name})\n{tip}" if self.entry else tip
        self.detailsLabel.text = self._details(name)
        self.detailsLabel.toolTip = _detailsTip(self.entry)

    def _details(self, name: str) -> str:
        entry = self.entry
        if entry is None and not self.entries:
            return _(
                "There is no model for this method; put one into the folder "
                "<tt>.HighResSegmentation/models</tt> in your home folder."
            )
        if entry is None:
            return _('The model "{name}" is not on this computer.').format(name=name) if name else ""
        if entry.problem:
            return entry.problem
        labels = ", ".join(entry.labels)
        parts = [_("Finds: {labels}").format(labels=labels), entry.accuracy, entry.licence]
        return "<small>" + "<br>".join(_escaped(part) for part in parts if part) + "</small>"

    def _activated(self, index: int) -> None:
        entry = self.entry
        if entry is not None:
            self.choose(entry.name)
            self._onChosen(entry.name)


def _detailsTip(entry: ModelEntry | None) -> str:
    """What to know before a model is used, as rich text, which Qt wraps: intended use, then limitations."""
    tip = _("What the model finds, how well it did on images that it had never seen, license.")
    if entry is None:
        return tip
    limitations = "".join(f"<li>{_escaped(text)}</li>" for text in entry.limitations)
    parts = [_escaped(entry.intendedUse), _("Limitations:") + f"<ul>{limitations}</ul>" if limitations else ""]
    return "".join(f"<p>{part}</p>" for part in (tip, *parts) if part)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
