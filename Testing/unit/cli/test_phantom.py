import json

from hrseg.data_list import read_data_list
from hrseg.image import read_image


def test_phantoms_are_written_with_their_list(hrseg, tmp_path):
    out = tmp_path / "[new]"
    done = hrseg("phantom", out, "--cases", 3, "--size", 24, 20, 16, "--spacing", 12, 12, 14, "--truth-spacing", 12)
    assert done.code == 0
    assert done.err == f'Data list: "{out}/datalist.json"\n'
    data = read_data_list(out / "datalist.json")
    assert {split: len(cases) for split, cases in data.splits.items()} == {"training": 2, "validation": 0, "test": 1}
    assert read_image(data.cases("test")[0].image).grid.shape == (16, 20, 24)
    assert len(list((out / "truth").iterdir())) == 3
    assert json.loads((out / "parameters" / "case_000.json").read_text())


def test_wrong_options(hrseg, tmp_path):
    assert hrseg("phantom", tmp_path / "a", "--cases", 0).code == 2
    assert hrseg("phantom", tmp_path / "a", "--size", 0, 1, 1).code == 2
    (tmp_path / "file").touch()
    done = hrseg("phantom", tmp_path / "file" / "a")
    assert done.code == 4
    assert "Cannot make the folder" in done.error
