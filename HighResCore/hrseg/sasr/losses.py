"""The loss of SASR-Net, term by term (Luo et al. 2024)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hrseg.blocks import interpolated
from hrseg.sasr.affinity import feature_affinity, scale_affinity
from hrseg.sasr.network import Outputs
from hrseg.training.losses import masked_dice_ce

#: Share of a background voxel in the image loss; a lesion's counts 1.
_BACKGROUND = 0.2
#: What the difference of an interpolated image counts at least, so that images without any detail count little.
_LEAST = 1e-5


class Weights(NamedTuple):
    """What the terms beside the mask's count."""

    image: float
    feature: float
    scale: float


def image_loss(found: Tensor, wanted: Tensor, label: Tensor, exists: Tensor, kind: Literal["l1", "l2"]) -> Tensor:
    """Mean difference of two images, lesions counting five times as much as background.

    Args:
        found, wanted: (N, C, *fine).
        label: (N, *fine), 0 in the background.
        exists: (N,), False where there is no image of that resolution; such samples do not count.
        kind: absolute or squared differences.
    """
    if not exists.any():
        return found.sum() * 0
    found, wanted, label = found[exists].float(), wanted[exists].float(), label[exists]
    weight = torch.where(label > 0, 1.0, _BACKGROUND)[:, None]
    difference = F.l1_loss(found, wanted, reduction="none") if kind == "l1" else (found - wanted).square()
    return (weight * difference).mean()


def image_share(
    found: Tensor, image: Tensor, wanted: Tensor, label: Tensor, exists: Tensor, kind: Literal["l1", "l2"]
) -> Tensor:
    """:func:`image_loss` as a share of what interpolating the ``image`` (N, C, *shape) alone costs: 1 is no gain.

    By itself it is as small as the detail that images lose, and would weigh next to nothing beside the mask's loss.
    """
    plain = image_loss(interpolated(image, found.shape[2:]), wanted, label, exists, kind).detach()
    return image_loss(found, wanted, label, exists, kind) / plain.clamp(min=_LEAST)


def sasr_loss(
    outputs: Outputs, batch: dict[str, Tensor], weights: Weights, kind: Literal["l1", "l2"] = "l2"
) -> dict[str, Tensor]:
    """``loss`` and its parts: those of the mask, ``image``, ``feature_affinity`` and ``scale_affinity``.

    Terms of weight 0 are not computed.

    Args:
        outputs: of the network.
        batch: ``image`` (N, C, *shape), ``label`` (N, *fine), ``annotated`` (N, labels), ``fine`` (N, C, *fine) and
            ``has_fine`` (N,).
        weights: of the terms.
        kind: of the image loss.
    """
    parts = masked_dice_ce(outputs.logits, batch["label"], batch["annotated"], by_sample=True)
    terms: dict[str, tuple[float, Tensor]] = {}
    if outputs.image is not None and weights.image:
        image = image_share(outputs.image, batch["image"], batch["fine"], batch["label"], batch["has_fine"], kind)
        terms["image"] = weights.image, image
    if outputs.image_features is not None and weights.feature:
        terms["feature_affinity"] = weights.feature, feature_affinity(outputs.mask_features, outputs.image_features)
    if outputs.image_gates and weights.scale:
        terms["scale_affinity"] = weights.scale, scale_affinity(outputs.mask_gates, outputs.image_gates)
    loss = parts["loss"] + sum(weight * term for weight, term in terms.values())
    return {**parts, "loss": loss, **{name: term.detach() for name, (_, term) in terms.items()}}
