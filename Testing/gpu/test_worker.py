"""A job in the worker, on a device that the client names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import hrseg
from device_cases import CASES, image, on_the_cpu
from hrseg.model_file import save_model
from hrseg.worker.client import WorkerClient
from hrseg.worker.messages import DevicesRequest, ForecastRequest, SegmentRequest

LONG = 120.0


def test_a_job(device: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    case, of = CASES["patch_based"], image()
    model = case.made().model
    path = tmp_path / "tiny.safetensors"
    save_model(path, model.header, model.network, half=False)
    client = WorkerClient(paths=[Path(hrseg.__file__).parents[1]])
    try:
        file = client.image_file("scene", of.array, of.grid.affine, of.name)
        client.submit(DevicesRequest())
        names = [found["name"].split(":")[0] for found in client.wait(LONG).result["devices"]]
        assert device.type in names
        client.submit(ForecastRequest(image=file, model=str(path), device=device.type))
        assert client.wait(LONG).result["bytes"] > 0
        client.submit(SegmentRequest(image=file, model=str(path), device=device.type, keep_probability=True))
        result = client.wait(LONG).result
        assert torch.device(result["device"]).type == device.type
        assert result["notices"] == []
        assert result["peak_memory"] > 0
        expected = on_the_cpu(case)
        assert expected.probability is not None
        away = np.abs(client.array(result["probability"]) - expected.probability)
        assert away.max() < 0.05
        assert (client.array(result["label_map"]) == expected.label_map.array).mean() >= 0.98
    finally:
        client.close()
