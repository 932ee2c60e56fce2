"""Dice and cross-entropy over the labels that are annotated in each case."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_dice_ce(
    logits: Tensor,
    target: Tensor,
    annotated: Tensor,
    *,
    hardest: float = 1.0,
    weight: Tensor | None = None,
    by_sample: bool = False,
) -> dict[str, Tensor]:
    """Mean of soft Dice loss and cross-entropy, 0.5 each.

    A label that nobody drew in a case may be anything the annotators called background there: its probability is added
    to the background's (the marginal loss of Shi et al., Medical Image Analysis 2021) and it has no Dice term.

    Args:
        logits: (N, classes, *shape), the background first.
        target: (N, *shape), class numbers.
        annotated: (N, classes - 1), True where the label was drawn.
        hardest: share of all voxels, those of highest cross-entropy, that its mean is taken over.
        weight: (N, *shape), how many voxels each stands for; None: one. Not together with ``hardest``.
        by_sample: Dice of each sample, smoothed by one voxel, so that small objects count as much as large ones; else
            that of the whole batch, as in nnU-Net.

    Returns:
        ``loss``, and its parts ``dice_loss`` and ``cross_entropy``; all are 0 for a perfect prediction.
    """
    log_probability = logits.float().log_softmax(dim=1)
    if not annotated.all():
        log_probability, target = _with_unknown_in_background(log_probability, target, annotated)
    if weight is not None:
        each = F.nll_loss(log_probability, target, reduction="none")
        cross_entropy = (each * weight).sum() / weight.sum()
    elif hardest < 1:
        each = F.nll_loss(log_probability, target, reduction="none").flatten()
        cross_entropy = each.topk(max(1, round(hardest * each.numel())), sorted=False).values.mean()
    else:
        cross_entropy = F.nll_loss(log_probability, target)
    dice = _dice_loss(log_probability[:, 1:].exp(), target, annotated, weight, by_sample)
    loss = 0.5 * dice + 0.5 * cross_entropy
    return {"loss": loss, "dice_loss": dice.detach(), "cross_entropy": cross_entropy.detach()}


def _with_unknown_in_background(log_all: Tensor, target: Tensor, annotated: Tensor) -> tuple[Tensor, Tensor]:
    known = F.pad(annotated, (1, 0), value=True)
    column = known[(..., *[None] * (log_all.ndim - 2))]
    background = log_all.masked_fill(column, float("-inf"))
    background[:, 0] = log_all[:, 0]
    log_probability = torch.cat([background.logsumexp(dim=1, keepdim=True), log_all[:, 1:]], dim=1)
    return log_probability, torch.where(known.gather(1, target.flatten(1)).view_as(target), target, 0)


def _dice_loss(
    probability: Tensor, target: Tensor, annotated: Tensor, weight: Tensor | None, by_sample: bool
) -> Tensor:
    """1 - mean Dice of the annotated labels.

    A label that is nowhere counts 1 until it is no longer predicted, but with next to no gradient.
    """
    if weight is not None:
        probability = probability * weight[:, None]
    overlap = torch.stack([(p * (target == n)).flatten(1).sum(1) for n, p in enumerate(probability.unbind(1), 1)], 1)
    masks = [target == n if weight is None else weight * (target == n) for n in range(1, probability.shape[1] + 1)]
    truth = torch.stack([mask.flatten(1).sum(1) for mask in masks], 1)
    total = probability.flatten(2).sum(2) + truth
    # Per sample and label so far, so that labels nobody drew in a sample can be left out.
    if by_sample:
        each = (2 * overlap + 1) / (total + 1)
        return 1 - each[annotated].mean() if annotated.any() else probability.sum() * 0
    dice = (2 * (overlap * annotated).sum(0) + 1e-5) / ((total * annotated).sum(0) + 1e-5)
    seen = annotated.any(dim=0)
    return 1 - dice[seen].mean() if seen.any() else probability.sum() * 0
