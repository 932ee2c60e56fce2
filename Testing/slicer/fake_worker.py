"""A client of the worker that does what a test says, at once and without a process."""

from __future__ import annotations

from typing import Any

from hrseg.worker.messages import Done, Failed, ImageFile, Progress, Request

DEVICES = [
    {"name": "cuda:0", "title": "NVIDIA RTX A4000", "total_bytes": 16 * 2**30, "free_bytes": int(14.2 * 2**30)},
    {"name": "cpu", "title": "CPU (8 cores)", "total_bytes": 32 * 2**30, "free_bytes": int(21.4 * 2**30)},
]
FORECAST = {"bytes": int(1.2 * 2**30), "free_bytes": int(14.2 * 2**30), "seconds": 12.0, "device": "cuda:0"}


class FakeClient:
    """Answers the questions about devices and memory; a run waits until the test ends it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.events: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self.images: list[str] = []
        self.cancelled = self.closed = 0
        self.devices: Any = DEVICES
        self.forecast: Any = FORECAST

    @property
    def asked(self) -> list[str]:
        return [type(request).__name__ for request in self.requests]

    def has_image(self, key: str) -> bool:
        return key in self.images

    def image_file(self, key: str, array: Any, affine: Any, name: str = "") -> ImageFile:
        self.images = [key]
        return ImageFile(key, f"{key}.npy", tuple(map(tuple, affine.tolist())), name)

    def submit(self, request: Request) -> int:
        self.requests.append(request)
        if self.asked[-1] == "DevicesRequest":
            self.end({"devices": self.devices, "versions": {}} if isinstance(self.devices, list) else self.devices)
        elif self.asked[-1] == "ForecastRequest":
            self.end(self.forecast)
        return len(self.requests)

    def poll(self) -> list[Any]:
        events, self.events = self.events, []
        return events

    def cancel(self) -> None:
        self.cancelled += 1

    def close(self) -> None:
        self.closed += 1

    def array(self, entry: dict[str, Any]) -> Any:
        return self.arrays[entry["file"]]

    # ---- what a test says ----

    def step(self, stage: str, done: int, total: int, seconds: float = 1.0) -> None:
        self.events.append(Progress(len(self.requests), stage, done, total, seconds))

    def end(self, result: dict[str, Any] | Failed) -> None:
        self.events.append(result if isinstance(result, Failed) else Done(len(self.requests), result))

    def fail(self, kind: Any, message: str, advice: str = "") -> None:
        self.events.append(Failed(len(self.requests), kind, message, advice))


def found(array: Any, affine: Any, boxes: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The result of a segmentation whose label map is the client's array "labels"."""
    return {
        "label_map": {"file": "labels", "shape": list(array.shape), "dtype": str(array.dtype)},
        "affine": affine,
        "labels": [{"value": 1, "name": "lesion", "color": [230, 80, 60], "terminology": None}],
        "probability": None,
        "instances": None,
        "boxes": boxes if boxes is not None else [box("object 1", (8.0, 8.0, 8.0), (4.0, 4.0, 4.0))],
        "device": "cuda:0",
        "seconds": {"total": 3.2},
        "peak_memory": 2**30,
        "notices": [],
        "model": {
            "name": "m",
            "title": "Model",
            "method": "crop_cascade",
            "licence": "",
            "citation": "",
            "sha256": "0",
        },
    }


def box(name: str, center: tuple[float, ...], size: tuple[float, ...]) -> dict[str, Any]:
    return {"name": name, "center": list(center), "size": list(size), "axes": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
