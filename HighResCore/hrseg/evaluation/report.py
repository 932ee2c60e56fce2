"""One self-contained HTML page about an evaluation: no scripts, no links, pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hrseg.evaluation.figures import png_bytes, score_figure
from hrseg.evaluation.gates import by_size, differences, gate_figure
from hrseg.evaluation.measures import MEASURES, title
from hrseg.evaluation.pictures import CasePicture, contour_figure
from hrseg.evaluation.summary import Case, case_mean, hd95_undefined, unit_of
from hrseg.image import replacing

_NONE = "–"
_CAVEAT = "For research only; not a medical device. The numbers hold for these cases and need not hold for others."
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --card: #f6f8fa; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --soft: #9aa4ae; --line: #343b43; --card: #1d2127; --paper: #14171a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 70rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p, figcaption, caption { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem; margin: 1.3rem 0; }
.cards div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.cards b { display: block; font-size: 1.35rem; }
.cards span, .cards small { color: var(--soft); font-size: .85rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
thead th { background: var(--card); border-top: 0; }
th:first-child, td:first-child { text-align: left; }
img { display: block; max-width: 100%; height: auto; border-radius: .4rem; }
figure { margin: 0 0 1.6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .88rem; margin: .8rem 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
"""


def pick_cases(cases: Sequence[Case]) -> dict[str, str]:
    """Names of the best, the median and the worst case by mean Dice, as {"Best": name, ...}.

    No case comes twice: two cases are best and worst, one is the best. Cases without any annotated label are left out.
    """
    ranked = [case["name"] for case in reversed(_worst_first(cases)) if case_mean(case, "dice") is not None]
    places = {"Best": 0, "Median": len(ranked) // 2, "Worst": len(ranked) - 1}
    if len(ranked) < 3:
        del places["Median"]
    return {role: ranked[n] for role, n in places.items() if ranked and (role == "Best" or n > 0)}


def write_report(path: Path, metrics: Mapping[str, Any], pictures: Sequence[CasePicture]) -> None:
    """Writes the page for the content of ``metrics.json`` with the pictures of some cases.

    Raises:
        OutputError: the file cannot be written.
    """
    model, data = metrics["model"], metrics["data"]
    heading = escape(f"{model.get('name', 'Model')} on {data.get('name', 'data')}")
    keys = [key for key in MEASURES if metrics["mean"].get(key) is not None]
    unit = unit_of(metrics)
    parts = [
        f"<h1>{heading}</h1>",
        f"<p>{_CAVEAT}</p>",
        _headline(metrics, unit),
        "<h2>By label</h2>",
        _label_table(metrics, keys, unit),
        *_spread(metrics),
        *_gates(metrics),
        *(["<h2>Pictures</h2>"] if pictures else []),
        *map(_picture, pictures),
        "<h2>Cases, worst first</h2>",
        _case_table(metrics["cases"], keys, unit),
        "<h2>Model and data</h2>",
        _facts({f"model {k}": v for k, v in model.items()} | {f"data {k}": v for k, v in data.items()}),
    ]
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{heading}</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    with replacing(Path(path)) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _headline(metrics: Mapping[str, Any], unit: str) -> str:
    mean, std, cost = metrics["mean"], metrics["std"], metrics["cost"]
    cards = [("Cases", str(mean["cases"]), f"labels: {len(metrics['by_label'])}")]
    for key in ("dice", "surface_dice", "hd95_mm", "object_f1", "instance_ap50"):
        if mean.get(key) is not None:
            undefined = f"; {mean['hd95_undefined']} undefined" if key == "hd95_mm" and mean["hd95_undefined"] else ""
            cards.append((title(key, unit), _number(mean[key], key), f"± {_number(std[key], key)}{undefined}"))
    cards.append(("Seconds per case", _decimal(cost["seconds_mean"], 1), "mean"))
    cards.append(("Peak memory (MiB)", _decimal(cost["peak_memory_mib_max"], 0), "largest of all cases"))
    html = [f"<div><span>{escape(t)}</span><b>{escape(v)}</b><small>{escape(n)}</small></div>" for t, v, n in cards]
    return f'<div class="cards">{"".join(html)}</div>'


def _label_table(metrics: Mapping[str, Any], keys: Sequence[str], unit: str) -> str:
    rows = []
    for name, scores in metrics["by_label"].items():
        cells = [f"{_number(scores[key], key)} ± {_number(scores[f'{key}_std'], key)}" for key in keys]
        rows.append([name, str(scores["cases"]), *cells, str(scores["hd95_undefined"])])
    note = (
        "<p>Mean ± standard deviation over the cases in which the label is annotated. HD95 has no value where only "
        "one of truth and prediction is empty: such cases are counted in the last column and left out of its mean.</p>"
    )
    return _table(["Label", "Cases", *(title(k, unit) for k in keys), "HD95 undefined"], rows) + note


def _case_table(cases: Sequence[Case], keys: Sequence[str], unit: str) -> str:
    rows = [
        [
            str(case["name"]),
            *(_number(case_mean(case, key), key) for key in keys),
            str(hd95_undefined(case)),
            _decimal(case.get("seconds", {}).get("total"), 1),
            _decimal(case.get("peak_memory_mib"), 0),
        ]
        for case in _worst_first(cases)
    ]
    return _table(["Case", *(title(k, unit) for k in keys), "HD95 undefined", "Seconds", "Peak MiB"], rows)


def _worst_first(cases: Sequence[Case]) -> list[Case]:
    """Sorted by mean Dice; cases without a value last."""
    return sorted(cases, key=lambda case: (2.0 if (dice := case_mean(case, "dice")) is None else dice, case["name"]))


def _spread(metrics: Mapping[str, Any]) -> list[str]:
    if metrics["mean"].get("dice") is None:
        return []
    source = _light_and_dark(lambda dark: score_figure(metrics["cases"], dark=dark), "Box plots of Dice by label")
    return [
        f"<figure>{source}<figcaption>Dice by label: median, quartiles, whiskers to 1.5 times their distance; "
        "each dot is a case.</figcaption></figure>"
    ]


def _gates(metrics: Mapping[str, Any]) -> list[str]:
    """Gates of a network's paths by size of lesion, where the method has any."""
    lesions = [lesion for case in metrics["cases"] for lesion in case.get("gates", [])]
    table = by_size((lesion["diameter"], lesion["gates"]) for lesion in lesions)
    if not {"small", "large"} <= table.keys():
        return []
    paths = metrics["model"]["paths"]
    source = _light_and_dark(lambda dark: gate_figure(table, paths, dark=dark), "Gates by size of lesion")
    rows = [[path, *(f"{n:+.3f}" for n in row)] for path, row in zip(paths, differences(table), strict=True)]
    return [
        "<h2>Is scale awareness learned?</h2>",
        f"<figure>{source}<figcaption>How far the network opens its paths inside true lesions (terciles by diameter, "
        "number of lesions in brackets), with 95 % intervals over lesions. Where it tells sizes apart, the bars of a "
        "path differ, and wide paths are more open in large lesions.</figcaption></figure>",
        _table(["Path (voxels)", "Large - small", "from (95 % interval)", "to"], rows),
    ]


def _light_and_dark(draw: Callable[[bool], Figure], text: str) -> str:
    """A picture that goes with the colors of the reader's screen."""
    light, dark = (_data_url(draw(is_dark)) for is_dark in (False, True))
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{text}"></picture>'
    )


def _picture(picture: CasePicture) -> str:
    source = _data_url(contour_figure(picture))
    name = escape(picture.name)
    return (
        f'<figure><img src="{source}" alt="Contours of {name}">'
        f"<figcaption><b>{name}</b> {escape(picture.caption)}</figcaption></figure>"
    )


def _data_url(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(figure)).decode("ascii")


def _facts(facts: Mapping[str, Any]) -> str:
    """Those that fit on a line; nested ones are for the JSON file."""
    plain = {k: str(v) for k, v in facts.items() if isinstance(v, (str, int, float))}
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in plain.items()) + "</dl>"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    headings = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{headings}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _number(value: float | None, key: str) -> str:
    return _decimal(value, MEASURES[key].digits)


def _decimal(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
