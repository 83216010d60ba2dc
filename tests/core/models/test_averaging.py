from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from mml.core.models.averaging import EpochAveraging
from mml.core.models.training import Trainer
from mml.core.scripts.exceptions import MMLMisconfigurationException
from tests.support.plain_training import PlainModel, plain_trainer


class Snapshots(Callback):
    """Notes the weights after every epoch's last batch, those validated, and the learning rates."""

    def __init__(self) -> None:
        self.trained: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []
        self.rates: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        if trainer.is_last_batch:
            self.trained.append(pl_module.layer.weight.detach().clone())
            self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        if args[-1] == 0 or len(self.validated) < len(self.trained):
            self.validated.append(pl_module.layer.weight.detach().clone())


def averaged(tmp_path: Path, **settings: Any) -> tuple[Snapshots, PlainModel]:
    notes, model = Snapshots(), PlainModel()
    trainer = plain_trainer(tmp_path, [EpochAveraging(**settings), notes], max_epochs=4)
    assert isinstance(trainer, Trainer)
    trainer.fit(model)
    return notes, model


def test_the_last_epochs_are_averaged_and_kept(tmp_path: Path) -> None:
    notes, model = averaged(tmp_path, start=0.5)
    assert torch.allclose(model.layer.weight, (notes.trained[2] + notes.trained[3]) / 2)


def test_before_the_start_the_weights_are_those_of_the_epoch(tmp_path: Path) -> None:
    notes, _ = averaged(tmp_path, start=0.5)
    assert all(torch.equal(notes.validated[epoch], notes.trained[epoch]) for epoch in range(3))
    assert not torch.equal(notes.validated[3], notes.trained[3])


def test_a_start_at_the_end_takes_the_last_epoch_alone(tmp_path: Path) -> None:
    notes, model = averaged(tmp_path, start=1.0)
    assert torch.equal(model.layer.weight, notes.trained[3])


def test_the_learning_rate_changes_when_averaging_begins(tmp_path: Path) -> None:
    notes, _ = averaged(tmp_path, start=0.5, lr=0.125)
    assert notes.rates[:2] != [0.125] * 2
    assert notes.rates[2:] == [0.125] * 2


@pytest.mark.parametrize("settings", [{"start": 1.5}, {"start": "late"}, {"start": True}, {"lr": 0}, {"lr": "slow"}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MMLMisconfigurationException, match=f"{next(iter(settings))}="):
        EpochAveraging(**settings)


def test_a_training_without_an_end_is_refused(tmp_path: Path) -> None:
    trainer = plain_trainer(tmp_path, [EpochAveraging()], max_epochs=-1)
    with pytest.raises(MMLMisconfigurationException, match=r"trainer\.max_epochs"):
        trainer.fit(PlainModel())
