from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from hrseg.data_list import read_data_list
from hrseg.errors import ModelError
from hrseg.geometry import Grid
from hrseg.methods import method_class
from hrseg.model_file import load_model
from hrseg.pfseg.training import PFSegTask
from hrseg.resample import resample
from hrseg.training.loop import TrainingOptions, train
from hrseg.training.recipe import read_recipe
from hrseg.training.task import TrainingCase
from model_helpers import tiny_header
from training_helpers import recipe_content, write_data

NETWORK = {"widths": [2, 4, 4], "guidance_widths": [2, 2], "tail_width": 2}
#: No random change at all.
STILL = {"rotation": [0], "scale": 0, "noise": 0, "blur": 0, "brightness": 0, "contrast": 0, "gamma": 0}
OFF = {"super_resolution": 0, "guidance": 0, "target_enhanced": 0, "similarity": 0}


def task(network: dict[str, Any] | None = None, dimension: int = 3, **settings: Any) -> PFSegTask:
    header = tiny_header(method="pfseg", dimension=dimension, network={**NETWORK, **(network or {})}, inference={})
    (made,) = method_class("pfseg").training_tasks(
        header, {"steps": 2, "size": [16] * dimension, "augmentation": STILL, **settings}
    )
    assert isinstance(made, PFSegTask)
    return made


def case(shape: tuple[int, int, int] = (16, 16, 16), annotated: tuple[bool, bool] = (True, True)) -> TrainingCase:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, shape).astype(np.uint8)
    return TrainingCase("case", rng.random((1, *shape), dtype=np.float32), label, annotated, {})


def sample(of: PFSegTask, seed: int = 0, shape: tuple[int, int, int] = (16, 16, 16)) -> dict[str, Tensor]:
    return of.sample(case(shape), np.random.RandomState(seed))


def batch(*samples: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: torch.stack([s[key] for s in samples]) for key in samples[0]}


class Fixed(nn.Module):
    """Says the same of every image."""

    def __init__(self, logits: Tensor, restored: Tensor) -> None:
        super().__init__()
        self.logits, self.restored = logits, restored

    def forward(self, low: Tensor, guidance: Any, super_resolve: bool, parts: Any) -> tuple[Tensor, Tensor | None]:
        return self.logits, self.restored if super_resolve else None


# ---- samples ----


def test_shapes_of_a_sample() -> None:
    found = sample(task({"factor": [1, 2, 2]}, size=[16, 16, 24]), shape=(20, 12, 40))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "low": (1, 16, 8, 12),
        "image": (1, 16, 16, 24),
        "label": (16, 16, 24),
        "annotated": (2,),
        "crop": (1, 8, 4, 6),
        "place": (3,),
        "present": (),
        "mask": (1, 16, 16, 24),
    }
    flat = sample(task(dimension=2), shape=(1, 16, 16))
    assert flat["low"].shape == (1, 8, 8)
    assert flat["mask"].shape == flat["image"].shape == (1, 16, 16)
    assert "crop" not in sample(task({"guidance_widths": []}))


