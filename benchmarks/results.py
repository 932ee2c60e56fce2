r"""The tables of docs/ and README.md from stored metrics of single cases.

    python benchmarks/results.py import nuclei/cascade-64-0-cascade runs/tables/nuclei/cascade-64-0-cascade/metrics.json
    python benchmarks/results.py render     # writes each table between its markers
    python benchmarks/results.py check      # ends with 1 where a table is not what the metrics say
    python benchmarks/results.py cards      # writes docs/models/NAME.md of every bundled model

`import` keeps what tables need of the metrics.json of an evaluation (names, scores, seconds, memory; no paths) in
docs/results/NAME.json. docs/results/tables.yaml says what the tables are made of; see results_tables.py. In a document
a table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from results_tables import Tables, read_tables, stored

from hrseg.errors import HrsegError, InputError
from hrseg.evaluation.measures import MEASURES
from hrseg.evaluation.summary import Case, read_metrics, unit_of
from hrseg.image import make_folder, replacing
from hrseg.model_card import model_card
from hrseg.model_header import SUFFIX, read_header

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MODELS = ROOT / "Resources" / "Models"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
_MARKED = re.compile(r"(<!-- table: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def compact(metrics: dict[str, Any]) -> dict[str, Any]:
    """What is stored of an evaluation: no paths, and a digit more than tables show."""
    about = {part: _without_paths(metrics.get(part, {})) for part in ("model", "data")}
    # Cases lose the names of their files, which tell it.
    if unit_of({**metrics, **about}) == "pixels":
        about["data"]["unit"] = "pixels"
    return {**about, "cases": [_compact_case(case) for case in metrics["cases"]]}


def _without_paths(values: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in values.items() if isinstance(value, (str, int, float))}
    return {key: Path(value).name if _is_path(value) else value for key, value in kept.items()}


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and (value.startswith(("/", "~")) or "\\" in value)


def _compact_case(case: Case) -> dict[str, Any]:
    scores = {
        label: {key: _rounded(values[key], key) for key in MEASURES if key in values} | _size(values)
        for label, values in case["labels"].items()
    }
    kept: dict[str, Any] = {"name": case["name"], "labels": scores}
    total = case.get("seconds", {}).get("total")
    if total is not None:
        kept["seconds"] = {"total": round(total, 3)}
    if case.get("peak_memory_mib") is not None:
        kept["peak_memory_mib"] = round(case["peak_memory_mib"], 1)
    return kept


def _size(values: Case) -> dict[str, float]:
    """The true size, by which tables part cases; in few digits, whatever the size."""
    size = values.get("truth_ml")
    return {} if size is None else {"truth_ml": float(f"{size:.6g}")}


def _rounded(value: float | None, key: str) -> float | None:
    return None if value is None else round(value, MEASURES[key].digits + 1)


def write_stored(path: Path, content: dict[str, Any]) -> None:
    """One line per case, so that changes can be read."""
    head = "".join(f'"{part}": {json.dumps(content[part], ensure_ascii=False)},\n' for part in ("model", "data"))
    cases = ",\n".join(json.dumps(case, ensure_ascii=False, allow_nan=False) for case in content["cases"])
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_text(f'{{{head}"cases": [\n{cases}\n]}}\n', encoding="utf-8")


def rendered(text: str, tables: Tables, folder: Path, document: str) -> str:
    """A document with each table between its markers made anew.

    Raises:
        InputError: a marker without a table in tables.yaml, or a table's metrics are not stored.
    """

    def make(match: re.Match[str]) -> str:
        name = match[2]
        if name not in tables.tables:
            known = ", ".join(tables.tables)
            raise InputError(f'"{document}" has a marker for the table "{name}"; tables.yaml has {known}.')
        return f"{match[1]}{tables.tables[name].markdown(folder)}\n{match[4]}"

    return _MARKED.sub(make, text)


def write_cards(docs: Path, models: Path) -> list[Path]:
    """Writes the card of each model file in a folder; returns the cards."""
    tables, cards = read_tables(docs / "results" / "tables.yaml"), []
    for path in sorted(models.glob(f"*{SUFFIX}")):
        name = read_header(path)["name"]
        metrics = stored(docs / "results", tables.cards[name]) if name in tables.cards else None
        recipe = f"../../recipes/{name}.yaml" if (ROOT / "recipes" / f"{name}.yaml").exists() else ""
        cards.append(docs / "models" / f"{name}.md")
        make_folder(cards[-1].parent)
        with replacing(cards[-1]) as temporary:
            temporary.write_text(model_card(path, metrics, recipe), encoding="utf-8")
    return cards


def documents(docs: Path) -> list[Path]:
    """Those with tables, below the folder and beside it."""
    pages = [*sorted(docs.parent.glob("*.md")), *sorted(docs.rglob("*.md"))]
    return [path for path in pages if _MARKED.search(path.read_text(encoding="utf-8"))]


def run(arguments: argparse.Namespace) -> int:
    if arguments.command == "import":
        if not _NAME.fullmatch(arguments.name):
            raise InputError(f'The name "{arguments.name}" must be lower-case words, such as nuclei/cascade-64-0.')
        write_stored(DOCS / "results" / f"{arguments.name}.json", compact(read_metrics(arguments.metrics)))
        return 0
    if arguments.command == "cards":
        for card in write_cards(DOCS, MODELS):
            print(card.relative_to(ROOT))
        return 0
    tables, changed = read_tables(DOCS / "results" / "tables.yaml"), 0
    for path in documents(DOCS):
        before = path.read_text(encoding="utf-8")
        after = rendered(before, tables, DOCS / "results", path.name)
        if after == before:
            continue
        changed += 1
        print(f"{path.relative_to(ROOT)}: {_changed_tables(before, after)}")
        if arguments.command == "render":
            with replacing(path) as temporary:
                temporary.write_text(after, encoding="utf-8")
    return int(arguments.command == "check" and changed > 0)


def _changed_tables(before: str, after: str) -> str:
    find: Callable[[str], list[tuple[str, str]]] = lambda text: [(m[2], m[3]) for m in _MARKED.finditer(text)]  # noqa: E731
    return ", ".join(name for (name, a), (_, b) in zip(find(before), find(after), strict=True) if a != b)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    importing = commands.add_parser("import", help="store the metrics of an evaluation")
    importing.add_argument("name", help="such as nuclei/cascade-64-0-cascade")
    importing.add_argument("metrics", type=Path, help="metrics.json of an evaluation")
    for command, help_text in (("render", "write the tables"), ("check", "compare"), ("cards", "write model cards")):
        commands.add_parser(command, help=help_text)
    try:
        sys.exit(run(parser.parse_args()))
    except HrsegError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
