from __future__ import annotations

import pytest
from pydantic import ValidationError

from hrseg.errors import ModelError
from hrseg.methods import method_class, method_names, method_of
from hrseg.patch_based.method import PatchBased
from hrseg.patch_based.network import InferenceSettings, NetworkSettings
from model_helpers import tiny_header, tiny_model


def test_strides_are_two_unless_told_otherwise() -> None:
    settings = NetworkSettings(widths=[4, 5, 6])
    assert settings.all_strides(2) == [[2, 2], [2, 2]]
    assert settings.multiple(3) == [4, 4, 4]
    assert settings.check_strides(3) is None


def test_strides_of_anisotropic_images() -> None:
    settings = NetworkSettings(widths=[4, 5, 6], strides=[[1, 2, 2], [2, 2, 2]])
    assert settings.multiple(3) == [2, 4, 4]
    assert settings.check_strides(3) is None
    assert settings.check_strides(2) == "strides [[1, 2, 2], [2, 2, 2]] must be 2 tuples of 2 numbers"


def test_default_widths_are_the_published_ones() -> None:
    assert NetworkSettings().widths == [32, 32, 64, 128, 256]


def test_network_fits_the_header() -> None:
    header = tiny_header(channels=["T1", "T2"], network={"widths": [2, 3, 4]})
    network = PatchBased.build(header)
    weights = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert weights["encoder.0.conv1.weight"] == (2, 2, 3, 3, 3)
    assert weights["encoder.2.conv1.weight"] == (4, 3, 3, 3, 3)
    assert weights["head.weight"] == (3, 2, 1, 1, 1)


def test_window() -> None:
    assert InferenceSettings(window=[8, 16]).overlap == 0.5
    InferenceSettings(window=[256, 1024, 1024])
    for window in ([8], [8] * 4, [7, 8, 8], [1025, 8, 8], [512, 1024, 1024]):
        with pytest.raises(ValidationError):
            InferenceSettings(window=window)


def test_table_of_methods() -> None:
    assert "patch_based" in method_names()
    assert method_class("patch_based") is PatchBased
    assert isinstance(method_of(tiny_model()), PatchBased)
    with pytest.raises(ModelError, match='The method "x" is unknown; this version has patch_based'):
        method_class("x")
