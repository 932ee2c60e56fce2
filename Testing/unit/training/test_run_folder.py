import pytest

from hrseg.data_list import read_data_list
from hrseg.errors import InputError
from hrseg.training.recipe import read_recipe
from hrseg.training.run_folder import RunFolder
from training_helpers import write_data, write_recipe


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "a.training")


def test_a_run_is_neither_overwritten_nor_invented(folder):
    folder.check(resume=False)
    with pytest.raises(InputError, match=r"no checkpoint .*last.ckpt.* to resume from; run without --resume"):
        folder.check(resume=True)
    folder.path.mkdir()
    folder.check(resume=False)
    assert "no validation yet" in folder.how_to_go_on()
    folder.last.touch()
    folder.check(resume=True)
    with pytest.raises(InputError, match="holds an earlier run; use --resume to go on with it, or remove the folder"):
        folder.check(resume=False)
    assert "--resume" in folder.how_to_go_on()


def test_a_run_is_resumed_with_what_it_was_started_with(tmp_path, folder):
    data = read_data_list(write_data(tmp_path))
    recipe = read_recipe(write_recipe(tmp_path, steps=4), "cpu")
    folder.begin(recipe, data, 3, resume=False)
    folder.begin(recipe, data, 3, resume=True)
    with pytest.raises(InputError, match="was started with other settings: seed was 3, now 4"):
        folder.begin(recipe, data, 4, resume=True)
    with pytest.raises(InputError, match=r"recipe.training.steps was 4, now 8"):
        folder.begin(read_recipe(tmp_path / "recipe.yaml", "full"), data, 3, resume=True)
    data.splits["training"].pop()
    with pytest.raises(InputError, match=r"data\.training was"):
        folder.begin(recipe, data, 3, resume=True)
    folder.begin(recipe, data, 3, resume=False)
    folder.begin(recipe, data, 3, resume=True)


def test_a_stage_without_a_name_has_the_folder_itself(folder):
    assert folder.stage("").path == folder.path
    assert folder.path.is_dir()


def test_stages_have_folders_of_their_own(folder):
    folder.path.mkdir()
    stage = folder.stage("coarse")
    assert stage.path == folder.path / "coarse"
    assert stage.path.is_dir()
    folder.check(resume=False)
    stage.last.touch()
    # A checkpoint of any stage makes it a run that can be resumed.
    folder.check(resume=True)
    with pytest.raises(InputError, match=r"a.training\" holds an earlier run"):
        folder.check(resume=False)
    assert "--resume" in folder.how_to_go_on()
    assert folder.stage("coarse").last.exists()