@pytest.mark.parametrize("dimension", [2, 3])
def test_blocks_are_cut_from_all_over_the_sample(dimension: int) -> None:
    shape, block = (24, 32, 48)[-dimension:], [8, 12, 14][-dimension:]
    settings: dict[str, Any] = {"dimension": dimension, "size": list(shape), "drop_guidance": 0}
    volume = shape if dimension == 3 else (1, *shape)
    places = set()
    for seed in range(6):
        whole, found = sample(task(**settings), seed, volume), sample(task(**settings, block=block), seed, volume)
        starts = 2 * found["blocks"][..., 0].numpy()
        assert (found["blocks"][..., 1] - found["blocks"][..., 0] == torch.tensor(block) // 2).all()
        assert starts.shape == (2**dimension, dimension)
        places |= {tuple(start) for start in starts.tolist()}
        # One in each eighth, or quarter.
        assert len({tuple(start >= np.array(shape) // 2) for start in starts}) == 2**dimension
        for name in ("image", "label", "mask"):
            parts = found[name].split(block[0], dim=-dimension)
            for start, part in zip(starts.tolist(), parts, strict=True):
                cut = tuple(slice(n, n + m) for n, m in zip(start, block, strict=True))
                assert torch.equal(part, whole[name][(..., *cut)]), name
        for name in ("low", "crop", "place"):
            assert torch.equal(found[name], whole[name]), name
    assert len(places) > 2**dimension


def test_samples_are_as_large_as_what_is_seen_in_use() -> None:
    source = case((16, 30, 20))
    settings: dict[str, Any] = {"size": [32, 32, 16], "block": [8, 16, 8]}
    single = task(batch_size=1, **settings).sample(source, np.random.RandomState(0))
    assert single["low"].shape == (1, 8, 16, 8)
    assert single["label"].shape == (8 * 8, 16, 8)
    several = task(batch_size=2, **settings).sample(source, np.random.RandomState(0))
    assert several["low"].shape == (1, 16, 16, 8)


def test_samples_of_several_sizes() -> None:
    made = task(batch_size=1, size=[32, 32, 48], least_size=[16, 16, 16], block=[8, 8, 8])
    source, rng = case((32, 32, 48)), np.random.RandomState(0)
    found = {tuple(made.sample(source, rng)["low"].shape[1:]) for _ in range(30)}
    assert {(8, 8, 8), (16, 16, 24)} < found
    with pytest.raises(ModelError, match=r"The least_size \[16, 16\] must have 3 sides up to \[32, 32, 48\]"):
        task(batch_size=1, size=[32, 32, 48], least_size=[16, 16])


def test_low_resolution_of_means() -> None:
    made = task()
    preprocessing = made.header.preprocessing.model_copy(update={"shrink": "means"})
    header = made.header.model_copy(update={"preprocessing": preprocessing})
    found = sample(PFSegTask(header, made.settings.model_dump()))
    means = found["image"].reshape(1, 8, 2, 8, 2, 8, 2).mean(dim=(2, 4, 6))
    torch.testing.assert_close(found["low"], means)
    assert not torch.allclose(sample(made)["low"], means, atol=0.05)


def test_every_resolution_comes_from_the_changed_image() -> None:
    made = task(augmentation={"rotation": [20], "scale": 0.2, "noise": 0.05, "probability": 1.0}, drop_guidance=0)
    source = case((20, 20, 20))
    before = source.image.copy()
    found = made.sample(source, np.random.RandomState(1))
    assert np.array_equal(source.image, before)
    grid = Grid.from_spacing((16, 16, 16))
    low = resample(found["image"].numpy(), grid, grid.resized((8, 8, 8)))
    np.testing.assert_allclose(found["low"], low, atol=1e-6)
    inside = found["mask"][0].bool()
    assert torch.equal(found["image"][0][inside].view(4, 4, 4), found["crop"][0])


def test_the_place_is_the_crops_centre() -> None:
    found = sample(task(drop_guidance=0))
    where = found["mask"][0].nonzero().float()
    torch.testing.assert_close(found["place"], (where.mean(0) + 0.5) / 16)


def test_the_crop_is_dropped_and_moved_now_and_then() -> None:
    dropped = [float(sample(task(drop_guidance=1.0), seed)["present"]) for seed in range(3)]
    assert dropped == [0, 0, 0]
    assert not sample(task(drop_guidance=1.0))["mask"].any()
    kept = [sample(task(random_guidance=share, drop_guidance=0), seed) for share in (0, 1) for seed in range(4)]
    assert all(found["present"] for found in kept)
    places = [tuple(found["place"].tolist()) for found in kept]
    assert len(set(places[:4])) == 1
    assert len(set(places[4:])) > 1


def test_equal_seeds_give_equal_samples() -> None:
    made = task()
    for a, b in zip(sample(made, 3).values(), sample(made, 3).values(), strict=True):
        assert torch.equal(a, b)


# ---- losses ----


def test_all_parts_of_the_loss() -> None:
    made = task(drop_guidance=0)
    found = batch(sample(made))
    logits, restored = torch.zeros(1, 3, 16, 16, 16), torch.zeros(1, 1, 16, 16, 16)
    losses = made.loss(Fixed(logits, restored), found)
    image, mask = found["image"], found["mask"].bool()
    assert losses["super_resolution"] == pytest.approx(float(image.square().mean()))
    assert losses["guidance"] == pytest.approx(float(image[mask].square().mean()))
    truth = (found["label"] > 0)[:, None]
    assert losses["target_enhanced"] == pytest.approx(float((truth * image).square().mean()))
    segmentation = 0.5 * losses["dice_loss"] + 0.5 * losses["cross_entropy"]
    helpers = 0.5 * (losses["super_resolution"] + losses["guidance"] + losses["target_enhanced"])
    assert losses["loss"] == pytest.approx(float(segmentation + helpers + 72 * losses["similarity"]), rel=1e-5)


def test_perfect_outputs_cost_nothing() -> None:
    made = task()
    found = batch(sample(made))
    logits = 50 * nn.functional.one_hot(found["label"], 3).movedim(-1, 1).float()
    losses = made.loss(Fixed(logits, found["image"]), found)
    assert all(abs(float(value)) < 1e-5 for value in losses.values())


def test_labels_that_nobody_drew_say_nothing_about_the_image() -> None:
    made = task()
    found = batch(made.sample(case(annotated=(True, False)), np.random.RandomState(0)))
    logits = torch.full((1, 3, 16, 16, 16), -50.0)
    logits[:, 1][found["label"] == 1] = 50
    logits[:, 2][found["label"] != 1] = 50
    losses = made.loss(Fixed(logits, found["image"]), found)
    assert losses["target_enhanced"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("helpers", "parts"),
    [
        (OFF, set()),
        ({**OFF, "super_resolution": 0.5}, {"super_resolution"}),
        ({"similarity": 0}, {"super_resolution", "guidance", "target_enhanced"}),
    ],
)
def test_switches(helpers: dict[str, float], parts: set[str]) -> None:
    made = task(helpers=helpers)
    network = method_class("pfseg").build(made.header)
    losses = made.loss(network, batch(sample(made), sample(made, 1)))
    assert set(losses) - {"loss", "dice_loss", "cross_entropy"} == parts
    losses["loss"].backward()
    decoder = network.super_resolution
    assert all((p.grad is not None) == bool(parts) for p in decoder.parameters())  # type: ignore[union-attr, operator]


def test_a_network_without_the_images_decoder_has_no_helpers() -> None:
    made = task({"super_resolution": False})
    losses = made.loss(method_class("pfseg").build(made.header), batch(sample(made)))
    assert set(losses) == {"loss", "dice_loss", "cross_entropy"}


@pytest.mark.parametrize("size", [[16, 16], [16, 16, 20]])
def test_sizes_that_do_not_fit(size: list[int]) -> None:
    with pytest.raises(ModelError, match=r"must have 3 sides that are multiples of \[8, 8, 8\]"):
        task(size=size)


# ---- a whole run ----


def test_training_makes_a_model(tmp_path: Path) -> None:
    content = {**recipe_content(size=[16, 16, 16]), "method": "pfseg", "network": NETWORK, "inference": {}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    recipe = read_recipe(tmp_path / "recipe.yaml", "cpu")
    out = tmp_path / "tiny.safetensors"
    train(recipe, read_data_list(write_data(tmp_path)), out, TrainingOptions(profile="cpu", accelerator="cpu"))
    model = load_model(out)
    assert model.header.training.steps == 4
    assert sum(p.numel() for p in model.network.super_resolution.parameters()) > 0  # type: ignore[union-attr, operator]
    columns = (tmp_path / "tiny.training/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train_super_resolution", "train_similarity", "val_dice"} <= set(columns)
