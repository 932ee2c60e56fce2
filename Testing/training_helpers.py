"""A data set of noisy balls and cubes, a recipe and a model: as small as they can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from hrseg.geometry import Grid
from hrseg.image import write_image
from hrseg.labels import Label
from hrseg.methods import method_class
from hrseg.model_file import Header, save_model

LABELS = {"0": "background", "1": "ball", "2": "cube"}
LABEL = [Label(1, "ball", (200, 0, 0)), Label(2, "cube", (0, 0, 200))]
#: The same in a model that numbers and names them differently.
CUBE, BALL = Label(1, "Cube", (0, 0, 0)), Label(2, "round thing", (0, 0, 0), sources=("ball",))
#: Of a scene.
SIDE = 20
GRID = Grid.from_spacing((SIDE,) * 3)


def scene(seed: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Image (K, J, I) of noise with a bright ball and a dark cube, and its label map."""
    rng = np.random.default_rng(seed)
    truth = np.zeros([side] * 3, dtype=np.uint8)
    distance = np.linalg.norm(np.indices(truth.shape).T - rng.uniform(side * 0.3, side * 0.7, 3), axis=-1).T
    truth[distance < side * 0.2] = 1
    k, j, i = rng.integers(0, side * 3 // 4, 3)
    truth[k : k + side // 4, j : j + side // 4, i : i + side // 4] = 2
    image = rng.normal(100, 10, truth.shape) + np.array([0, 60, -60])[truth]
    return image.astype(np.int16), truth


def write_case(folder: Path, name: str, seed: int, grid: Grid | None = None) -> dict[str, Any]:
    """Writes a scene; returns its row of a data list, with relative paths."""
    image, truth = scene(seed)
    grid = grid or Grid.from_spacing(image.shape)
    write_image(folder / f"{name}.nii", image, grid)
    write_image(folder / f"{name}-labels.nii", truth, grid)
    return {"image": f"{name}.nii", "label": f"{name}-labels.nii"}


def write_data(folder: Path, **changes: Any) -> Path:
    """Writes scenes (training 0-2, validation 10, test 20-21) and their list; ``changes`` replace parts of it."""
    seeds = {"training": [0, 1, 2], "validation": [10], "test": [20, 21]}
    rows = {split: [write_case(folder, f"case{n}", n) for n in numbers] for split, numbers in seeds.items()}
    return write_list(folder, {"name": "balls", "licence": "CC0", "labels": LABELS, **rows, **changes})


def write_list(folder: Path, content: Any) -> Path:
    path = folder / "list.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def recipe_content(**training: Any) -> dict[str, Any]:
    """A recipe that trains in a second."""
    return {
        "name": "tiny",
        "method": "patch_based",
        "dimension": 3,
        "channels": ["CT"],
        "labels": [{"name": label.name, "color": list(label.color)} for label in LABEL],
        "preprocessing": {"orientation": "LPS", "intensity": {"kind": "window", "low": 0, "high": 200}},
        "network": {"widths": [4, 8]},
        "inference": {"window": [16, 16, 16]},
        "training": {
            "steps": 4,
            "validation_every": 2,
            "precision": "32-true",
            "warmup": 0,
            "average": 0.5,
            **training,
        },
        "profiles": {"cpu": {}, "full": {"training": {"steps": 8}}},
    }


def write_recipe(folder: Path, **training: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_content(**training)), encoding="utf-8")
    return path


def tiny_header(**changes: Any) -> Header:
    content = recipe_content()
    del content["training"], content["profiles"]
    return Header(**{**content, "labels": LABEL, **changes})


def write_model(path: Path, **changes: Any) -> Path:
    """A model with random weights."""
    header = tiny_header(**changes)
    torch.manual_seed(0)
    save_model(path, header, method_class(header.method).build(header))
    return path
