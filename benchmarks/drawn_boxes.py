r"""What careless drawing costs: a cascade model with boxes around the true objects, exact and with moved faces.

    python benchmarks/drawn_boxes.py --model nuclei-crop-cascade --data runs/nuclei.json --output runs/drawn

Each true object (instance, where the data set numbers them; connected component, where not) gets a box; each of its
faces is then moved by a random share, up to the jitter, of the box's side. Nothing else is proposed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from hrseg.crop_cascade.boxes import components, jittered
from hrseg.data_list import Case, read_case, read_data_list, read_instances
from hrseg.evaluation.compare import compare
from hrseg.evaluation.metrics import label_metrics
from hrseg.evaluation.objects import instance_metrics
from hrseg.evaluation.summary import write_metrics
from hrseg.geometry import Box, as_shape
from hrseg.image import LabelMap
from hrseg.methods import Options, method_of
from hrseg.model_file import load_model
from hrseg.model_store import find_model
from hrseg.prompts import RegionBox
from hrseg.runtime import Run, choose_device


def true_boxes(case: Case, truth: LabelMap) -> list[Box]:
    """Tight boxes of the true objects."""
    if case.label_above == 0:
        spans = [span for span in ndimage.find_objects(read_instances(case)) if span]
        return [Box(as_shape([s.start for s in span]), as_shape([s.stop for s in span])) for span in spans]
    return [box for value in np.unique(truth.array[truth.array > 0]) for box, _ in components(truth.array == value)]


def drawn(box: Box, jitter: float, truth: LabelMap, rng: np.random.RandomState) -> RegionBox:
    """As an expert would draw it: inside the image and at least two voxels wide."""
    moved = jittered(box, jitter, rng)
    shape = np.asarray(truth.grid.shape)
    start = np.clip(moved.start, 0, np.maximum(shape - 2, 0))
    stop = np.minimum(np.maximum(moved.stop, start + 2), shape)
    return RegionBox.of_voxels(Box(as_shape(start), as_shape(stop)), truth.grid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--jitter", type=float, nargs="+", default=[0, 0.1, 0.25])
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    model, data, device = load_model(find_model(arguments.model)), read_data_list(arguments.data), choose_device()
    method, value_map = method_of(model), data.value_map(model.header.labels)
    results = []
    for jitter in arguments.jitter:
        rng, rows = np.random.RandomState(0), []
        for case in data.cases(arguments.split):
            image, truth = read_case(case, value_map)
            boxes = tuple(drawn(box, jitter, truth, rng) for box in true_boxes(case, truth))
            if not boxes:
                continue
            numbered = case.label_above == 0
            result = method.segment(image, Options(boxes=boxes, propose=False, instances=numbered), Run(device))
            found = result.label_map.array
            scores = {
                label.name: label_metrics(found, truth.array, truth.grid, label.value) for label in model.header.labels
            }
            if numbered:
                scores[model.header.labels[0].name] |= instance_metrics(result.instances, read_instances(case))
            rows.append({"name": case.name, "labels": scores, "seconds": result.seconds})
        about = {"name": model.header.name, "jitter": jitter}
        results.append(
            write_metrics(arguments.output / f"jitter-{jitter:g}.json", about, {"split": arguments.split}, rows)
        )
        mean = {key: round(value, 4) for key, value in results[-1]["mean"].items() if key in _SHOWN}
        print(f"jitter {jitter:.0%}: {mean}")
        if len(results) > 1:
            row = compare(results[0], results[-1]).overall
            print(f"  against exact boxes: {row.difference:+.4f} ({row.low:+.4f} ... {row.high:+.4f})")


_SHOWN = ("dice", "iou", "recall", "precision", "hd95_mm", "instance_ap50")

if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
