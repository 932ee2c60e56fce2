import hashlib

import pytest

from device_cases import header, random_weights
from hrseg.errors import InputError
from hrseg.labels import Label
from hrseg.model_card import model_card
from hrseg.model_file import save_model
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
    assert card.startswith("# tiny\n\nLiver and spine. **Research only; not a medical device.**\n")
    assert row(card, "takes")[1] == "CT volumes"
    assert row(card, "finds")[1] == "liver and spine"
    assert row(card, "gives")[1] == "a label map on the image's own voxels"
    assert row(card, "to use it")[1] == "`hrseg segment IMAGE --model tiny -o labels.nii.gz`"
    assert row(card, "voxel size")[1] == "the image's own"
    assert row(card, "gray values")[1] == "0 to 100 HU, what lies outside is clipped"
    assert (
        row(card, "training")[1]
        == "profile `cpu`, 1,200 steps, seed 7; kept: the weights with the best Dice on the validation cases, 0.900"
    )
    assert row(card, "recipe")[1] == "[tiny.yaml](../tiny.yaml)"
    assert hashlib.sha256(path.read_bytes()).hexdigest() in row(card, "file")[1]
    assert row(card, "1") == ["1", "liver", "`#dd8265`", ""]
    assert row(card, "Balls") == ["Balls", "CC0", "Nobody 2020"]
    assert "Cases: 3 training, 2 test." in card
    # Without metrics of single cases, what the header records.
    assert row(card, "liver") == ["liver", "0.900", "–"]
    assert row(card, "mean") == ["mean", "0.750", "3.00"]
    assert "- The weakest label is spine (mean Dice 0.600)." in card
    assert "- 2 test cases are few" in card
    assert "- Trained with the profile `cpu`, not `full`" in card


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
    assert "were missed altogether" not in card
    assert "HD95: 95 % of either surface is nearer to the other than this." in card
    assert "Instance AP50" not in card


def test_structures_that_were_missed(path):
    content = metrics((0.8, 0.7), (1.0, 0.5))
    content["cases"][0]["labels"]["spine"]["hd95_mm"] = None
    expected = "- In the test 1 of 4 structures were missed altogether, or marked where there is none."
    assert expected in model_card(path, content)


def limitations(card):
    """The list, without the last one, which every card has."""
    text = card.split("## Limitations\n\n")[1].split("\n\n")[0]
    *found, last = text.split("\n")
    assert last.startswith("- It does not notice images of another kind")
    return found


def test_the_authors_limitations_come_first(tmp_path):
    written = ["Balls below 3 mm are missed.", "Cubes were not tried."]
    training = {"profile": "full", "data": TRAINING["data"]}
    spacing = {"orientation": "LPS", "spacing": [1, 1, 1], "intensity": {"kind": "zscore"}}
    path = tiny_file(tmp_path / "a.safetensors", limitations=written, training=training, preprocessing=spacing)
    assert limitations(model_card(path)) == [
        "- Balls below 3 mm are missed.",
        "- Cubes were not tried.",
        '- Trained and tested on "Balls" alone; how well it does on other images is not known.',
        "- Images are resampled to voxels of 1 x 1 x 1 mm: what is smaller is not seen.",
    ]


@pytest.mark.parametrize(("profile", "told"), [("small", True), ("full", False), ("", False)])
def test_profiles_other_than_full(tmp_path, profile, told):
    card = model_card(tiny_file(tmp_path / "a.safetensors", training={"profile": profile}))
    assert (f"- Trained with the profile `{profile}`, not `full`" in card) == told


def test_what_methods_can_do_besides(tmp_path):
    cards = {}
    for method in ("oss_net", "sasr", "crop_cascade"):
        made = header(method)
        save_model(tmp_path / "a.safetensors", made, random_weights(made))
        cards[method] = model_card(tmp_path / "a.safetensors")
    assert row(cards["oss_net"], "gives")[1] == "a label map on the image's own voxels, or any others"
    assert row(cards["sasr"], "gives")[1] == "a label map on the image's own voxels, or finer ones"
    assert row(cards["crop_cascade"], "takes")[1] == "CT volumes, and boxes drawn around objects if wanted"


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
    assert row(card, "takes")[1] == "color or gray images"
    assert "- It knows sizes in pixels, not in millimetres" in card
    assert "| label | Dice | HD95 (pixels) |" in card
