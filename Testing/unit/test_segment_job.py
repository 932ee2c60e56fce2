from dataclasses import replace
from pathlib import Path

import pytest

from hrseg.errors import InputError, OutputError
from hrseg.labels import Label
from hrseg.segment_job import Job, label_files, plan_job
from training_helpers import LABEL


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def test_one_image_to_one_file(tmp_path):
    (image,) = files(tmp_path, "a.nii")
    job = Job(image, tmp_path / "b.seg.nrrd", tmp_path / "report.txt", tmp_path / "p.mha")
    assert plan_job(job) == job


def test_names_in_folders(tmp_path):
    out = tmp_path / "out"
    job = Job(Path(), out, report=out, probability=out, save_boxes=out, instances=out, resolution="fine")
    image = tmp_path / "a.nii"
    assert job.in_folders(image, "p1/a.1") == Job(
        image,
        out / "p1" / "a.1.nii.gz",
        out / "p1" / "a.1.json",
        out / "p1" / "a.1-probability.nii.gz",
        save_boxes=out / "p1" / "a.1-boxes.mrk.json",
        instances=out / "p1" / "a.1-instances.nii.gz",
        resolution="fine",
    )
    assert replace(job, ending=".png").in_folders(image, "p1/a.1").output == out / "p1" / "a.1.png"


def test_the_files_in_the_end(tmp_path):
    job = Job(Path(), tmp_path / "o.nii", probability=tmp_path / "p.nii.gz")
    assert [path.name for path in job.files(LABEL)] == ["o.nii", "p-ball.nii.gz", "p-cube.nii.gz"]
    assert [path.name for path in job.files(LABEL[:1])] == ["o.nii", "p.nii.gz"]


def test_one_image_to_a_folder_that_exists(tmp_path):
    (image,) = files(tmp_path, "in/a.png")
    assert plan_job(Job(image, tmp_path)) == Job(image, tmp_path / "a.nii.gz")
    (boxes,) = files(tmp_path, "b.json")
    boxes.write_text("[]")
    made = tmp_path / "made" / "here"
    job = Job(image, tmp_path, boxes=(boxes,), propose=True, save_boxes=made)
    assert plan_job(job) == replace(job, output=tmp_path / "a.nii.gz", save_boxes=made / "a-boxes.mrk.json")
    assert made.is_dir()
    with pytest.raises(InputError, match=r'With several images ".*r.json" must be a folder; leave the ending away'):
        plan_job(Job(image, tmp_path, report=tmp_path / "r.json"))


@pytest.mark.parametrize(
    ("image", "output", "options", "message"),
    [
        ("none.nii", "o.nii", {}, 'There is no file ".*none.nii"; check the path'),
        ("a.nii", "o.jpg", {}, r'Cannot write "o.jpg": the name must end in one of .seg.nrrd'),
        ("a.nii", "o.json", {}, 'Cannot write "o.json"'),
        ("a.nii", "o.nii", {"probability": "p.jpg"}, 'Cannot write "p.jpg"'),
        ("a.nii", "a.nii", {}, 'a.nii" is one of the inputs; choose another name or folder'),
        ("a.nii.gz", ".", {}, 'a.nii.gz" is one of the inputs'),
        ("a.nii", "o.nii", {"probability": "o.nii"}, "would be written more than once"),
        ("a.nii", "o.nii", {"report": "x/../o.nii"}, "would be written more than once"),
        ("a.nii", "o.nii", {"instances": "i.jpg"}, 'Cannot write "i.jpg"'),
        ("a.nii", "o.nii", {"save_boxes": "b.nii"}, 'Cannot write boxes to "b.nii": the name must end in .mrk.json'),
        ("a.nii", "o.nii", {"instances": "o.nii"}, "would be written more than once"),
        ("a.nii", "o.nii", {"boxes": "none.json"}, 'Cannot read the boxes file ".*none.json"'),
        ("a.nii", "o.nii", {"boxes": "b.nii"}, 'The boxes file ".*b.nii" is not JSON'),
        ("a.nii", "o.nii", {"boxes": "b.json", "save_boxes": "b.json"}, 'b.json" is one of the inputs'),
    ],
)
def test_plans_that_cannot_work(tmp_path, image, output, options, message):
    files(tmp_path, "a.nii", "b.nii", "x/b.nii", "a.nii.gz")
    options = {key: (tmp_path / name,) if key == "boxes" else tmp_path / name for key, name in options.items()}
    with pytest.raises(InputError, match=message):
        plan_job(Job(tmp_path / image, tmp_path / output, **options))


@pytest.mark.parametrize("role", ["output", "report", "probability", "save_boxes", "instances"])
def test_folders_are_tried_first(tmp_path, role):
    (image,) = files(tmp_path, "a.nii")
    paths = {"output": tmp_path / "o.nii", role: tmp_path / "none" / ("x.json" if role == "save_boxes" else "x.nii")}
    with pytest.raises(OutputError, match=r'Cannot write ".*x.(nii|json)": there is no folder ".*none"'):
        plan_job(Job(image, **paths))


@pytest.mark.parametrize(("name", "stem", "ending"), [("p.1.nii.gz", "p.1", ".nii.gz"), ("s.v1.ply", "s.v1", ".ply")])
def test_files_of_several_labels(name, stem, ending):
    ball, cord = Label(1, "ball", (1, 1, 1)), Label(2, "spinal cord", (1, 1, 1))
    assert label_files(Path(name), [ball]) == [Path(name)]
    assert label_files(Path("x") / name, [ball, cord]) == [
        Path(f"x/{stem}-ball{ending}"),
        Path(f"x/{stem}-spinal-cord{ending}"),
    ]
