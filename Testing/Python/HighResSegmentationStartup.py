"""Run by Slicer after its start: the modules and the sample are there, and nothing heavy was loaded for them."""

import sys

import slicer

started_with = set(sys.modules)

from HighResSegmentationLib.Models import listModels  # noqa: E402 -- what came before is looked at below
from HighResSegmentationLib.SampleData import CATEGORY, NAME, registerSampleData  # noqa: E402
from HighResSegmentationLib.Terminologies import loadTerminologies  # noqa: E402

heavy = started_with & {"torch", "pydantic", "monai", "safetensors"}
assert not heavy, f"imported at start-up: {heavy}"

for module in ("highrescore", "cropcascade", "ossnet", "srsegmentation"):
    assert hasattr(slicer.modules, module), f"the module {module} is missing"

assert listModels(), "no bundled model was found"

# Slicer may run this before it says that the start is complete; a second registration changes nothing.
registerSampleData()
names = [source.sampleName for source in slicer.modules.sampleDataSources[CATEGORY]]
assert names == [NAME], names
assert loadTerminologies()
