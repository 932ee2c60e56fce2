"""The showings of ``hrseg demo``: a phantom with exact truth, and a user's own image."""
