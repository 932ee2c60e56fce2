"""An analytic CT-like torso whose exact labels exist at any resolution: training data and ground truth in one."""

from hrseg.phantom.cases import default_grid, write_cases
from hrseg.phantom.torso import LABELS, Torso

__all__ = ["LABELS", "Torso", "default_grid", "write_cases"]
