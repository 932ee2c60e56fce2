from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from field_models import ball_image, random_model
from hrseg.errors import InputError, ModelError
from hrseg.oss_net.field import Field
from hrseg.oss_net.field_file import field_header, fingerprint, load_field
from hrseg.oss_net.method import OssNet
from hrseg.runtime import Run

PUBLISHED = {"sides": [16, 16, 16], "widths": [4, 8], "hidden": 16}


def saved(path: Path, **changes: Any) -> Field:
    model = random_model(**changes)
    field = OssNet(model).field(ball_image((20, 24, 22), 6, 1.5), Run())
    field.save(path)
    return field


@pytest.mark.parametrize("network", [None, {"variant": "O-Net"}, {"variant": "D"}], ids=str)
def test_restored_field_is_the_same(tmp_path: Path, network: dict[str, Any] | None) -> None:
    changes = {"network": {**network, "published": PUBLISHED}} if network else {}
    path = tmp_path / "a.field.safetensors"
    field = saved(path, **changes)
    again = load_field(path, random_model(**changes))
    assert again.source.matches(field.source)
    assert again.grid.matches(field.grid)
    assert np.array_equal(again.probability(), field.probability())
    assert np.array_equal(again.label_map(field.source.finer(2)).array, field.label_map(field.source.finer(2)).array)


def test_header(tmp_path: Path) -> None:
    field = saved(tmp_path / "a.field.safetensors")
    header = field_header(tmp_path / "a.field.safetensors")
    assert (header.model, header.weights) == ("tiny", fingerprint(field.model.network))
    assert header.grid.shape == (20, 24, 22)
    assert [file.name for file in tmp_path.iterdir()] == ["a.field.safetensors"]


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    saved(tmp_path / "a.field.safetensors")
    assert fingerprint(random_model(seed=1).network) != fingerprint(random_model().network)
    with pytest.raises(ModelError, match='made by the model "tiny" with other weights than those of "tiny"'):
        load_field(tmp_path / "a.field.safetensors", random_model(seed=1))


def test_files_that_are_no_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.field.safetensors"
    with pytest.raises(InputError, match="Cannot read the field"):
        field_header(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="Cannot read the field"):
        field_header(path)
    save_file({"image": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="is not a field of this extension"):
        load_field(path, random_model())
    save_file({"image": torch.zeros(1)}, path, metadata={"hrseg_field": "{"})
    with pytest.raises(InputError, match="not valid JSON"):
        field_header(path)
    save_file({"image": torch.zeros(1)}, path, metadata={"hrseg_field": '{"format_version": 2}'})
    with pytest.raises(InputError, match=r"header of the field .* is not valid"):
        field_header(path)


@pytest.mark.parametrize("name", ["image", "maps"])
def test_missing_tensors(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.field.safetensors"
    saved(path)
    header = field_header(path).model_dump_json()
    tensors = load_file(path)
    del tensors[name]
    save_file(tensors, path, metadata={"hrseg_field": header})
    with pytest.raises(InputError, match=r"tensors of the field .* are damaged"):
        load_field(path, random_model())


def test_image_that_is_not_on_its_grid(tmp_path: Path) -> None:
    path = tmp_path / "a.field.safetensors"
    saved(path)
    header = field_header(path).model_dump_json()
    tensors = load_file(path)
    tensors["image"] = tensors["image"][:, 1:].contiguous()
    save_file(tensors, path, metadata={"hrseg_field": header})
    with pytest.raises(InputError, match=r"has the shape \(1, 19, 24, 22\)"):
        load_field(path, random_model())


def test_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r'"a.nrrd" must end in .field.safetensors'):
        saved(tmp_path / "a.nrrd")
