from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hrseg.prompts import RegionBox
from hrseg.worker.messages import (
    Alive,
    Answer,
    BoxEntry,
    Cancel,
    DescribeRequest,
    DevicesRequest,
    Done,
    Failed,
    ForecastRequest,
    GridEntry,
    ImageFile,
    Log,
    Progress,
    ProposeRequest,
    ProtocolError,
    Ready,
    Request,
    SampleRequest,
    SegmentRequest,
    Shutdown,
    SurfaceRequest,
    from_json,
    to_json,
)

EYE = tuple(tuple(row) for row in np.eye(4).tolist())
IMAGE = ImageFile("volume 1", "/tmp/ä b/image.npy", EYE, "CT, Müller")
BOX = BoxEntry("nodule", (1.5, 2.0, -3.0), (4.0, 5.0, 6.0), ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
FIELDS: dict[str, Any] = {"id": 7, "image": IMAGE, "model": "m.safetensors", "inference": {"threshold": 0.3}}
REQUESTS = [
    SegmentRequest(**FIELDS, device="cuda:1", boxes=(BOX,), propose=False, instances=True, options={"a": None}),
    ForecastRequest(**FIELDS, keep_probability=True),
    ProposeRequest(**FIELDS),
    DescribeRequest(id=1, model="m.safetensors"),
    DevicesRequest(id=2),
    Cancel(id=3),
    Shutdown(),
    SampleRequest(**FIELDS, grid=GridEntry((1, 2, 3), EYE), level=0.4, labels=(2, 5), what="probability"),
    SurfaceRequest(**FIELDS),
]
ANSWERS = [
    Ready({"torch": "2.4"}),
    Alive(),
    Progress(7, "crops", 2, 9, 0.25),
    Log("a line\nwith an end"),
    Done(7, {"label_map": {"file": "a.npy", "shape": [1, 2, 3], "dtype": "uint8"}}),
    Failed(7, "no_memory", "It ran out.", "Buy some."),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: type(r).__name__)
def test_requests_arrive_as_they_were_sent(request_: Request) -> None:
    line = to_json(request_)
    assert "\n" not in line
    again = from_json(line, Request)
    assert (type(again), again) == (type(request_), request_)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: type(a).__name__)
def test_answers_arrive_as_they_were_sent(answer: Answer) -> None:
    line = to_json(answer)
    assert "\n" not in line
    assert from_json(line, Answer) == answer


def test_one_line_as_it_is_written() -> None:
    assert json.loads(to_json(Cancel(id=3))) == {"version": 1, "type": "cancel", "id": 3}


def test_box_as_an_entry() -> None:
    box = RegionBox(np.array([1.5, 2, -3]), np.array([4, 5, 6]), np.array(BOX.axes), "nodule")
    assert BoxEntry.of(box) == BOX


def test_whole_numbers_may_stand_for_others() -> None:
    line = to_json(Progress(7, "crops", 2, 9, 1.0)).replace("1.0", "1")
    assert from_json(line, Answer) == Progress(7, "crops", 2, 9, 1.0)


def test_defaults_may_be_left_out() -> None:
    image = {"key": "k", "path": "p", "affine": []}
    line = json.dumps({"version": 1, "type": "segment", "image": image, "model": "m"})
    assert from_json(line, Request) == SegmentRequest(image=ImageFile("k", "p", ()), model="m")


def altered(message: Request | Answer, **changes: Any) -> str:
    return json.dumps({**json.loads(to_json(message)), **changes})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "is not JSON"),
        ("Loading weights: 100%", "'Loading weights: 100%' is not JSON"),
        ("[" * 99999, "is not JSON"),
        ("[1]", "is not a message"),
        (altered(REQUESTS[4], version=2), "has the version 2, but 1 was expected"),
        (altered(REQUESTS[4], version=None), "has the version None"),
        (altered(REQUESTS[4], type="format disk"), "There is no request of the type 'format disk'"),
        (altered(REQUESTS[4], type=["devices"]), "There is no request of the type"),
        (to_json(Alive()), "There is no request of the type 'alive'"),
        (altered(REQUESTS[3], more=1), r"\"describe\" lacks the fields \[\] or has unknown ones \['more'\]"),
        ('{"version": 1, "type": "describe"}', r"lacks the fields \['model'\]"),
        (altered(REQUESTS[3], model=5), '"describe.model" is 5, which is not a str'),
        (altered(REQUESTS[3], id=True), '"describe.id" is True, which is not a int'),
        (altered(REQUESTS[0], boxes=[{"name": "a"}]), r"\"segment.boxes\[0\]\" lacks the fields \['axes', 'center'"),
        (altered(REQUESTS[0], image="a.npy"), '"segment.image" must be an object'),
        (altered(REQUESTS[0], boxes={}), '"segment.boxes" is {}'),
        (altered(REQUESTS[0], inference=[]), r'"segment.inference" is \[\]'),
        (altered(REQUESTS[0], image={**json.loads(to_json(REQUESTS[0]))["image"], "affine": [["a"]]}), "affine"),
    ],
)
def test_what_is_no_request(line: str, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem) as error:
        from_json(line, Request)
    assert len(str(error.value)) < 400


def test_kinds_of_failure_are_known_ones() -> None:
    with pytest.raises(ProtocolError, match="'bored'"):
        from_json(altered(ANSWERS[5], kind="bored"), Answer)


def test_numbers_that_json_does_not_know_are_not_sent() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(Progress(1, "crops", 0, 1, float("nan")))
