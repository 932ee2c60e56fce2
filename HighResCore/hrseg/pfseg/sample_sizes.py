"""How large samples are: the network normalises over all that it sees, so that they should be as in use, or vary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: From the least to the most.
_COUNT = 5


class SampleSizes:
    """Sides of samples, (k, j, i) or (j, i).

    Args:
        least, most: sides; all samples are as large as ``most`` if they are equal.
        multiple: what sides are multiples of.
        alike: all samples have the sides ``most``, as batches of several need.
    """

    def __init__(self, least: Sequence[int], most: Sequence[int], multiple: Sequence[int], *, alike: bool) -> None:
        self._multiple, self._most, self._alike = multiple, list(most), alike
        steps = np.rint(np.linspace(least, most, _COUNT) / multiple).astype(int)
        self.all = np.unique(steps * multiple, axis=0).tolist()

    def draw(self, shape: Sequence[int], rng: np.random.RandomState) -> list[int]:
        """Those of a sample of a volume of this shape: no larger than what the network sees of it in use."""
        if self._alike:
            return self._most
        size = self.all[rng.randint(len(self.all))] if len(self.all) > 1 else self._most
        axes = zip(size, shape[-len(size) :], self._multiple, strict=True)
        return [min(side, -(-length // step) * step) for side, length, step in axes]
