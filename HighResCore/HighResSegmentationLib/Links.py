"""Where the extension lives on the web. ``CMakeLists.txt`` and ``HighResSegmentation.json`` say the same."""

REPOSITORY = "https://github.com/HighResSegmentation/SlicerHighResSegmentation"


def tutorial(name: str) -> str:
    """The address of a page of ``docs/tutorials``, such as that of ``"crop_cascade"``."""
    return f"{REPOSITORY}/blob/main/docs/tutorials/{name}.md"
