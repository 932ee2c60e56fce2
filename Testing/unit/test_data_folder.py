from pathlib import Path

import pytest

from hrseg.data_folder import find_pairs
from hrseg.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Makes empty files; returns what is paired, with the paths below the folder."""

    def make(*names, **options):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        pairs = find_pairs(tmp_path, **options)
        place = lambda path: path.relative_to(tmp_path).as_posix()  # noqa: E731
        rows = {pair.name: (place(pair.image), place(pair.label), pair.test) for pair in pairs.found}
        return rows, [place(path) for path in [*pairs.images_alone, *pairs.labels_alone]]

    return make


def test_the_decathlon(folder):
    names = ["imagesTr/liver_1.nii.gz", "imagesTr/._liver_1.nii.gz", "labelsTr/liver_1.nii.gz", "imagesTs/b.nii.gz"]
    assert folder(*names) == ({"liver_1": ("imagesTr/liver_1.nii.gz", "labelsTr/liver_1.nii.gz", False)}, [])


def test_nnunet_keeps_its_own_test_cases(folder):
    rows, alone = folder(
        *("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTs/b_0000.nii.gz", "labelsTs/b.nii.gz"),
        *("imagesTr/case_0007.mha", "labelsTr/case_0007.mha"),
    )
    assert rows == {
        "a": ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", False),
        "b": ("imagesTs/b_0000.nii.gz", "labelsTs/b.nii.gz", True),
        "case_0007": ("imagesTr/case_0007.mha", "labelsTr/case_0007.mha", False),
    }
    assert alone == []


def test_one_of_several_channels_is_chosen(folder):
    names = ["imagesTr/a_0000.nrrd", "imagesTr/a_0002.nrrd", "labelsTr/a.nrrd"]
    with pytest.raises(InputError, match='"a" has the channels 0, 2, a file each; say by --channel'):
        folder(*names)
    with pytest.raises(InputError, match='"a" has no channel 1; it has 0, 2'):
        folder(channel=1)
    # The other channel does not lack a label map.
    assert folder(channel=2) == ({"a": ("imagesTr/a_0002.nrrd", "labelsTr/a.nrrd", False)}, [])


@pytest.mark.parametrize(("labels", "name"), [("labels", "a"), ("masks", "a_mask"), ("segmentations", "a-Label")])
def test_images_beside_labels(folder, labels, name):
    rows, alone = folder("images/p1/a.jpg", f"{labels}/p1/{name}.png", "images/b.jpg", "images/notes.txt", "c.jpg")
    assert rows == {"p1/a": ("images/p1/a.jpg", f"{labels}/p1/{name}.png", False)}
    assert alone == ["images/b.jpg"]


def test_the_folder_of_labels_may_be_named(folder):
    names = ("images/a.png", "labels/a.png", "masks/a.png")
    with pytest.raises(InputError, match="has labels and masks; say by --label-folder"):
        folder(*names)
    assert folder(label_folder="masks")[0]["a"][1] == "masks/a.png"
    with pytest.raises(InputError, match="has no folder truth; say"):
        folder(label_folder="truth")


@pytest.mark.parametrize(
    "label",
    ["a-labels.nrrd", "a_label.nii.gz", "a_seg.mha", "a.mask.png", "a_gt.nii", "a.seg.nrrd", "a-label.seg.nrrd"],
)
def test_side_by_side(folder, label):
    rows, alone = folder("x/a.nii.gz", f"x/{label}", "y/b.nii.gz", f"z/{label}")
    assert rows == {"x/a": ("x/a.nii.gz", f"x/{label}", False)}
    assert alone == ["y/b.nii.gz", f"z/{label}"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.nii", "a_seg.nii", "a_mask.nii"], 'image "a" has the label maps ".*a_mask.nii" and ".*a_seg.nii"; keep'),
        (["a.nii", "a.png", "a_seg.nii"], 'a.nii" and ".*a.png" have one name; keep one'),
        (["a.nii", "b_seg.nii"], "holds no image with a label map; put the images into"),
        ([], "holds no image with a label map"),
        (["images/a.nii"], "has no folder labels or masks or segmentations; say by"),
    ],
)
def test_what_cannot_be_used(folder, names, message):
    with pytest.raises(InputError, match=message):
        folder(*names)


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match=r'There is no folder ".*none"; check the path'):
        find_pairs(Path(tmp_path / "none"))
