"""A label map of one slice, shown in one slice view as the label layer; what the view showed there comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from slicer.i18n import tr as _

import slicer
from OSSNetLib.Outputs import colorTable, setLabels

_OPACITY = 0.5
# How it was, kept in the nodes that are changed: a scene may be saved meanwhile, which Slicer announces to nobody.
_OPACITY_BEFORE, _LABEL_BEFORE = "HighResSegmentation.OpacityBefore", "HighResSegmentation.LabelBefore"
_COVERED, _VIEWS_BEFORE = "HighResSegmentation.Covered", "HighResSegmentation.ViewsBefore"
#: No views at all would mean all of them.
_NOWHERE = "vtkMRMLSliceNodeNowhere"


class SliceOverlay:
    """Nodes that are neither listed nor saved.

    Args:
        sliceNode: of the view.
        covered: nodes with a display of their own, such as coarser segmentations, that the view does not show
            meanwhile.
    """

    def __init__(self, sliceNode: Any, covered: Sequence[Any] = ()) -> None:
        self._composite = compositeOf(sliceNode)
        self._scene = sliceNode.GetScene()
        self._volume: Any = None
        self._colors: Any = None
        self._labels: Any = None
        self._composite.SetNodeReferenceID(_LABEL_BEFORE, self._composite.GetLabelVolumeID())
        self._composite.SetAttribute(_OPACITY_BEFORE, str(self._composite.GetLabelOpacity()))
        self._covered = [display for node in covered if (display := node.GetDisplayNode())]
        for display in self._covered:
            _cover(display, sliceNode)

    def show(self, result: Mapping[str, Any], array: NDArray, affine: NDArray) -> None:
        """Shows labels (1, J, I) of a result; ``affine``: 4x4, (i, j, k, 1) to RAS mm of the world."""
        if self._volume is None:
            self._volume = self._scene.CreateNodeByClass("vtkMRMLLabelMapVolumeNode")
            self._volume.UnRegister(None)
            self._volume.SetName(_("Followed slice"))
            # Hidden before it is added: the list of data asks only then.
            self._scene.AddNode(self._hidden(self._volume))
            self._volume.CreateDefaultDisplayNodes()
            self._hidden(self._volume.GetDisplayNode())
        setLabels(self._volume, array, affine)
        if self._labels != result["labels"]:
            self._labels = result["labels"]
            self._drop(self._colors)
            self._colors = self._hidden(colorTable(result, self._scene, _("Followed slice")))
            self._volume.GetDisplayNode().SetAndObserveColorNodeID(self._colors.GetID())
        if self._composite.GetLabelVolumeID() != self._volume.GetID():
            with slicer.util.NodeModify(self._composite):
                self._composite.SetLabelVolumeID(self._volume.GetID())
                self._composite.SetLabelOpacity(_OPACITY)

    def remove(self) -> None:
        """Takes the overlay away."""
        shown = self._volume is not None and self._composite.GetLabelVolumeID() == self._volume.GetID()
        _restoreLabel(self._composite, shown=shown)
        for display in self._covered:
            _uncover(display)
        for node in (self._volume and self._volume.GetDisplayNode(), self._volume, self._colors):
            self._drop(node)
        self._volume = self._colors = None
        self._covered = []

    @staticmethod
    def _hidden(node: Any) -> Any:
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        return node

    def _drop(self, node: Any) -> None:
        if node is not None and self._scene.IsNodePresent(node):
            self._scene.RemoveNode(node)


def compositeOf(sliceNode: Any) -> Any:
    """The node that says which volumes a slice view shows.

    Raises:
        InputError: no slice view, or one without it.
    """
    from hrseg.errors import InputError

    if sliceNode is None:
        raise InputError(_("No slice view is chosen; choose the one to follow."))
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", sliceNode.GetScene()):
        if node.GetLayoutName() == sliceNode.GetLayoutName():
            return node
    raise InputError(
        _('The slice view "{name}" shows no volumes; choose another one.').format(name=sliceNode.GetName())
    )


def restoreViews(scene: Any) -> None:
    """Views and displays of a loaded scene as they were before a slice was followed, where it was saved meanwhile."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode", scene):
        if composite.GetAttribute(_OPACITY_BEFORE) is not None:
            _restoreLabel(composite, shown=scene.GetNodeByID(composite.GetLabelVolumeID() or "") is None)
    for display in slicer.util.getNodesByClass("vtkMRMLDisplayNode", scene):
        if display.GetAttribute(_COVERED) is not None:
            _uncover(display)


def _restoreLabel(composite: Any, *, shown: bool) -> None:
    """The label layer as it was, where an overlay is ``shown`` and not what the user has chosen since."""
    if shown:
        with slicer.util.NodeModify(composite):
            composite.SetLabelVolumeID(composite.GetNodeReferenceID(_LABEL_BEFORE))
            composite.SetLabelOpacity(float(composite.GetAttribute(_OPACITY_BEFORE)))
    composite.RemoveNodeReferenceIDs(_LABEL_BEFORE)
    composite.RemoveAttribute(_OPACITY_BEFORE)


def _cover(display: Any, sliceNode: Any) -> None:
    """Shows a node in all views but this one."""
    shownIn = _viewIDs(display)
    others = [node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLAbstractViewNode")]
    display.SetAttribute(_COVERED, "true")
    for view in shownIn:
        display.AddNodeReferenceID(_VIEWS_BEFORE, view)
    _setViewIDs(display, [view for view in shownIn or others if view != sliceNode.GetID()] or [_NOWHERE])


def _uncover(display: Any) -> None:
    number = display.GetNumberOfNodeReferences(_VIEWS_BEFORE)
    _setViewIDs(display, [display.GetNthNodeReferenceID(_VIEWS_BEFORE, n) for n in range(number)])
    display.RemoveNodeReferenceIDs(_VIEWS_BEFORE)
    display.RemoveAttribute(_COVERED)


def _viewIDs(display: Any) -> list[str]:
    """The views that show a node; none for all."""
    return [display.GetNthViewNodeID(n) for n in range(display.GetNumberOfViewNodeIDs())]


def _setViewIDs(display: Any, identifiers: list[str]) -> None:
    with slicer.util.NodeModify(display):
        display.RemoveAllViewNodeIDs()
        for identifier in identifiers:
            display.AddViewNodeID(identifier)
