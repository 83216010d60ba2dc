"""SingleFrameLightningModule: how a model of single images is trained and judged; keeps what is slow out of batches."""

# ruff: noqa: ARG002 # Lightning's hooks have a signature of their own.

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import lightning
from torch import Tensor, nn
from torch.optim import Optimizer

from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.models.heads import create_head, scores
from mml.core.models.kinds import TARGETS
from mml.core.models.losses import check_fits
from mml.core.models.metrics import TaskMetrics, confusion_matrix
from mml.core.models.optimization import Horizon, Schedule, build_optimizer
from mml.core.models.tally import Tally
from mml.core.models.torch_base import BaseModel
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.utils import LearningPhase

# Task name -> what one loader gives: images, targets, sample ids.
Batch = Mapping[str, Mapping[str, Any]]


class Recipe(NamedTuple):
    """What a model is trained with.

    Attributes:
        loss: makes the loss of a task of its struct.
        optimizer: makes the optimizer of groups of parameters.
        schedule: makes the learning rate schedule, None for a constant rate.
        metrics: metric name -> torchmetrics class.
        monitor: the metric that is watched, e.g. `"val/accuracy"`.
    """

    loss: Callable[[TaskStruct], nn.Module]
    optimizer: Callable[..., Optimizer]
    schedule: Schedule | None
    metrics: Mapping[str, Any]
    monitor: str


class Objective(nn.Module):
    """What one task is trained for and judged by.

    Args:
        struct: the task.
        recipe: loss and metrics.

    Raises:
        MMLMisconfigurationException: loss or metrics do not fit the task.
    """

    def __init__(self, struct: TaskStruct, recipe: Recipe) -> None:
        super().__init__()
        self.struct = struct
        self.target = TARGETS[struct.task_type]
        self.is_classification = struct.task_type is TaskType.CLASSIFICATION
        self.loss = recipe.loss(struct)
        check_fits(self.loss, struct)
        self.metrics = TaskMetrics(struct, recipe.metrics)
        self.confusion = confusion_matrix(struct) if self.is_classification else None
        self.trained, self.judged = Tally(), Tally()

    def learn(self, logits: Tensor, sample: Mapping[str, Any]) -> Tensor:
        """Return the loss of a training batch and count it."""
        target = sample[self.target]
        loss: Tensor = self.loss(logits, target)
        self.trained.add(loss, len(target))
        if self.is_classification:
            self.trained.add_hits(logits, target)
        return loss

    def judge(self, logits: Tensor, sample: Mapping[str, Any], *, confusion: bool) -> None:
        """Take a batch of validation or test into account."""
        target = sample[self.target]
        self.judged.add(self.loss(logits, target), len(target))
        self.metrics.update(logits, target)
        if confusion and self.confusion is not None:
            self.confusion.update(logits, target)

    def summary(self) -> dict[str, float]:
        """Return loss and metrics over the judged batches, empty without any, and start anew."""
        found = self.judged.means()
        if found:
            found |= self.metrics.compute()
        self.judged = Tally()
        self.metrics.reset()
        return found


