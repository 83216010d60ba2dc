from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from mml.core.models.callbacks import EpochSeed, MetricHistory


class Line(lightning.LightningModule):
    """A line to fit; logs what it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.drawn: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.drawn.append(float(torch.rand(1)))
        return self.layer(batch[0]).square().mean()

    def on_train_epoch_end(self) -> None:
        self.log("train/epoch", float(self.current_epoch))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def on_validation_epoch_end(self) -> None:
        self.log("val/epoch", self.current_epoch * 10.0)
        self.log("other", 1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.zeros(4, 1)), batch_size=2, generator=torch.Generator())


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec")
class TestCallbacks:
    def fit(self, *callbacks: lightning.Callback, module: Line | None = None, **settings: Any) -> Line:
        module = module or Line()
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            **settings,
        )
        trainer.fit(module, loader(), loader())
        return module

    def test_every_epoch_draws_the_same_whatever_was_drawn_before(self) -> None:
        torch.manual_seed(1)
        first = self.fit(EpochSeed(7)).drawn
        torch.manual_seed(2)
        assert self.fit(EpochSeed(7)).drawn == first
        assert self.fit(EpochSeed(8)).drawn != first

    def test_epochs_draw_differently(self) -> None:
        drawn = self.fit(EpochSeed(7)).drawn
        assert len(set(drawn)) == len(drawn) == 6

    def test_history_has_a_row_per_epoch_with_what_was_logged(self) -> None:
        history = MetricHistory()
        self.fit(history)
        assert history.rows == [
            {"epoch": 0, "lr": 0.5, "train/epoch": 0.0, "val/epoch": 0.0},
            {"epoch": 1, "lr": 0.5, "train/epoch": 1.0, "val/epoch": 10.0},
            {"epoch": 2, "lr": 0.5, "train/epoch": 2.0, "val/epoch": 20.0},
        ]

    def test_an_epoch_without_validation_has_no_value_of_an_earlier_one(self) -> None:
        history = MetricHistory()
        self.fit(history, check_val_every_n_epoch=2)
        assert ["val/epoch" in row for row in history.rows] == [False, True, False]

    def test_a_sanity_check_is_no_epoch(self) -> None:
        history = MetricHistory()
        self.fit(history, num_sanity_val_steps=1)
        assert [row["epoch"] for row in history.rows] == [0, 1, 2]

    def test_a_second_training_starts_anew(self) -> None:
        history = MetricHistory()
        self.fit(history)
        self.fit(history)
        assert len(history.rows) == 3
