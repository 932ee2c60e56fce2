"""The terms of the loss by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hrseg.sasr.affinity import feature_affinity, scale_affinity
from hrseg.sasr.layers import enlarged
from hrseg.sasr.losses import Weights, image_loss, image_share, sasr_loss
from hrseg.sasr.network import Outputs
from hrseg.training.losses import masked_dice_ce

BOTH = torch.tensor([True, True])


def test_lesions_count_five_times_as_much() -> None:
    found, wanted = torch.tensor([[[[3.0, 3.0]]]]), torch.tensor([[[[1.0, 2.0]]]])
    label, one = torch.tensor([[[0, 1]]]), torch.tensor([True])
    # Background 0.2 * 4 and lesion 1 * 1, mean of two pixels.
    assert image_loss(found, wanted, label, one, "l2").item() == pytest.approx(0.9)
    assert image_loss(found, wanted, label, one, "l1").item() == pytest.approx(0.7)
    assert image_loss(wanted, wanted, label, one, "l2").item() == 0


def test_samples_without_a_fine_image_do_not_count() -> None:
    found = torch.tensor([1.0, 100.0]).reshape(2, 1, 1, 1).requires_grad_()
    wanted, label = torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, dtype=torch.long)
    loss = image_loss(found, wanted, label, torch.tensor([True, False]), "l2")
    assert loss.item() == 1
    loss.backward()
    assert found.grad is not None
    assert found.grad.flatten().tolist() == [2, 0]
    assert image_loss(found, wanted, label, ~BOTH, "l2").item() == 0


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_differences_count_as_a_share_of_those_of_interpolation(kind: Any) -> None:
    sample = batch()
    image, fine, label = sample["image"], sample["fine"], sample["label"]
    plain = enlarged(image, [2, 2])
    assert image_share(plain, image, fine, label, BOTH, kind).item() == pytest.approx(1)
    assert image_share(fine, image, fine, label, BOTH, kind).item() == 0
    half = image_share((plain + fine) / 2, image, fine, label, BOTH, kind).item()
    assert half == pytest.approx(0.5 if kind == "l1" else 0.25)
    # Where interpolation loses nothing there is nothing to gain.
    flat = torch.ones(2, 1, 8, 8)
    assert image_share(flat, torch.ones(2, 1, 4, 4), flat, label, BOTH, kind).item() == 0


def outputs(**changes: Any) -> Outputs:
    torch.manual_seed(0)
    fields: dict[str, Any] = {
        "logits": torch.randn(2, 2, 8, 8),
        "image": torch.rand(2, 1, 8, 8),
        "mask_features": torch.rand(2, 3, 4, 4),
        "image_features": torch.rand(2, 5, 4, 4),
        "mask_gates": [torch.rand(2, 4, 4, 4)],
        "image_gates": [torch.rand(2, 4, 4, 4)],
    }
    return Outputs(**{**fields, **changes})


def batch() -> dict[str, Tensor]:
    torch.manual_seed(1)
    label = torch.randint(0, 2, (2, 8, 8))
    return {
        "image": torch.rand(2, 1, 4, 4),
        "label": label,
        "annotated": torch.ones(2, 1, dtype=torch.bool),
        "fine": torch.rand(2, 1, 8, 8),
        "has_fine": BOTH,
    }


def test_the_whole_is_the_weighted_sum() -> None:
    out, sample = outputs(), batch()
    assert out.image is not None
    assert out.image_features is not None
    parts = sasr_loss(out, sample, Weights(2, 3, 4))
    mask = masked_dice_ce(out.logits, sample["label"], sample["annotated"], by_sample=True)["loss"]
    image = image_share(out.image, sample["image"], sample["fine"], sample["label"], BOTH, "l2")
    feature = feature_affinity(out.mask_features, out.image_features)
    scale = scale_affinity(out.mask_gates, out.image_gates)
    assert parts["loss"].item() == pytest.approx((mask + 2 * image + 3 * feature + 4 * scale).item(), abs=1e-6)
    assert parts["image"].item() == image.item()
    assert parts["feature_affinity"].item() == feature.item()
    assert parts["scale_affinity"].item() == scale.item()


def test_perfect_masks_images_and_affinities_cost_nothing() -> None:
    sample = batch()
    features = torch.rand(2, 3, 4, 4)
    gates = [torch.rand(2, 4, 4, 4)]
    logits = 100 * torch.nn.functional.one_hot(sample["label"], 2).movedim(-1, 1).float()
    out = Outputs(logits, sample["fine"], features, features, gates, gates)
    assert sasr_loss(out, sample, Weights(1, 1, 1))["loss"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "names"),
    [
        (Weights(0, 0, 0), set()),
        (Weights(1, 0, 0), {"image"}),
        (Weights(0, 1, 0), {"feature_affinity"}),
        (Weights(0, 0, 1), {"scale_affinity"}),
    ],
)
def test_switches(weights: Weights, names: set[str]) -> None:
    parts = sasr_loss(outputs(), batch(), weights)
    assert set(parts) == {"loss", "dice_loss", "cross_entropy"} | names


def test_networks_without_parts_have_no_terms() -> None:
    plain = outputs(image=None, image_features=None, mask_gates=[], image_gates=[])
    assert set(sasr_loss(plain, batch(), Weights(1, 1, 1))) == {"loss", "dice_loss", "cross_entropy"}
