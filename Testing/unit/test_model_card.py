import hashlib

import pytest

from hrseg.errors import InputError
from hrseg.labels import Label
from hrseg.model_card import model_card
from hrseg.structures import label
from model_helpers import tiny_file

TRAINING = {
    "data": [{"name": "Balls", "licence": "CC0", "citation": "Nobody 2020"}],
    "split": {"training": 3, "test": 2},
    "profile": "cpu",
    "seed": 7,
    "steps": 1200,
    "command": "hrseg train balls.yaml",
    "metrics": {
        "validation": {"dice": 0.9},
        "test": {
            "dice": 0.75,
            "hd95_mm": 3.0,
            "cases": 2,
            "by_label": {"liver": {"dice": 0.9}, "spine": {"dice": 0.6}},
        },
    },
}


def scores(dice, hd95=2.0):
    return {"dice": dice, "surface_dice": 0.5, "hd95_mm": hd95, "recall": 1.0, "precision": 0.25}


def metrics(*dice):
    cases = [
        {"name": f"c{n}", "labels": {"liver": scores(a), "spine": scores(b)}, "peak_memory_mib": 30.0 + n}
        for n, (a, b) in enumerate(dice)
    ]
    return {"model": {}, "data": {}, "cases": cases}


@pytest.fixture
def path(tmp_path):
    return tiny_file(tmp_path / "tiny.safetensors", training=TRAINING, licence="Apache-2.0", title="Liver and spine")


def row(card, first):
    (line,) = (line for line in card.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_card_says_what_the_file_holds(path):
    card = model_card(path, recipe="../tiny.yaml")
    assert card.startswith("# tiny\n\nLiver and spine. Segments liver and spine in CT volumes.\n")
    assert "Research only; not a medical device." in card
    assert row(card, "voxel size")[1] == "the image's own"
    assert (
        row(card, "training")[1]
        == "profile `cpu`, 1,200 steps, seed 7; the weights with the best validation Dice, 0.900"
    )
    assert row(card, "recipe")[1] == "[tiny.yaml](../tiny.yaml)"
    assert hashlib.sha256(path.read_bytes()).hexdigest() in row(card, "file")[1]
    assert row(card, "1") == ["1", "liver", "`#dd8265`", ""]
    assert row(card, "Balls") == ["Balls", "CC0", "Nobody 2020"]
    assert "Cases: 3 training, 2 test." in card
    # Without metrics of single cases, what the header records.
    assert row(card, "liver") == ["liver", "0.900", "–"]
    assert row(card, "mean") == ["mean", "0.750", "3.00"]
    assert "- Weakest label: spine (Dice 0.600)." in card
    assert "- 2 test cases are few" in card
    assert "- Trained with the short, narrow profile `cpu`" in card


def test_the_number_of_parameters(path):
    from hrseg.model_file import load_model

    count = sum(value.numel() for value in load_model(path).network.state_dict().values())
    assert row(model_card(path), "parameters")[1] == f"{count:,}"


def test_metrics_of_single_cases(path):
    card = model_card(path, metrics((0.8, 0.5), (1.0, 0.7)))
    # Standard deviations of 0.8, 1.0 and of the cases' means 0.65, 0.85.
    assert row(card, "liver")[:2] == ["liver", "0.900 ± 0.141"]
    assert row(card, "mean")[:2] == ["mean", "0.750 ± 0.141"]
    assert "95 % interval: 0.650 … 0.850; worst case 0.650, best 0.850. Peak memory 31 MiB" in card
    assert "Missed altogether" not in card


def test_structures_that_were_missed(path):
    content = metrics((0.8, 0.7), (1.0, 0.5))
    content["cases"][0]["labels"]["spine"]["hd95_mm"] = None
    assert "- Missed altogether, or marked where there is none: 1 of 4 structures." in model_card(path, content)


def test_metrics_of_another_training_are_refused(path):
    with pytest.raises(InputError, match=r"records a test Dice of 0.75, but the metrics have 0.6"):
        model_card(path, metrics((0.6, 0.6), (0.6, 0.6)))


def test_codes_of_labels(tmp_path):
    lesion = label(1, "liver_lesion")
    card = model_card(tiny_file(tmp_path / "tiny.safetensors", labels=[lesion, Label(2, "other", (0, 0, 1))]))
    assert row(card, "1")[3] == (
        "Morphologically Altered Structure (SCT 49755003); Mass (SCT 4147007); Liver (SCT 10200004)"
    )
    assert "Not tested on held-out cases." in card
    assert "Not recorded." in card


def test_voxels_of_a_fixed_size(tmp_path):
    preprocessing = {"spacing": [3, 2, 1], "intensity": {"kind": "zscore"}}
    card = model_card(tiny_file(tmp_path / "tiny.safetensors", preprocessing=preprocessing))
    assert row(card, "voxel size")[1] == "1 x 2 x 3 mm (images are resampled to it)"
    assert "- Images are resampled to voxels of 1 x 2 x 3 mm: what is smaller is not seen." in card


def test_pictures_have_pixels(tmp_path):
    training = {"metrics": {"test": {"dice": 0.5, "hd95_mm": 2.0, "cases": 1, "by_label": {"liver": {"dice": 0.5}}}}}
    colors = {"dimension": 2, "channels": ["red", "green", "blue"], "training": training}
    card = model_card(tiny_file(tmp_path / "tiny.safetensors", **colors))
    assert "in colour images." in card
    assert "| label | Dice | HD95 (pixels) |" in card
