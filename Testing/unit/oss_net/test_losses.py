from __future__ import annotations

import math

import pytest
import torch

from hrseg.oss_net.losses import auxiliary_loss, point_loss


def test_points_by_hand() -> None:
    logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
    losses = point_loss(logits, torch.tensor([[0, 1]]), torch.tensor([[True]]))
    # Every probability is a half: overlap 0.5, total 1 + 1.
    assert losses["cross_entropy"].item() == pytest.approx(math.log(2))
    assert losses["dice_loss"].item() == pytest.approx(0.5, abs=1e-4)
    assert losses["loss"].item() == pytest.approx(0.5 * math.log(2) + 0.25, abs=1e-4)
    plain = point_loss(logits, torch.tensor([[0, 1]]), torch.tensor([[True]]), plain=True)
    assert plain["loss"].item() == pytest.approx(math.log(2))


def test_auxiliary_map_learns_the_greatest_membership() -> None:
    label = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    label[0, 3, 3, 3] = 1
    logits = torch.zeros(1, 2, 2, 2, 2)
    logits[0, 1] = -20
    logits[0, 1, 1, 1, 1] = 20
    assert auxiliary_loss(logits, label).item() < 1e-6
    logits[0, 1, 1, 1, 1] = 0
    assert auxiliary_loss(logits, label).item() == pytest.approx(math.log(2) / 8, abs=1e-6)
