import math

import pytest
import torch

from hrseg.training.losses import masked_dice_ce


def logits(*probabilities):
    """Of one sample with one voxel per list of class probabilities: (1, classes, voxels)."""
    return torch.tensor(probabilities).log().T[None].requires_grad_()


def annotated(*drawn):
    return torch.tensor([drawn])


def test_two_voxels_by_hand():
    found = masked_dice_ce(logits([0.7, 0.3], [0.2, 0.8]), torch.tensor([[0, 1]]), annotated(True))
    entropy = -(math.log(0.7) + math.log(0.8)) / 2
    dice = 1 - 2 * 0.8 / (0.3 + 0.8 + 1)
    assert float(found["cross_entropy"]) == pytest.approx(entropy, abs=1e-4)
    assert float(found["dice_loss"]) == pytest.approx(dice, abs=1e-4)
    assert float(found["loss"].detach()) == pytest.approx((entropy + dice) / 2, abs=1e-4)


def test_cross_entropy_of_the_hardest_voxels_alone():
    values = logits([0.9, 0.1], [0.5, 0.5], [0.8, 0.2], [0.9, 0.1])
    found = masked_dice_ce(values, torch.tensor([[0, 0, 0, 1]]), annotated(True), hardest=0.5)
    assert float(found["cross_entropy"]) == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2, abs=1e-4)


def test_points_that_stand_for_several_voxels():
    values, target = [[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]], [0, 1, 0]
    weight = torch.tensor([[3.0, 1.0, 2.0]])
    found = masked_dice_ce(logits(*values), torch.tensor([target]), annotated(True), weight=weight)
    places = [0, 0, 0, 1, 2, 2]
    each = masked_dice_ce(
        logits(*(values[n] for n in places)), torch.tensor([[target[n] for n in places]]), annotated(True)
    )
    for name, value in each.items():
        assert float(found[name].detach()) == pytest.approx(float(value.detach()), abs=1e-5)


def test_dice_is_over_the_batch_and_the_mean_over_labels():
    two = torch.cat([logits([0.2, 0.8, 0.0 + 1e-9]), logits([0.5, 0.25, 0.25])])
    found = masked_dice_ce(two, torch.tensor([[1], [2]]), torch.ones(2, 2, dtype=torch.bool))
    first = 2 * 0.8 / (0.8 + 0.25 + 1)
    second = 2 * 0.25 / (0.25 + 1)
    assert float(found["dice_loss"]) == pytest.approx(1 - (first + second) / 2, abs=1e-4)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_a_perfect_prediction_costs_nothing(shape):
    torch.manual_seed(0)
    target = torch.randint(3, (2, *shape))
    perfect = 50 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1).float()
    found = masked_dice_ce(perfect, target, torch.ones(2, 2, dtype=torch.bool))
    assert all(float(value) == pytest.approx(0, abs=1e-4) for value in found.values())


def test_a_label_that_nobody_drew_counts_as_background():
    values = logits([0.5, 0.2, 0.3], [0.1, 0.8, 0.1])
    found = masked_dice_ce(values, torch.tensor([[0, 1]]), annotated(True, False))
    assert float(found["cross_entropy"]) == pytest.approx(-(math.log(0.5 + 0.3) + math.log(0.8)) / 2, abs=1e-4)
    assert float(found["dice_loss"]) == pytest.approx(1 - 2 * 0.8 / (0.2 + 0.8 + 1), abs=1e-4)
    found["loss"].backward()
    assert values.grad is not None
    background, _, unseen = values.grad[0, :, 0]
    # Both are pulled alike, in proportion to their probability: nothing says which of the two it is.
    assert float(background) < 0
    assert float(background / unseen) == pytest.approx(0.5 / 0.3, abs=1e-3)


def test_voxels_of_a_label_that_was_not_drawn_are_background():
    values = logits([0.5, 0.2, 0.3], [0.1, 0.8, 0.1])
    stray = masked_dice_ce(values, torch.tensor([[2, 1]]), annotated(True, False))
    clean = masked_dice_ce(values, torch.tensor([[0, 1]]), annotated(True, False))
    assert stray == clean


def test_masking_is_per_sample():
    both = torch.cat([logits([0.5, 0.2, 0.3]), logits([0.1, 0.8, 0.1])])
    found = masked_dice_ce(both, torch.tensor([[0], [1]]), torch.tensor([[True, False], [True, True]]))
    assert float(found["cross_entropy"]) == pytest.approx(-(math.log(0.8) + math.log(0.8)) / 2, abs=1e-4)


def test_nothing_annotated_gives_no_gradient():
    values = logits([0.5, 0.2, 0.3])
    found = masked_dice_ce(values, torch.tensor([[0]]), annotated(False, False))
    found["loss"].backward()
    assert float(found["loss"].detach()) == pytest.approx(0, abs=1e-6)
    assert values.grad is not None
    assert float(values.grad.abs().max()) < 1e-6


def test_an_absent_label_costs_nothing_once_it_is_not_predicted():
    certain = torch.tensor([[50.0, 0.0, 0.0], [0.0, 50.0, 0.0]]).T[None]
    found = masked_dice_ce(certain, torch.tensor([[0, 1]]), annotated(True, True))
    assert float(found["loss"]) == pytest.approx(0, abs=1e-4)


def test_half_precision_logits_are_summed_in_full():
    values = torch.zeros(1, 2, 40, 40, 40, dtype=torch.float16)
    found = masked_dice_ce(values, torch.zeros(1, 40, 40, 40, dtype=torch.long), annotated(True))
    assert float(found["cross_entropy"]) == pytest.approx(math.log(2), abs=1e-4)
