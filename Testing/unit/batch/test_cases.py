import json
import os
from pathlib import Path

import pytest

from hrseg.batch.cases import find_cases, kind_of
from hrseg.errors import InputError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def dicom(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM")


def named(cases, base):
    return {case.name: case.image.relative_to(base).as_posix() for case in cases}


def test_what_a_path_stands_for(tmp_path):
    dicom(tmp_path / "series" / "IM0001")
    touch(tmp_path, "old/slice.DCM", "images/a.nii", "index/DICOMDIR", "notes/readme")
    kinds = [kind_of(tmp_path / name) for name in ("series", "old", "images", "index", "notes")]
    assert kinds == ["image", "image", "folder", "folder", "folder"]
    kinds = [kind_of(tmp_path / name) for name in ("a.nii.gz", "none.png", "list.TXT", "list.json")]
    assert kinds == ["image", "image", "list", "data list"]


def test_a_folder_with_all_that_is_in_it(tmp_path):
    touch(
        tmp_path, "b.nii.gz", "a.mha", "p1/ct.nii", "p2/ct.nii", "p2/x.seg.nrrd", "p2/notes.txt", "._a.nii", ".h/a.nii"
    )
    dicom(tmp_path / "p3" / "series" / "1")
    touch(tmp_path, "p3/series/preview.png", "p3/series/deeper/a.nii")
    found = named(find_cases([tmp_path]), tmp_path)
    assert list(found.items()) == [
        ("a", "a.mha"),
        ("b", "b.nii.gz"),
        ("p1/ct", "p1/ct.nii"),
        ("p2/ct", "p2/ct.nii"),
        ("p3/series", "p3/series"),
    ]


def test_names_start_at_the_folder_that_was_given(tmp_path):
    touch(tmp_path, "deep/er/a.nii")
    assert [case.name for case in find_cases([tmp_path])] == ["deep/er/a"]
    assert [case.name for case in find_cases([tmp_path / "deep" / "er" / "a.nii"])] == ["a"]


def test_images_of_one_name_in_several_folders(tmp_path):
    touch(tmp_path, "x/ct.nii", "y/ct.nii", "y/mr.1.nii.gz")
    images = [tmp_path / name for name in ("x/ct.nii", "y/ct.nii", "y/mr.1.nii.gz", "x/../x/ct.nii")]
    assert named(find_cases(images), tmp_path) == {"x/ct": "x/ct.nii", "y/ct": "y/ct.nii", "y/mr.1": "y/mr.1.nii.gz"}


def test_images_that_differ_in_their_ending_alone(tmp_path):
    touch(tmp_path, "a.nii", "a.png", "b.png")
    dicom(tmp_path / "b" / "1")
    assert list(named(find_cases([tmp_path]), tmp_path)) == ["a.nii", "a.png", "b.png", "b"]


def test_folders_of_results_are_not_searched(tmp_path):
    touch(tmp_path, "a.nii", "out/a.nii.gz", "out/p1/b.nii.gz")
    assert named(find_cases([tmp_path], [tmp_path / "out"]), tmp_path) == {"a": "a.nii"}
    with pytest.raises(InputError, match="is the folder of the images and that of the results"):
        find_cases([tmp_path], [tmp_path])


def test_paths_relative_to_where_the_command_runs(tmp_path, monkeypatch):
    touch(tmp_path, "in/a.nii")
    monkeypatch.chdir(tmp_path)
    assert named(find_cases([Path("in")]), tmp_path) == {"a": "in/a.nii"}


def test_a_list_of_paths(tmp_path):
    touch(tmp_path, "lists/near/a.nii")
    text = f"\ufeff# two scans\n\nnear/a.nii\r\n  {tmp_path}/far/b.nii.gz \nnear/a.nii\n"
    (tmp_path / "lists" / "scans.txt").write_text(text, encoding="utf-8")
    # Whether b is there is found out when its turn comes.
    found = named(find_cases([tmp_path / "lists" / "scans.txt"]), tmp_path)
    assert found == {"lists/near/a": "lists/near/a.nii", "far/b": "far/b.nii.gz"}


def test_a_data_list(tmp_path):
    content = {
        "labels": {"1": "liver"},
        "training": [{"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}],
        "test": ["./imagesTs/b.nii.gz", {"image": "imagesTs/c.nii.gz"}],
    }
    path = tmp_path / "data.json"
    path.write_text(json.dumps(content))
    assert [case.name for case in find_cases([path])] == ["imagesTr/a", "imagesTs/b", "imagesTs/c"]
    assert [case.name for case in find_cases([path], split="test")] == ["imagesTs/b", "imagesTs/c"]
    with pytest.raises(InputError, match=r'data.json" has no images in "validation"'):
        find_cases([path], split="validation")
    with pytest.raises(InputError, match='The split "test" is one of a data list'):
        find_cases([tmp_path / "a.nii"], split="test")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, 'Cannot read the list ".*none.txt": No such file'),
        ("empty.txt", "# nothing\n", 'The list ".*empty.txt" names no image'),
        ("bytes.txt", b"\xff\xfe\xfa", 'The list ".*bytes.txt" is not text'),
        ("long.txt", "a.nii\n" + 300 * "x", "'/.*xxx' cannot be the path of an image"),
        ("null.json", '{"test": ["a\\u0000.nii"]}', "cannot be the path of an image"),
        ("none.json", None, 'Cannot read the data list ".*none.json"'),
        ("list.json", "[]", 'The data list ".*list.json" has no images in "training" or'),
        ("rows.json", '{"test": 3}', '"test" must be a list of rows'),
        ("row.json", '{"test": ["a.nii", {"image": 3}, ""]}', "test row 2: .*found {'image': 3}\n.*test row 3"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        find_cases([tmp_path / name])


def test_a_folder_without_images(tmp_path):
    touch(tmp_path, "notes.doc", "x/y/z")
    with pytest.raises(InputError, match=r'The folder ".*" holds no DICOM series and no images; check the path'):
        find_cases([tmp_path])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o300)
    with pytest.raises(InputError, match=r'Cannot read the folder ".*closed": Permission denied'):
        find_cases([tmp_path / "closed"])
