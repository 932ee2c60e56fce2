"""Slicer's scene without its application: the genuine MRML and C++ logics of slicer-core behind the usual names.

Stand-ins are only the thin Qt-side objects: ``slicer.app``, ``slicer.modules`` and the IO manager, through which
``slicer.util.loadVolume`` and the like find the genuine storage nodes.
"""

# ruff: noqa: N802, N815 -- the stand-ins have the names that Slicer gave the originals.

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import vtk


def _import_slicer() -> types.ModuleType:
    """``import slicer`` takes in the modules of every folder of that name on sys.path: keep this one out."""
    here, kept = Path(__file__).resolve().parent, sys.path[:]
    sys.path[:] = [entry for entry in kept if Path(entry, "slicer").resolve() != here]
    try:
        import slicer
    finally:
        sys.path[:] = kept
    return slicer


slicer = _import_slicer()

#: The order matters: units, terminologies, hierarchy and colours come before what uses them.
_LOGICS = {
    "Units": "vtkSlicerUnitsLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Colors": "vtkSlicerColorLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "ViewControllers": "vtkSlicerViewControllersLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
}
_FILE_TYPES = {
    (".seg.nrrd", ".seg.nii", ".seg.nii.gz"): "SegmentationFile",
    (".mrk.json", ".fcsv"): "MarkupsFile",
    (".vtk", ".vtp", ".stl", ".ply", ".obj"): "ModelFile",
    (".h5", ".tfm", ".mat"): "TransformFile",
    (".csv", ".tsv"): "TableFile",
    (".mrml", ".mrb"): "SceneFile",
    (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".tif", ".dcm"): "VolumeFile",
}

#: Text of every VTK error since :func:`boot`: VTK's classes do not raise.
vtk_errors: list[str] = []


class _Module:
    def __init__(self, name: str, logic: Any) -> None:
        self.name, self._logic = name, logic

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> None:
        return None


class _IOManager:
    """The methods of qSlicerCoreIOManager that ``slicer.util`` calls."""

    def __init__(self, app: _App) -> None:
        self._app = app

    def fileType(self, name: str) -> str:
        lower = str(name).lower()
        return next((kind for ends, kind in _FILE_TYPES.items() if lower.endswith(ends)), "NoFile")

    def loadNodes(self, kind: str, properties: dict[str, Any], loaded: Any, messages: Any) -> bool:
        file = str(properties["fileName"])
        if not os.path.exists(file):
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"File not found: {file}")
            return False
        if kind == "SceneFile":
            return self._load_scene(file, bool(properties.get("clear")))
        node = self._load_node(kind, file, properties)
        if node is not None:
            loaded.AddItem(node)
        return node is not None

    def _load_node(self, kind: str, file: str, properties: dict[str, Any]) -> Any:
        logics, name = self._app.logics, properties.get("name") or Path(file).name.split(".")[0]
        if kind == "VolumeFile":
            flags = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}
            chosen = {"autoWindowLevel": True, **properties}
            options = sum(bit for flag, bit in flags.items() if chosen.get(flag))
            return logics["Volumes"].AddArchetypeVolume(file, name, options)
        if kind == "SegmentationFile":
            return logics["Segmentations"].LoadSegmentationFromFile(file, True, name)
        if kind == "MarkupsFile":
            return slicer.mrmlScene.GetNodeByID(logics["Markups"].LoadMarkups(file, name))
        if kind == "ModelFile":
            return logics["Models"].AddModel(file)
        if kind == "TransformFile":
            return logics["Transforms"].AddTransform(file, slicer.mrmlScene)
        return logics["Tables"].AddTable(file, name) if kind == "TableFile" else None

    def _load_scene(self, file: str, clear: bool) -> bool:
        if file.endswith(".mrb"):
            return bool(self._app.applicationLogic().OpenSlicerDataBundle(file, tempfile.mkdtemp()))
        slicer.mrmlScene.SetURL(file)
        return bool(slicer.mrmlScene.Connect() if clear else slicer.mrmlScene.Import())

    def fileWriterFileType(self, node: Any) -> str:
        return node.GetClassName()

    def saveNodes(self, kind: str, properties: dict[str, Any], messages: Any) -> bool:
        file, scene = str(properties["fileName"]), slicer.mrmlScene
        if kind == "SceneFile":
            scene.SetURL(file)
            scene.SetRootDirectory(os.path.dirname(os.path.abspath(file)))
            return bool(scene.WriteToMRB(file) if file.endswith(".mrb") else scene.Commit(file))
        node = scene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(file)
        node.GetStorageNode().SetUseCompression(int(properties.get("useCompression", 1)))
        return bool(node.GetStorageNode().WriteData(node))


