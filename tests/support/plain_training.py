"""A training as an author of a plugin writes it: an own module with Lightning's `self.log`, and ordinary loaders."""

from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from mml.core.models.callbacks import EpochSeed, MetricHistory
from mml.core.models.resuming import KeepGoing
from mml.core.models.training import Trainer, build_trainer

SAMPLES, CLASSES = 40, 3


class PlainModel(lightning.LightningModule):
    """Logs in every way that Lightning has, and draws random numbers (dropout) while it trains."""

    def __init__(self, shuffle: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.drop = nn.Linear(5, CLASSES), nn.Dropout(0.3)
        self.accuracy, self.mean = MulticlassAccuracy(CLASSES), MeanMetric()
        self.shuffle = shuffle
        self.seen: list[int] = []
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(SAMPLES, 5, generator=generator)
        self.labels = torch.randint(CLASSES, (SAMPLES,), generator=generator)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seen"] = self.seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seen = list(checkpoint["seen"])

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        numbers, inputs, labels = batch
        self.seen += numbers.tolist()
        logits = self.drop(self.layer(inputs))
        loss = nn.functional.cross_entropy(logits, labels)
        self.accuracy(logits, labels)
        self.mean.update(loss.detach())
        self.log("train/accuracy", self.accuracy, on_step=False, on_epoch=True)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        self.log("train/largest", loss.detach(), on_step=False, on_epoch=True, reduce_fx="max")
        self.log("train/sum", loss.detach(), on_step=False, on_epoch=True, reduce_fx=sum)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("train/mean", self.mean.compute())
        self.mean.reset()

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        _, inputs, labels = batch
        self.log("val/loss", nn.functional.cross_entropy(self.layer(inputs), labels))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "train/loss_epoch"}}

    def train_dataloader(self) -> Any:
        return self._loader(self.shuffle)

    def val_dataloader(self) -> Any:
        return self._loader(False)

    def _loader(self, shuffle: bool) -> Any:
        data = TensorDataset(torch.arange(SAMPLES), self.inputs, self.labels)
        return DataLoader(data, batch_size=7, shuffle=shuffle)


def plain_trainer(root: Path, callbacks: list[Callback], keeper: KeepGoing | None = None, **settings: Any) -> Trainer:
    """Return a trainer for a `PlainModel`, which keeps its history and seeds its epochs as those of mml do."""
    defaults = {"max_epochs": 3, "accelerator": "cpu", "deterministic": "warn", "log_every_n_steps": 2}
    cfg = OmegaConf.create({"trainer": {**defaults, **settings}})
    return build_trainer(cfg, callbacks=[EpochSeed(7), MetricHistory(), *callbacks], root=root, keeper=keeper)