class SingleFrameLightningModule(lightning.LightningModule):
    """Trains and judges a model on one or several tasks of single images.

    Logs, once per epoch, `train/loss`, `train/accuracy`, and of `val` and `test` the loss and all metrics, e.g.
    `val/accuracy`. With several tasks these are means over tasks, and `val/<task>/accuracy` is that of one.

    Args:
        task_structs: the tasks; the model gets a head for each.
        model: backbone, to which the heads are added.
        recipe: loss, optimizer, schedule, metrics.

    Raises:
        MMLMisconfigurationException: a task can't be trained, or loss or metrics do not fit it.

    Attributes:
        confusion: after a test, task name -> matrix of counts, rows are true classes.
        overrides: settings of the optimizer that were tuned.
    """

    def __init__(self, task_structs: Sequence[TaskStruct], model: BaseModel, recipe: Recipe) -> None:
        super().__init__()
        for struct in task_structs:
            model.add_head(struct.name, create_head(struct, model.num_features))
        self.model = model
        self._objectives = {struct.name: Objective(struct, recipe) for struct in task_structs}
        # Registered under no task's name, for that may have dots, so that they move to the device, too.
        self._registered = nn.ModuleList(self._objectives.values())
        self._recipe = recipe
        self.overrides: dict[str, Any] = {}
        self.confusion: dict[str, list[list[int]]] = {}
        self._counted: dict[str, Any] = {}

    @property
    def lr(self) -> float:
        """The optimizer's learning rate, under the name by which Lightning's tuner knows it."""
        return float(self.overrides.get("lr", getattr(self._recipe.optimizer, "keywords", {}).get("lr", 1e-3)))

    @lr.setter
    def lr(self, value: float) -> None:
        self.overrides["lr"] = value

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return task name -> logits of images `[B, C, H, W]`."""
        logits: dict[str, Tensor] = self.model(images)
        return logits

    def configure_optimizers(self) -> Any:
        """Return optimizer and, if any, schedule, as Lightning wants them."""
        optimizer = build_optimizer(self._recipe.optimizer, self.model, {**self.overrides, **self._amp_overrides()})
        if self._recipe.schedule is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            msg = "lr_scheduler needs to know where the training ends: set trainer.max_epochs, or lr_scheduler=none."
            raise MMLMisconfigurationException(msg)
        horizon = Horizon(int(steps), self.trainer.max_epochs or 1, self._recipe.monitor)
        return {"optimizer": optimizer, "lr_scheduler": self._recipe.schedule(optimizer, horizon)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what was counted in the present epoch."""
        checkpoint["mml_tallies"] = {task: part.trained.state_dict() for task, part in self._objectives.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over what was counted before an interruption."""
        self._counted = checkpoint.get("mml_tallies", {})

    def on_train_start(self) -> None:
        """Go on counting; only now the model is on its device."""
        for task, state in self._counted.items():
            self._objectives[task].trained.load_state_dict(state, self.device)
        self._counted = {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the sum of the tasks' losses.

        Raises:
            MMLError: the loss is not finite any more.
        """
        losses = [self._objectives[task].learn(self._logits(task, sample), sample) for task, sample in batch.items()]
        self._check_losses(now=False)
        return sum(losses[1:], losses[0])

    def on_train_epoch_start(self) -> None:
        """Start to count anew."""
        for part in self._objectives.values():
            part.trained = Tally()

    def on_train_epoch_end(self) -> None:
        """Log the means over the epoch."""
        self._check_losses(now=True)
        self._log_summary(LearningPhase.TRAIN, {task: part.trained.means() for task, part in self._objectives.items()})

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Judge a batch."""
        self._judge(batch, confusion=False)

    def on_validation_epoch_end(self) -> None:
        """Log loss and metrics."""
        self._log_judged(LearningPhase.VAL)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Judge a batch."""
        self._judge(batch, confusion=True)

    def on_test_epoch_end(self) -> None:
        """Log loss and metrics, and keep the confusion matrices in `confusion`."""
        self._log_judged(LearningPhase.TEST)
        for task, part in self._objectives.items():
            if part.confusion is not None:
                self.confusion[task] = part.confusion.compute().tolist()
                part.confusion.reset()

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, dict[str, Any]]:
        """Return task name -> `sample_id`, `scores` (CPU, `[B, K]` or `[B]`) and, where known, `target`."""
        found = {}
        for task, sample in batch.items():
            part = self._objectives[task]
            values = scores(part.struct.task_type, self._logits(task, sample).float())
            found[task] = {"sample_id": sample[Modality.SAMPLE_ID], "scores": values.cpu()}
            if part.target in sample:
                found[task]["target"] = sample[part.target].cpu()
        return found

    def _amp_overrides(self) -> dict[str, Any]:
        """Return what clipping of scaled gradients wants: a fused optimizer would unscale them only after it."""
        fused = getattr(self._recipe.optimizer, "keywords", {}).get("fused")
        return {"fused": False} if fused and self.trainer.scaler is not None and self.trainer.gradient_clip_val else {}

    def _logits(self, task: str, sample: Mapping[str, Any]) -> Tensor:
        logits: Tensor = self.model(sample[Modality.IMAGE], (task,))[task]
        return logits

    def _judge(self, batch: Batch, *, confusion: bool) -> None:
        for task, sample in batch.items():
            self._objectives[task].judge(self._logits(task, sample), sample, confusion=confusion)

    def _check_losses(self, *, now: bool) -> None:
        for task, part in self._objectives.items():
            part.trained.check_finite(task, self.current_epoch, now=now)

    def _log_judged(self, phase: LearningPhase) -> None:
        self._log_summary(phase, {task: part.summary() for task, part in self._objectives.items()})

    def _log_summary(self, phase: LearningPhase, found: Mapping[str, Mapping[str, float]]) -> None:
        if len(found) > 1:
            self.log_dict({f"{phase}/{task}/{name}": v for task, values in found.items() for name, v in values.items()})
        names = dict.fromkeys(name for values in found.values() for name in values)
        means = {name: [values[name] for values in found.values() if name in values] for name in names}
        self.log_dict({f"{phase}/{name}": sum(values) / len(values) for name, values in means.items()})