class _App:
    applicationName = "Slicer"

    def __init__(self, logic: Any, temporary: str) -> None:
        self._logic, self.temporaryPath = logic, temporary
        self.logics: dict[str, Any] = {}
        self._io = _IOManager(self)

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def applicationLogic(self) -> Any:
        return self._logic

    def coreIOManager(self) -> _IOManager:
        return self._io

    ioManager = coreIOManager

    def layoutManager(self) -> None:
        return None

    def testingEnabled(self) -> bool:
        return True

    def processEvents(self, *_: Any) -> None:
        pass

    pauseRender = resumeRender = setOverrideCursor = restoreOverrideCursor = processEvents


def boot() -> None:
    """Sets up ``slicer.mrmlScene``, ``slicer.app`` and ``slicer.modules``. Once per process."""
    _record_errors()
    root = Path(tempfile.mkdtemp(prefix="slicer-test-"))
    share = _write_share(root / "share")
    logic, scene = slicer.vtkSlicerApplicationLogic(), slicer.vtkMRMLScene()
    slicer.mrmlScene, slicer.modules = scene, types.SimpleNamespace()
    slicer.app = app = _App(logic, str(root))
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    logic.SetTemporaryPath(str(root))
    logic.SetHomeDirectory(str(root))
    logic.SetShareDirectory(share.name)
    logic.SetMRMLScene(scene)
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    for name, kind in _LOGICS.items():
        module = getattr(slicer, kind)()
        if hasattr(module, "SetModuleShareDirectory"):
            module.SetModuleShareDirectory(str(share / name))
        module.SetMRMLApplicationLogic(logic)
        module.SetMRMLScene(scene)
        logic.SetModuleLogic(name, module)
        app.logics[name] = module
        setattr(slicer.modules, name.lower(), _Module(name, module))
    logic.SetColorLogic(app.logics["Colors"])
    _mirror_hierarchy(scene)
    if vtk_errors:
        raise RuntimeError(f"The start was not silent: {vtk_errors}")


def _record_errors() -> None:
    @vtk.calldata_type(vtk.VTK_STRING)
    def remember(caller: Any, event: str, text: str) -> None:
        vtk_errors.append(text)

    window = vtk.vtkOutputWindow.GetInstance()
    window.SetDisplayModeToAlwaysStdErr()
    window.AddObserver("ErrorEvent", remember)


def _write_share(share: Path) -> Path:
    """The resource files that the logics look for: the published terminologies, and colour tables of our own."""
    spec = importlib.util.find_spec("trame_slicer")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent / "resources" / "terminologies", share / "Terminologies")
    (share / "ColorFiles").mkdir()
    for name in ("GenericColors", "GenericAnatomyColors"):
        table = "# Color table file\n0 background 0 0 0 0\n1 one 128 174 128 255\n2 two 241 214 145 255\n"
        (share / "ColorFiles" / f"{name}.txt").write_text(table)
    return share


def _mirror_hierarchy(scene: Any) -> None:
    """One hierarchy item per data node, as Slicer's Qt plugins keep."""
    hierarchy, owned = slicer.vtkMRMLSubjectHierarchyNode, ("vtkMRMLDisplayableNode", "vtkMRMLTableNode")

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller: Any, event: str, node: Any) -> None:
        if scene.IsImporting() or node.GetHideFromEditors() or not any(node.IsA(kind) for kind in owned):
            return
        tree = hierarchy.GetSubjectHierarchyNode(scene)
        if not tree.GetItemByDataNode(node):
            tree.CreateItem(tree.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def removing(caller: Any, event: str, node: Any) -> None:
        if not scene.IsClosing() and not node.IsA("vtkMRMLSubjectHierarchyNode"):
            tree = hierarchy.GetSubjectHierarchyNode(scene)
            if tree.GetItemByDataNode(node):
                tree.RemoveItem(tree.GetItemByDataNode(node), False, False)

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removing)
    scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, lambda *_: hierarchy.ResolveSubjectHierarchy(scene))
