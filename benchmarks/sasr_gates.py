"""Is scale awareness learned? Mean gate of each path inside lesions, by tercile of lesion size, on the test cases.

    python benchmarks/sasr_gates.py --model runs/skin-lesion-sasr.safetensors --data runs/skin.json --picture gates.png

Paths are named by their width in voxels of what the network sees, the finest level's first; each level doubles them.
Were gates to follow size, wide paths would be more open in large lesions than in small ones, and narrow ones less: the
last lines give that difference with its interval over lesions (bootstrap). The report of `hrseg evaluate` has it, too.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hrseg.data_list import DataList, read_case, read_data_list
from hrseg.errors import HrsegError, InputError
from hrseg.evaluation.figures import png_bytes
from hrseg.evaluation.gates import Gated, by_size, differences, gate_figure
from hrseg.image import replacing
from hrseg.methods import method_of
from hrseg.model_file import load_model
from hrseg.runtime import choose_device


def lesion_gates(path: Path, data: DataList, split: str, device: str) -> tuple[list[str], list]:
    """Widths of the paths, and of each lesion the diameter (in voxels of what the network sees) and the gates."""
    model = load_model(path)
    method = method_of(model)
    if not (isinstance(method, Gated) and method.paths):
        raise InputError(f'The model "{model.header.name}" has no gates; choose a SASR-Net model with sdc.')
    model.network.to(choose_device(device))
    values = data.value_map(model.header.labels)
    found = [lesion for case in data.cases(split) for lesion in method.lesion_gates(*read_case(case, values))]
    return method.paths, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--picture", type=Path, help="PNG to write")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    try:
        paths, found = lesion_gates(arguments.model, read_data_list(arguments.data), arguments.split, arguments.device)
        table = by_size(found)
        if not {"small", "large"} <= table.keys():
            raise InputError(f"The {len(found)} lesions are all of one size; choose cases with others.")
        print("| lesions | " + " | ".join(f"{path} wide" for path in paths) + " |\n|" + " --- |" * (len(paths) + 1))
        for size, gates in table.items():
            print(f"| {size} ({len(gates)}) | " + " | ".join(f"{mean:.3f}" for mean in gates.mean(axis=0)) + " |")
        for path, (mean, low, high) in zip(paths, differences(table), strict=True):
            print(f"{path} wide: large - small {mean:+.3f} ({low:+.3f} … {high:+.3f})")
        if arguments.picture:
            figure = gate_figure(table, paths)
            figure.patch.set(alpha=1, facecolor="white")
            with replacing(arguments.picture) as temporary:
                temporary.write_bytes(png_bytes(figure))
    except HrsegError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
