import pytest
import yaml

from hrseg.errors import InputError
from hrseg.model_file import Provenance
from hrseg.training.recipe import read_recipe
from training_helpers import recipe_content


def write(folder, content):
    path = folder / "recipe.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_profile_changes_parts(tmp_path):
    content = recipe_content(steps=4, batch_size=3)
    content["profiles"]["full"] = {"training": {"steps": 8}, "network": {"widths": [8, 16]}}
    path = write(tmp_path, content)
    assert read_recipe(path, "cpu").training["steps"] == 4
    full = read_recipe(path, "full")
    assert (full.training["steps"], full.training["batch_size"], full.network) == (8, 3, {"widths": [8, 16]})


def test_labels_of_the_catalogue_and_the_users_own(tmp_path):
    content = recipe_content()
    content["labels"] = [
        {"structure": "liver"},
        {"structure": "liver_lesion", "name": "metastasis", "color": [1, 2, 3], "sources": ["tumour"]},
        {"name": "prostate"},
        {"name": "bladder"},
    ]
    liver, lesion, prostate, bladder = read_recipe(write(tmp_path, content), "cpu").header(Provenance()).labels
    assert (liver.value, liver.name, liver.color) == (1, "liver", (221, 130, 101))
    assert liver.terminology is not None
    assert (lesion.name, lesion.color, lesion.sources) == ("metastasis", (1, 2, 3), ("tumour",))
    assert (prostate.value, prostate.name, prostate.terminology) == (3, "prostate", None)
    assert prostate.color != bladder.color


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [{"structure": "lever"}]}, 'no structure "lever"; use for example liver'),
        ({"labels": [{"color": [0, 0, 0]}]}, "a label needs a structure or a name"),
        ({"labels": []}, "labels"),
        ({"methd": "x"}, "methd: Extra inputs are not permitted"),
        ({"method": "magic"}, 'method "magic" is unknown'),
        ({"network": {"width": [4]}}, "width"),
        ({"inference": {"window": [15, 16, 16]}}, "multiples of"),
        ({"training": {"steps": 0}}, "steps: Input should be greater than or equal to 1"),
        ({"training": {"steps": 1, "patch": [9, 8, 8]}}, r"patch \[9, 8, 8\] must have 3 sides that are multiples of"),
        ({"training": {"steps": 1, "patch": [16, 16]}}, "must have 3 sides"),
        ({"training": {"steps": 1, "augmentation": {"rotation": []}}}, "rotation"),
        ({"training": {"steps": 1, "augmentation": {"mirror": ["horizontal"]}}}, "does not fit"),
        ({"profiles": {"cpu": 5}}, 'The profile "cpu" .* must hold settings by name, not 5'),
        ({"profiles": ["full"]}, 'has no profile "cpu"; it has full'),
        ({"profiles": None}, 'has no profile "cpu"; it has none'),
    ],
)
def test_recipes_that_cannot_be_used(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_recipe(write(tmp_path, {**recipe_content(), **change}), "cpu")


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "is not YAML"), ("- a", "must hold settings by name, not list")]
)
def test_files_that_are_no_recipes(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        read_recipe(write(tmp_path, text), "cpu")
    assert "\n" not in str(error.value)


def test_a_missing_recipe(tmp_path):
    with pytest.raises(InputError, match="Cannot read the recipe"):
        read_recipe(tmp_path / "none.yaml", "cpu")


def test_limitations_reach_the_model(tmp_path):
    content = {**recipe_content(), "limitations": ["Cubes were not tried."]}
    assert read_recipe(write(tmp_path, content), "cpu").header(Provenance()).limitations == ["Cubes were not tried."]
    assert read_recipe(write(tmp_path, recipe_content()), "cpu").header(Provenance()).limitations == []
    with pytest.raises(InputError, match=r"limitations.0: String should have at least 1 character"):
        read_recipe(write(tmp_path, {**content, "limitations": [""]}), "cpu")
