from pathlib import Path

import pytest
import torch

from mml.core.models.tally import CHECK_EVERY, Tally
from mml.core.scripts.exceptions import MMLError


def test_means_weigh_batches_by_their_size() -> None:
    tally = Tally()
    tally.add(torch.tensor(1.0), 3)
    tally.add(torch.tensor(5.0), 1)
    assert tally.means() == {"loss": 2.0}


def test_accuracy_counts_hits_over_all_batches() -> None:
    tally = Tally()
    for target in ([0, 1], [1, 1]):
        tally.add(torch.tensor(0.0), 2)
        tally.add_hits(torch.eye(2), torch.tensor(target))
    assert tally.means()["accuracy"] == 0.75


def test_nothing_counted_has_no_means() -> None:
    assert Tally().means() == {}


def test_a_loss_that_is_no_number_is_named_with_epoch_batch_and_help() -> None:
    tally = Tally()
    for value in (1.0, 2.0, float("nan"), 1.0):
        tally.add(torch.tensor(value), 1)
    with pytest.raises(MMLError, match=r"task 'digits' became nan in epoch 3, batch 2.*optimizer\.lr"):
        tally.check_finite("digits", 3, now=True)


def test_losses_are_looked_at_now_and_then() -> None:
    tally = Tally()
    for _ in range(CHECK_EVERY - 1):
        tally.add(torch.tensor(float("inf")), 1)
        tally.check_finite("digits", 0)
    tally.add(torch.tensor(0.0), 1)
    with pytest.raises(MMLError, match="became inf in epoch 0, batch 0"):
        tally.check_finite("digits", 0)


def test_what_was_looked_at_is_not_looked_at_again() -> None:
    tally = Tally()
    for _ in range(CHECK_EVERY):
        tally.add(torch.tensor(1.0), 1)
    tally.check_finite("digits", 0)
    tally.add(torch.tensor(float("nan")), 1)
    tally.check_finite("digits", 0)
    with pytest.raises(MMLError, match=f"batch {CHECK_EVERY}"):
        tally.check_finite("digits", 0, now=True)


def test_an_empty_tally_is_fine() -> None:
    Tally().check_finite("digits", 0, now=True)


def test_a_tally_keeps_no_graph() -> None:
    tally = Tally()
    weight = torch.tensor(1.0, requires_grad=True)
    tally.add(weight * 2, 1)
    tally.add_hits(torch.eye(2) * weight, torch.tensor([0, 1]))
    assert not any(value.requires_grad for value in (*tally._losses, *tally._hits))


@pytest.mark.parametrize("batches", [0, 3])
def test_counting_goes_on_where_it_was(batches: int, tmp_path: Path) -> None:
    whole, part, rest = Tally(), Tally(), Tally()
    for number in range(6):
        logits, target = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
        loss = torch.nn.functional.cross_entropy(logits, target)
        for tally in (whole, part) if number < batches else (whole, rest):
            if tally is rest and number == batches:
                torch.save(part.state_dict(), tmp_path / "tally.ckpt")
                rest.load_state_dict(torch.load(tmp_path / "tally.ckpt", weights_only=True), torch.device("cpu"))
            tally.add(loss, 4)
            tally.add_hits(logits, target)
    assert rest.means() == whole.means()
