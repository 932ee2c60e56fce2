"""Run as a script by any Python, to ask what is in it: ``python Probe.py NAME...`` prints one line of JSON.

The Python that runs it may be an old one: nothing here is newer than Python 3.6, and nothing else of the extension
is imported.
"""

import importlib
import json
import sys

#: Other packages print, too: what comes after this on a line is the answer.
MARK = "HighResSegmentation "


def main(names):
    """Prints the version of this Python, those of the packages ``names``, and which GPUs PyTorch can use."""
    answer = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "platform": sys.platform,
        "packages": {},
        "failures": {},
        "gpus": [],
        "noGpu": "",
    }
    for name in names:
        try:
            answer["packages"][name] = version(name, importlib.import_module(name))
        except ModuleNotFoundError as error:
            if error.name != name:
                answer["failures"][name] = f"it needs {error.name}"
        # A damaged installation may raise anything.
        except Exception as error:
            answer["failures"][name] = f"{type(error).__name__}: {error}"
    if "torch" in answer["packages"]:
        try:
            gpus(answer)
        except Exception as error:
            answer["noGpu"] = f"PyTorch cannot use the GPU: {error}"
    print("\n" + MARK + json.dumps(answer))


def version(name, module):
    """The version of a package as text, empty if it does not say."""
    try:
        from importlib import metadata

        return metadata.version(name)
    except Exception:
        return str(getattr(module, "__version__", ""))


def gpus(answer):
    """Adds the GPUs that PyTorch can use, or why there is none."""
    import torch

    if not torch.cuda.is_available():
        if not torch.version.cuda and not getattr(torch.version, "hip", None):
            answer["noGpu"] = "this build of PyTorch has no support for NVIDIA GPUs"
        else:
            answer["noGpu"] = "no GPU with a working driver was found"
        return
    for number in range(torch.cuda.device_count()):
        # A GPU that is newer than PyTorch shows itself only when something is computed.
        torch.zeros(1, device=f"cuda:{number}").add_(1).cpu()
        free, total = torch.cuda.mem_get_info(number)
        answer["gpus"].append({"name": torch.cuda.get_device_name(number), "freeBytes": free, "totalBytes": total})


if __name__ == "__main__":
    # The folder of this script holds modules of other programs' names.
    sys.path.pop(0)
    main(sys.argv[1:])
