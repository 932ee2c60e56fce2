"""``hrseg data-list``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrseg.cli.console import console
from hrseg.errors import InputError

if TYPE_CHECKING:
    from hrseg.data_folder import Pair, Pairs

#: The largest value of pictures: what masks mark with, and label maps rarely have.
_WHITE = 255


def data_list(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of images and label maps.")],
    target: Annotated[Path, typer.Option("--output", "-o", help="Data list to write (.json).")],
    labels: Annotated[
        str | None, typer.Option(help='Names of the values, such as "1=liver,2=liver lesion"; else as the files say.')
    ] = None,
    label_above: Annotated[
        float | None,
        typer.Option(help="The label files are masks or numbered objects of one label: voxels above this, 0 or 127."),
    ] = None,
    shares: Annotated[
        tuple[float, float, float], typer.Option(help="Of the cases for training, validation and test.")
    ] = (60, 20, 20),
    group: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help='Cases in whose names this finds the same stay together: "^patient[0-9]+".'),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds split otherwise.")] = 0,
    name: Annotated[str | None, typer.Option(help="Of the data set; else the folder's.")] = None,
    label_folder: Annotated[
        str | None, typer.Option(help="Folder of the label maps beside images, if not labels or masks.")
    ] = None,
    channel: Annotated[int | None, typer.Option(min=0, help="Of nnU-Net's NAME_0000, NAME_0001: 0 or 1.")] = None,
    skip_unpaired: Annotated[bool, typer.Option("--skip-unpaired", help="Leave out files without a partner.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the list if it exists.")] = False,
) -> None:
    """Makes the data list of a folder: which label map belongs to which image, and what each is for."""
    from hrseg.data_folder import find_pairs
    from hrseg.data_split import grouped, split_pairs
    from hrseg.image import replacing
    from hrseg.label_names import described_names, parse_names, read_description

    if target.exists() and not overwrite:
        raise InputError(f'The data list "{target}" exists; choose another name, or replace it by --overwrite.')
    pairs = find_pairs(folder, label_folder, channel)
    _tell_unpaired(pairs, skip_unpaired)
    description = read_description(folder)
    splits = split_pairs(pairs.found, shares, seed, group)
    known = described_names(description) if labels is None else parse_names(labels)
    names = _checked(known, label_above, [pair.label for pair in pairs.found])
    content: dict[str, Any] = {
        "name": name or str(description.get("name") or folder.resolve().name),
        **{key: description[key] for key in ("licence", "license", "reference") if description.get(key)},
        "labels": {"0": "background", **{str(value): label for value, label in names.items()}},
        **({} if label_above is None else {"label_above": label_above}),
        **{split: [_row(pair, target.parent) for pair in part] for split, part in splits.items()},
    }
    with replacing(target) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    counts = ", ".join(f"{split} {len(part)}" for split, part in splits.items())
    counts += f"; {len(grouped(pairs.found, group))} groups" if group is not None else ""
    shown = ", ".join(f"{value} {label}" for value, label in names.items())
    console.print(f'Data list: "{target}" ({counts}; labels: {shown}).')


def _tell_unpaired(pairs: Pairs, skip: bool) -> None:
    alone = [*pairs.images_alone, *pairs.labels_alone]
    if not alone:
        return
    missing = "label map for the image" if pairs.images_alone else "image for the label map"
    text = f'there is no {missing} "{alone[0]}"'
    if not skip:
        raise InputError(
            f"T{text[1:]} ({len(alone)} without a partner in all); add it, or leave such files out by --skip-unpaired."
        )
    console.print(f"Note: left out {len(alone)} of the files: {text}.", style="yellow")


def _checked(names: dict[int, str], label_above: float | None, files: list[Path]) -> dict[int, str]:
    """The names, or those that the files propose where there are none."""
    from hrseg.label_names import check_names, proposed_names

    if label_above is not None:
        if len(names) != 1:
            raise InputError(f"With --label-above {label_above:g} there is one label; name it, as in --labels lesion.")
    elif names:
        check_names(names, files)
    else:
        names = proposed_names(files)
        example = ",".join(f"{value}={name}" for value, name in names.items())
        text = f'Note: names and values are those of some files; others: --labels "{example}"'
        if _WHITE in names:
            text += "; if these are masks of one label: --labels lesion --label-above 127"
        console.print(text, style="yellow")
    return names


def _row(pair: Pair, folder: Path) -> dict[str, str]:
    """Paths below the list's folder are relative to it, so that both can be moved together."""
    near = folder.absolute()
    files = {"image": pair.image.absolute(), "label": pair.label.absolute()}
    rows = {key: path.relative_to(near) if path.is_relative_to(near) else path for key, path in files.items()}
    return {"name": pair.name.replace("/", "_"), **{key: path.as_posix() for key, path in rows.items()}}
