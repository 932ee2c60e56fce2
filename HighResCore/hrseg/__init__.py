"""Shared inference core of the HighResSegmentation extension. Never imports slicer, vtk or qt."""

__version__ = "0.1.0"
