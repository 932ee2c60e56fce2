import csv

from matplotlib.image import imread

from hrseg.training.curves import draw_curves
from hrseg.training.history import History, write_csv

ROWS = [
    {"step": 2, "minutes": 0.5, "train_loss": 1.5, "train_dice_loss": 0.9, "val_dice": 0.25},
    {"step": 4, "minutes": 1.0, "train_loss": 1.0, "train_dice_loss": 0.7, "val_dice": 0.5, "val_dice_liver": 0.5},
]


def test_rows_as_csv(tmp_path):
    write_csv(ROWS, tmp_path / "metrics.csv")
    with (tmp_path / "metrics.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {**{name: str(value) for name, value in ROWS[0].items()}, "val_dice_liver": ""}
    assert second["val_dice_liver"] == "0.5"


def test_rows_travel_with_the_checkpoint(tmp_path):
    one, two = History(tmp_path, "a"), History(tmp_path, "a")
    one.rows = ROWS
    two.load_state_dict(one.state_dict())
    assert two.rows == ROWS


def test_curves_are_drawn(tmp_path):
    draw_curves(ROWS, tmp_path / "curves.png", "a title")
    picture = imread(tmp_path / "curves.png")
    assert picture.shape[1] > 2 * picture.shape[0] > 500
    assert picture[..., :3].std() > 0.05
    draw_curves(ROWS[:1], tmp_path / "curves.png", "a title")
    assert not (imread(tmp_path / "curves.png") == picture).all()
