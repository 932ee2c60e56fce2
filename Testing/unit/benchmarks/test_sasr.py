"""The tables of SASR-Net: lesions by size, and rows from stored metrics."""

import json

import numpy as np
import pytest

from hrseg.errors import InputError
from hrseg.labels import Label
from model_helpers import tiny_header


def masks():
    """Two lesions 3 and 27 voxels large, in a volume of (5, 10, 30)."""
    truth = np.zeros((5, 10, 30), bool)
    truth[1, 4, 2:5] = True
    truth[1:4, 4:7, 20:23] = True
    return truth, truth.copy()


@pytest.mark.parametrize(
    ("names", "value"),
    [(["lesion"], 1), (["liver", "liver lesion"], 2), (["liver"], None), (["lesion", "liver lesion"], None)],
)
def test_which_label_is_of_lesions(names, value):
    from sasr_lesions import lesion_value

    header = tiny_header(labels=[Label(n, name, (n, n, n)) for n, name in enumerate(names, 1)])
    if value:
        assert lesion_value(header) == value
    else:
        with pytest.raises(InputError, match=r'^[02] of the labels of the model "tiny" are called lesion;'):
            lesion_value(header)


def test_perfect_and_missed_lesions():
    from sasr_lesions import lesion_scores

    truth, found = masks()
    scores = lesion_scores(found, truth, 1.0)
    assert scores.lesions[:, 0] == pytest.approx([(18 / np.pi) ** (1 / 3), (162 / np.pi) ** (1 / 3)])
    assert scores.lesions[:, 1:].tolist() == [[1, 1], [1, 1]]
    assert scores.wrong.tolist() == []
    found[:, :, :10] = False
    assert lesion_scores(found, truth, 1.0).lesions[:, 1:].tolist() == [[0, 0], [1, 1]]
    assert lesion_scores(found & False, truth, 1.0).lesions[:, 1:].tolist() == [[0, 0], [0, 0]]
    assert lesion_scores(found, truth & False, 1.0).lesions.shape == (0, 3)


def test_what_leaks_far_counts_and_what_touches_nothing_is_wrong():
    from sasr_lesions import f1, lesion_scores

    truth, found = masks()
    found[2, 5, 23:30] = True
    found[4, 9, :8] = True
    scores = lesion_scores(found, truth, 8.0)
    # The second lesion's piece has 27 + 7 voxels; 8 voxels of 8 cubic mm belong to no lesion.
    assert scores.lesions[:, 2] == pytest.approx([1, 54 / (27 + 34)])
    assert scores.wrong == pytest.approx([(6 * 64 / np.pi) ** (1 / 3)])
    assert f1(scores) == pytest.approx(4 / 5)


def test_a_mask_over_two_lesions_is_parted_between_them():
    from sasr_lesions import lesion_scores

    truth, found = masks()
    found[1, 4, 2:23] = True
    # Of the 15 voxels between both the column 12 is as near to one as to the other.
    first, second = lesion_scores(found, truth, 1.0).lesions[:, 2]
    assert 6 / (3 + 3 + 7) >= first >= 6 / (3 + 3 + 8)
    assert 54 / (27 + 27 + 7) >= second >= 54 / (27 + 27 + 8)


def test_f1_by_size():
    from sasr_lesions import Scores, by_size, dice, f1

    scores = Scores(np.array([[4.0, 1, 0.5], [4.5, 0, 0.0], [12.0, 1, 1.0]]), np.array([3.0, 40.0]))
    parts = list(by_size(scores))
    assert [f1(part) for part in parts] == [pytest.approx(4 / 7), 0.5, None, 1, None, 0]
    assert [dice(part) is None for part in parts] == [False, False, True, False, True, True]
    assert dice(parts[1])[0] == 0.25


def stored(folder, name, dices, **data):
    cases = [
        {"name": f"c{n}", "labels": {"lesion": {"dice": dice, "surface_dice": dice, "hd95_mm": 2.0, "truth_ml": n + 1}}}
        for n, dice in enumerate(dices)
    ]
    (folder / f"{name}.json").write_text(json.dumps({"model": {}, "data": data, "cases": cases}))


def test_tables_of_stored_metrics(tmp_path, capsys):
    from sasr_table import print_tables, read_rows

    stored(tmp_path, "full-0", [0.5, 0.6, 0.7, 0.8, 0.9, 0.9], unit="pixels")
    stored(tmp_path, "unet-0", [0.3, 0.4, 0.7, 0.8, 0.9, 0.9], unit="pixels")
    (tmp_path / "other.json").write_text("{}")
    rows = read_rows(tmp_path)
    assert list(rows) == ["unet-0", "full-0"]
    print_tables(rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| row | Dice | Dice - unet (95 % interval) | surface Dice | HD95 [pixels] |")
    assert lines[2].startswith("| unet-0 | 66.7 |  | 66.7 | 2.00 | – | – | – |")
    # Two of six differences are 20 points.
    assert lines[3].startswith("| full-0 | 73.3 | +6.7 (+0.0 … +13.3) |")
    assert lines[5] == "Dice by size of the lesions of a case: small up to 2,667 pixels, large above 4,333 pixels."
    assert lines[-1] == (
        "| full-0 | 55.0 (2) | +20.0 (+20.0 … +20.0) | 75.0 (2) | +0.0 (+0.0 … +0.0) | 90.0 (2) | +0.0 (+0.0 … +0.0) |"
    )


def test_a_folder_without_rows(tmp_path):
    from sasr_table import read_rows

    from hrseg.errors import InputError

    with pytest.raises(InputError, match="has no metrics of unet, head, sr, sdc"):
        read_rows(tmp_path)
