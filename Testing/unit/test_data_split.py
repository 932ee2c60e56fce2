from pathlib import Path

import pytest

from hrseg.data_folder import Pair
from hrseg.data_split import split_pairs
from hrseg.errors import InputError


def pairs(*names, test=False):
    return [Pair(name, Path(f"{name}.nii"), Path(f"{name}-labels.nii"), test) for name in names]


def names(parts):
    return {split: [pair.name for pair in part] for split, part in parts.items()}


def sizes(parts):
    return [len(part) for part in parts.values()]


TEN = pairs(*(f"p{n}" for n in range(10)))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [((60, 20, 20), [6, 2, 2]), ((0.8, 0.2, 0), [8, 2, 0]), ((97, 1, 2), [8, 1, 1]), ((1, 0, 0), [10, 0, 0])],
)
def test_shares(shares, expected):
    parts = split_pairs(TEN, shares)
    assert sizes(parts) == expected
    assert sorted(name for part in names(parts).values() for name in part) == [pair.name for pair in TEN]
    assert all(part == sorted(part) for part in names(parts).values())


def test_the_same_however_the_folder_lists_its_files():
    parts = names(split_pairs(TEN))
    assert names(split_pairs(TEN[::-1])) == parts
    assert names(split_pairs(TEN, seed=1)) != parts
    # As computed once: other versions of Python must not move cases to another split.
    assert parts["test"] == ["p6", "p9"]


@pytest.mark.parametrize("pattern", ["^p[0-9]", "^(p[0-9])_"])
def test_groups_stay_together(pattern):
    scans = pairs(*(f"p{patient}_{scan}" for patient in range(5) for scan in "ab"))
    parts = names(split_pairs(scans, group=pattern))
    assert [len(part) for part in parts.values()] == [6, 2, 2]
    patients = [{name[:2] for name in part} for part in parts.values()]
    assert sum(map(len, patients)) == 5


def test_the_data_sets_own_test_cases():
    parts = split_pairs([*TEN, *pairs("t2", "t1", test=True)], (60, 20, 20))
    assert names(parts)["test"] == ["t1", "t2"]
    # 60 to 20 of ten: 2.5 for validation.
    assert sizes(parts) == [8, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": (0, 50, 50)}, "The shares 0 50 50 must be numbers from 0"),
        ({"shares": (60, -1, 20)}, "The shares 60 -1 20 must"),
        ({"shares": (60, float("nan"), 20)}, "The shares 60 nan 20 must"),
        ({"shares": (1, 50, 50)}, "10 cases or groups are too few for the shares 1 50 50"),
        ({"group": "("}, r'The pattern "\(" of --group is no regular expression'),
        ({"group": "^(q)?p[1-9]"}, 'finds nothing in the case "p0"'),
        ({"group": "^(q)?p"}, r'The first parenthesis .* finds nothing in the case "p0"; .* write \(\?:'),
    ],
)
def test_what_cannot_be_used(options, message):
    with pytest.raises(InputError, match=message):
        split_pairs(TEN, **options)


def test_too_few():
    assert sizes(split_pairs(TEN[:3])) == [1, 1, 1]
    with pytest.raises(InputError, match="2 cases or groups are too few"):
        split_pairs(TEN[:2])
