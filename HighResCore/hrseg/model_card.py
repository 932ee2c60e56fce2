"""A model described for people who consider using it, as Markdown, from its file and the metrics of its test cases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hrseg.errors import InputError
from hrseg.evaluation.compare import bootstrap_interval
from hrseg.evaluation.measures import MEASURES
from hrseg.evaluation.summary import case_mean, hd95_undefined, summarise, unit_of
from hrseg.labels import Code, Label
from hrseg.methods import method_class
from hrseg.model_file import Header, file_sha256, load_header
from hrseg.model_header import read_tensor_table

_KEYS = ("dice", "surface_dice", "hd95_mm", "recall", "precision", "object_f1", "instance_ap50")
#: Of the Dice that the header records, and of the stored metrics: how far they may be apart.
_SAME = 5e-4
_FEW = 30
_MEANING = {
    "dice": "Dice: overlap with the reference mask, 1 for the same mask, 0 for none in common.",
    "surface_dice": "Surface Dice: share of both surfaces that lies within one voxel of the other.",
    "hd95_mm": "HD95: 95 % of either surface is nearer to the other than this.",
    "recall": "Recall: share of the reference that was found. Precision: share of what was found that lies in it.",
    "object_f1": "Object F1: recall and precision of whole objects in one number.",
    "instance_ap50": "Instance AP50: share of single objects, true or found, that match one to one (IoU 0.5 or more).",
}
_SAMPLES = 10_000
_NONE = "–"


def model_card(path: Path, metrics: Mapping[str, Any] | None = None, recipe: str = "") -> str:
    """The card of a model file.

    Args:
        path: the model.
        metrics: of its test cases, as :func:`hrseg.evaluation.summary.read_metrics` gives them; without them the card
            has the means in the header.
        recipe: link to the recipe.

    Raises:
        ModelError: not a model.
        InputError: the metrics are those of another model or training.
    """
    header = load_header(path)
    summary = None if metrics is None else {**metrics, **summarise(metrics["cases"])}
    if summary:
        _check_same(header, summary)
    parts = [
        f"# {header.name}",
        f"{header.title or header.name}. **Research only; not a medical device.**",
        _facts(header),
        f"## Intended use\n\n{header.intended_use}",
        _limitations(header, summary),
        _results(header, summary),
        _labels(header.labels),
        _data(header),
        _making(path, header, recipe),
    ]
    return "\n\n".join(parts) + "\n"


def _images(header: Header) -> str:
    # Grey images are copied to the three channels.
    kind = "color or gray" if header.channels == ["red", "green", "blue"] else _listed(header.channels)
    return f"{kind} {'volumes' if header.dimension == 3 else 'images'}"


def _check_same(header: Header, summary: Mapping[str, Any]) -> None:
    recorded, stored = header.training.metrics.get("test", {}).get("dice"), summary["mean"].get("dice")
    if recorded is not None and (stored is None or abs(recorded - stored) > _SAME):
        raise InputError(
            f'The model "{header.name}" records a test Dice of {recorded}, but the metrics have {stored}; '
            "evaluate this version of the model."
        )


def _facts(header: Header) -> str:
    method = method_class(header.method)
    made = ["a label map on the image's own voxels"]
    made += ["or finer ones"] * method.makes_finer + ["or any others"] * method.any_spacing
    rows = {
        "takes": f"{_images(header)}{', and boxes drawn around objects if wanted' if method.takes_boxes else ''}",
        "finds": _listed(label.name for label in header.labels),
        "gives": ", ".join(made),
        "method": f"{method.title} (`{header.method}`), {header.dimension}D",
        "licence of the weights": header.licence,
        "please cite": header.citation,
        "to use it": f"`hrseg segment IMAGE --model {header.name} -o labels.nii.gz`",
    }
    return _table(["", ""], [[key, value] for key, value in rows.items() if value])


def _making(path: Path, header: Header, recipe: str) -> str:
    """What it takes to check the file and to train it again."""
    shapes = [entry["shape"] for entry in read_tensor_table(path)[0].values()]
    t, p = header.training, header.preprocessing
    validation = t.metrics.get("validation", {}).get("dice")
    chosen = f"; kept: the weights with the best Dice on the validation cases, {validation:.3f}" if validation else ""
    rows = {
        "orientation": f"{p.orientation} (images in any other are turned to it, the result is turned back)"
        if p.orientation
        else "",
        "voxel size": f"{_by(p.spacing[::-1])} mm (images are resampled to it)" if p.spacing else "the image's own",
        "gray values": _grays(header),
        "parameters": f"{sum(math.prod(shape) for shape in shapes):,}",
        "file": f"{path.stat().st_size / 1e6:.1f} MB, SHA-256 `{file_sha256(path)}`",
        "training": f"profile `{t.profile}`, {t.steps:,} steps, seed {t.seed}{chosen}" if t.steps else "",
        "recipe": f"[{Path(recipe).name}]({recipe})" if recipe else "",
        "command": f"`{t.command}`" if t.command else "",
        "made with": header.created_with,
    }
    return "## Network and file\n\n" + _table(["", ""], [[key, value] for key, value in rows.items() if value])


def _grays(header: Header) -> str:
    kind, low, high = (getattr(header.preprocessing.intensity, key) for key in ("kind", "low", "high"))
    if kind == "zscore":
        return "brought to mean 0 and standard deviation 1"
    if kind == "percentile":
        return f"percentiles {low:g} to {high:g} of the image, what lies outside is clipped"
    return f"{low:g} to {high:g}{' HU' if header.channels == ['CT'] else ''}, what lies outside is clipped"


def _labels(labels: Sequence[Label]) -> str:
    rows = []
    for label in labels:
        t = label.terminology
        codes = dict.fromkeys(_code(code) for code in (t.category, t.type, t.modifier, t.region) if code) if t else {}
        color = "#" + "".join(f"{part:02x}" for part in label.color)
        rows.append([str(label.value), label.name, f"`{color}`", "; ".join(codes)])
    return "## Labels\n\n" + _table(["value", "name", "color", "terminology"], rows)


def _data(header: Header) -> str:
    t = header.training
    rows = [[source.name, source.licence, source.citation] for source in t.data]
    split = ", ".join(f"{count} {part}" for part, count in t.split.items())
    table = _table(["data set", "licence", "cite"], rows) if rows else "Not recorded."
    return f"## Data\n\n{table}" + (f"\n\nCases: {split}." if split else "")


def _results(header: Header, summary: Mapping[str, Any] | None) -> str:
    title = "## How well it does"
    if summary is None:
        return f"{title}\n\n{_recorded(header)}"
    keys = [key for key in _KEYS if key in summary["mean"]]
    deviations = {name: {key: row[f"{key}_std"] for key in keys} for name, row in summary["by_label"].items()}
    rows = [[name, *_scores(row, deviations[name], keys)] for name, row in summary["by_label"].items()]
    if len(rows) > 1:
        rows.append(["mean", *_scores(summary["mean"], summary["std"], keys)])
    count = summary["mean"]["cases"]
    text = f"{count} test cases that training never saw, mean ± standard deviation over cases."
    dice = [value for case in summary["cases"] if (value := case_mean(case, "dice")) is not None]
    if len(dice) > 1:
        low, high = bootstrap_interval(np.array(dice), _SAMPLES, 0)
        text += f" Mean Dice, 95 % interval: {low:.3f} … {high:.3f}; worst case {min(dice):.3f}, best {max(dice):.3f}."
    memory = summary["cost"]["peak_memory_mib_max"]
    if memory is not None:
        text += f" Peak memory {memory:.0f} MiB beyond the image (largest case)."
    return f"{title}\n\n{text}\n\n{_table(['label', *_headings(unit_of(summary), keys)], rows)}\n\n{_meaning(keys)}"


def _recorded(header: Header) -> str:
    """The means that the header records."""
    test = header.training.metrics.get("test")
    if not test:
        validation = header.training.metrics.get("validation", {}).get("dice")
        return "Not tested on held-out cases." + (f" Validation Dice: {validation}." if validation else "")
    names = [*test.get("by_label", {}), "mean"] if len(test.get("by_label", {})) > 1 else list(test.get("by_label", {}))
    keys = [key for key in _KEYS if key in test]
    rows = [[name, *_scores(test["by_label"].get(name, test), {}, keys)] for name in names]
    # Of images in colour, which are pictures as a rule, the header does not say it.
    unit = "pixels" if header.dimension == 2 and len(header.channels) == 3 else "mm"
    table = _table(["label", *_headings(unit, keys)], rows)
    return f"{test['cases']} test cases that training never saw, means.\n\n{table}\n\n{_meaning(keys)}"


def _meaning(keys: Iterable[str]) -> str:
    """What the scores in a table mean."""
    return " ".join(_MEANING[key] for key in keys if key in _MEANING)


def _limitations(header: Header, summary: Mapping[str, Any] | None) -> str:
    """Those that the author wrote, then those that follow from header and scores."""
    t, spacing = header.training, header.preprocessing.spacing
    found = list(header.limitations)
    if len(t.data) == 1:
        found.append(f'Trained and tested on "{t.data[0].name}" alone; how well it does on other images is not known.')
    cases = (summary["mean"] if summary else t.metrics.get("test", {})).get("cases")
    if cases and cases < _FEW:
        found.append(f"{cases} test cases are few: the means may be off, and what is rare has not been seen.")
    if t.profile and t.profile != "full":
        found.append(f"Trained with the profile `{t.profile}`, not `full`; more steps and width may do better.")
    if spacing and header.dimension == 3:
        found.append(f"Images are resampled to voxels of {_by(spacing[::-1])} mm: what is smaller is not seen.")
    if not spacing:
        size = "voxels" if header.dimension == 3 else "pixels"
        found.append(f"It knows sizes in {size}, not in millimetres: other magnifications may not work.")
    by_label = (summary or t.metrics.get("test", {})).get("by_label", {})
    scored = {name: row["dice"] for name, row in by_label.items() if row.get("dice") is not None}
    if len(scored) > 1:
        worst = min(scored, key=scored.__getitem__)
        found.append(f"The weakest label is {worst} (mean Dice {scored[worst]:.3f}).")
    missed = sum(map(hd95_undefined, summary["cases"])) if summary else 0
    if summary and missed:
        pairs = sum(row["cases"] for row in summary["by_label"].values())
        found.append(
            f"In the test {missed} of {pairs} structures were missed altogether, or marked where there is none."
        )
    found.append("It does not notice images of another kind than it was trained on: look at every result.")
    return "## Limitations\n\n" + "\n".join(f"- {text}" for text in found)


def _scores(means: Mapping[str, Any], deviations: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    cells = []
    for key in keys:
        mean, deviation, digits = means.get(key), deviations.get(key), MEASURES[key].digits
        text = _NONE if mean is None else f"{mean:.{digits}f}"
        cells.append(text if mean is None or deviation is None else f"{text} ± {deviation:.{digits}f}")
    return cells


def _headings(unit: str, keys: Iterable[str]) -> list[str]:
    return [MEASURES[key].title.replace("(mm)", f"({unit})") for key in keys]


def _code(code: Code) -> str:
    return f"{code[2]} ({code[0]} {code[1]})"


def _by(numbers: Iterable[float]) -> str:
    return " x ".join(f"{n:g}" for n in numbers)


def _listed(words: Iterable[str]) -> str:
    """``a, b and c``."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in lines)
