"""Stochastic weight averaging, made of Lightning's callback for averages, which can go on inside a training.

Averaging Weights Leads to Wider Optima and Better Generalization (Izmailov et al., 2018, arXiv:1803.05407).
"""

import math
from typing import Any

import lightning
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from mml.core.scripts.exceptions import MMLMisconfigurationException


class EpochAveraging(WeightAveraging):
    """Averages the weights at the ends of the last epochs; they are what is validated, tested and kept.

    Until averaging begins the weights are those of the last batch. Running statistics of normalisation are averaged,
    too.

    Args:
        start: share of the training after which averaging begins, 0 to 1.
        lr: learning rate from then on, above 0; None to leave it as it is.

    Raises:
        MMLMisconfigurationException: a value that can't be used.
    """

    def __init__(self, start: float = 0.75, lr: float | None = None) -> None:
        if not _is_number(start) or not 0 <= start <= 1:
            msg = f"start={start} has to be a share of the training, from 0.0 to 1.0."
            raise MMLMisconfigurationException(msg)
        if lr is not None and not (_is_number(lr) and 0 < lr < math.inf):
            msg = f"lr={lr} has to be a learning rate above 0, or null."
            raise MMLMisconfigurationException(msg)
        super().__init__(avg_fn=self._average)
        self._start, self._lr = start, lr
        self._first = 0
        self._is_last = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Tell that the last step of an epoch counts; so its validation is that of the average."""
        del epoch_idx
        return step_idx is not None and self._is_last

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Find out when averaging begins.

        Raises:
            MMLMisconfigurationException: the training has no known number of epochs.
        """
        del pl_module
        if trainer.max_epochs is None or trainer.max_epochs < 0:
            msg = "callbacks=swa needs to know where the training ends: set trainer.max_epochs."
            raise MMLMisconfigurationException(msg)
        self._first = min(int(trainer.max_epochs * self._start), trainer.max_epochs - 1)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Set the learning rate of averaging."""
        del pl_module
        if self._lr is not None and trainer.current_epoch >= self._first:
            for group in trainer.optimizers[0].param_groups:
                group["lr"] = self._lr

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any, **kwargs: Any) -> None:
        """Take the weights after the last batch of an epoch."""
        self._is_last = trainer.is_last_batch
        super().on_train_batch_end(trainer, *args, **kwargs)

    def _average(self, average: Tensor, weight: Tensor, averaged: Tensor | int) -> Tensor:
        """Return the new average; `averaged` counts earlier epochs, also those that only were copied."""
        earlier = int(averaged) - self._first
        return weight if earlier <= 0 else average + (weight - average) / (earlier + 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
