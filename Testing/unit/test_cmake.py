"""What CMake installs is what the tree holds, and the catalogue's files agree with each other."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest

from extension_layout import MODULES, ROOT, bundled_models, listed, settings

#: Slicer accepts these and no others in the catalogue.
KEYS = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "build_subdirectory"} | {
    "enabled",
    "tier",
}


def files(folder: Path, pattern: str) -> list[str]:
    found = [path.relative_to(folder) for path in folder.rglob(pattern) if path.is_file()]
    return [path.as_posix() for path in found if not {"__pycache__", "Testing"} & set(path.parts)]


@pytest.mark.parametrize("module", MODULES)
def test_every_script_is_listed(module: str) -> None:
    assert listed(module, "MODULE_PYTHON_SCRIPTS") == sorted(files(ROOT / module, "*.py"), key=str.lower)


@pytest.mark.parametrize("module", MODULES)
def test_every_resource_is_listed(module: str) -> None:
    expected = [f"Resources/{name}" for name in files(ROOT / module / "Resources", "*")]
    assert listed(module, "MODULE_PYTHON_RESOURCES") == sorted(expected, key=str.lower)


def test_every_bundled_model_is_listed() -> None:
    assert [path.name for path in bundled_models()] == sorted(files(ROOT / "Resources/Models", "*.safetensors"))


def test_every_module_is_added() -> None:
    text = (ROOT / "CMakeLists.txt").read_text()
    with_lists = sorted(path.parent.name for path in ROOT.glob("*/CMakeLists.txt"))
    assert sorted(re.findall(r"^add_subdirectory\((\w+)\)", text, re.M)) == with_lists == sorted(MODULES)
    assert text.index("## NEXT_MODULE") > max(text.index(f"add_subdirectory({module})") for module in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_module_folder(module: str) -> None:
    """Slicer takes every script in a module's folder for a module, and finds the icon by the module's name."""
    assert [path.name for path in (ROOT / module).glob("*.py")] == [f"{module}.py"]
    assert (ROOT / module / "Resources" / "Icons" / f"{module}.png").is_file()
    assert settings(module)["MODULE_NAME"] == module
    text = (ROOT / module / "CMakeLists.txt").read_text()
    assert "WITH_GENERIC_TESTS" in text
    assert "slicer_add_python_unittest(SCRIPT ${MODULE_NAME}.py)" in text


def test_names_are_unique_where_all_modules_are_installed_in_one_folder() -> None:
    kinds = ("MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES")
    names = [name.lower() for module in MODULES for kind in kinds for name in listed(module, kind)]
    assert len(names) == len(set(names))


def test_tests_for_ctest_exist() -> None:
    text = (ROOT / "Testing/Python/CMakeLists.txt").read_text()
    scripts = re.findall(r"SCRIPT (\S+?)\)?\s", text)
    assert sorted(scripts) == sorted(path.name for path in (ROOT / "Testing/Python").glob("*.py"))


def test_catalogue_agrees_with_cmake() -> None:
    entry = json.loads((ROOT / "HighResSegmentation.json").read_text())
    text, extension = (ROOT / "CMakeLists.txt").read_text(), settings("")
    assert set(entry) <= KEYS
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert "project(HighResSegmentation)" in text
    assert entry["category"] == extension["EXTENSION_CATEGORY"]
    assert entry["build_dependencies"] == [extension["EXTENSION_DEPENDS"]]
    assert entry["scm_url"] == extension["HOME_URL"] + ".git"
    assert extension["RAW_URL"].startswith(
        extension["HOME_URL"].replace("https://github.com", "https://raw.githubusercontent.com") + "/"
    )


def test_the_repository_has_one_address() -> None:
    """Where a text names it, help texts and pages among them, it is that of CMake."""
    owned = re.compile(r"github(?:usercontent)?\.com/([\w-]+)/SlicerHighResSegmentation\b")
    suffixes = {".py", ".md", ".ui", ".json", ".txt"}
    paths = [*ROOT.glob("*.*"), *(path for part in (*MODULES, "docs") for path in (ROOT / part).rglob("*.*"))]
    texts = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in paths if path.suffix in suffixes}
    found = {path.as_posix(): set(owned.findall(text)) for path, text in texts.items() if owned.search(text)}
    owner = set(owned.findall(settings("")["HOME_URL"]))
    links = "HighResCore/HighResSegmentationLib/Links.py"
    places = ("CMakeLists.txt", "CONTRIBUTING.md", "HighResSegmentation.json", links)
    assert found == dict.fromkeys(places, owner)


def test_pictures_of_the_catalogue_are_there() -> None:
    extension = settings("")
    urls = [extension["EXTENSION_ICONURL"], *extension["EXTENSION_SCREENSHOTURLS"].split()]
    assert all(url.startswith("${RAW_URL}/") for url in urls)
    named = [url.removeprefix("${RAW_URL}/") for url in urls]
    shown = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "Resources/Screenshots").glob("*.png"))
    assert named == ["HighResSegmentation.png", *shown]


def test_icons_have_the_size_that_slicer_wants() -> None:
    for icon in (ROOT / "HighResSegmentation.png", *(ROOT / m / "Resources/Icons" / f"{m}.png" for m in MODULES)):
        head = icon.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", head[16:24]) == (128, 128), icon


def test_pyproject_has_the_same_requirements() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    file = project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"][0]
    assert file.removeprefix("HighResCore/") in listed("HighResCore", "MODULE_PYTHON_RESOURCES")
    text = (ROOT / "HighResCore/HighResSegmentationLib/Requirements.py").read_text()
    assert f'MINIMUM_PYTHON = "{project["project"]["requires-python"].removeprefix(">=")}"' in text
