"""What the field learns from: its labels at points, and those that the encoder alone gives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hrseg.training.losses import masked_dice_ce


def point_loss(
    logits: Tensor, target: Tensor, annotated: Tensor, weight: Tensor | None = None, *, plain: bool = False
) -> dict[str, Tensor]:
    """Dice and cross-entropy at points, the latter alone where ``plain`` (published).

    Args:
        logits: (N, classes, P) or (N, classes, *nodes).
        target: (N, P) or (N, *nodes).
        annotated: (N, classes - 1), whether the label was drawn.
        weight: (N, P), how many voxels each point stands for.
    """
    losses = masked_dice_ce(logits, target, annotated, weight=weight)
    if plain:
        entropy = F.cross_entropy(logits.float(), target)
        return {**losses, "loss": entropy, "cross_entropy": entropy.detach()}
    return losses


def auxiliary_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Published loss of the auxiliary map: binary cross-entropy per label with the greatest membership in each cell.

    Args:
        logits: (N, classes, *grid).
        label: (N, K, J, I).
    """
    classes = logits.shape[1]
    target = F.one_hot(label, classes).movedim(-1, 1)[:, 1:].float()
    target = F.adaptive_max_pool3d(target, logits.shape[2:])
    # A single output has the background's logit 0, so that the difference is the sigmoid's.
    values = logits[:, 1:] - (logits[:, :1] if classes > 2 else torch.zeros_like(logits[:, :1]))
    return F.binary_cross_entropy_with_logits(values.float(), target)
