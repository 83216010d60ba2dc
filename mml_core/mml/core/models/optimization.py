"""Optimizers and learning rate schedules: torch's own, told how long the training is and what not to decay."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedules

from mml.core.models.kinds import direction
from mml.core.scripts.exceptions import MMLMisconfigurationException

# What Lightning's configure_optimizers returns for a schedule.
ScheduleConfig = dict[str, Any]


class Horizon(NamedTuple):
    """How long a training is.

    Attributes:
        steps: optimizer steps, all epochs together.
        epochs: epochs.
        monitor: the metric that is watched.
    """

    steps: int
    epochs: int
    monitor: str


Schedule = Callable[[Optimizer, Horizon], ScheduleConfig]


def build_optimizer(build: Callable[..., Optimizer], model: nn.Module, overrides: Mapping[str, Any]) -> Optimizer:
    """Return the optimizer of all parameters that learn.

    Biases and the parameters of normalisation layers, all those with one dimension, get no weight decay.

    Args:
        build: an optimizer class, or a partial of one.
        model: the module.
        overrides: keys of the optimizer that take another value, e.g. a tuned `lr`.

    Raises:
        MMLMisconfigurationException: nothing learns, or a value is refused by the optimizer.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    if not learning:
        msg = "No parameter of the model learns: the backbone is frozen and there is no head. Unfreeze the backbone."
        raise MMLMisconfigurationException(msg)
    groups = [{"params": [p for p in learning if p.ndim > 1]}, {"params": [p for p in learning if p.ndim <= 1]}]
    groups[1]["weight_decay"] = 0.0  # type: ignore[assignment] # a group mixes parameters and settings
    try:
        return build([group for group in groups if group["params"]], **overrides)
    except (TypeError, ValueError) as error:
        msg = f"The optimizer refuses its settings: {error}. See `mml help optimizer`."
        raise MMLMisconfigurationException(msg) from error


def one_cycle(
    optimizer: Optimizer,
    horizon: Horizon,
    *,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> ScheduleConfig:
    """Warm up to the optimizer's rate, then anneal, once over the whole training (Smith & Topin 2018).

    Args:
        optimizer: its learning rate is the highest one.
        horizon: length of the training.
        pct_start: share of steps that warm up, 0 to 1.
        div_factor: the first rate is this many times smaller than the highest.
        final_div_factor: the last rate is this many times smaller than the first.
    """
    steps, defaults = max(1, horizon.steps), optimizer.defaults
    # torch divides by zero when the warm up ends with the very first or the very last step.
    share = min(pct_start, 1 - 1 / steps)
    schedule = torch_schedules.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=steps,
        pct_start=share if share * steps > 1 else 0.0,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
        cycle_momentum="betas" in defaults or bool(defaults.get("momentum")),
    )
    return {"scheduler": schedule, "interval": "step"}


def cosine(
    optimizer: Optimizer, horizon: Horizon, *, warmup: float = 0.05, final_factor: float = 0.0
) -> ScheduleConfig:
    """Warm up linearly, then follow half a cosine (Loshchilov & Hutter 2016).

    Args:
        optimizer: its learning rate is the highest one.
        horizon: length of the training.
        warmup: share of steps that warm up, 0 to 1.
        final_factor: the last rate as a share of the highest.
    """
    rising = round(warmup * horizon.steps)
    falling = max(1, horizon.steps - rising)
    rates = [group["lr"] for group in optimizer.param_groups]
    fall = torch_schedules.CosineAnnealingLR(optimizer, T_max=falling, eta_min=max(rates) * final_factor)
    if not rising:
        return {"scheduler": fall, "interval": "step"}
    rise = torch_schedules.LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    return {"scheduler": torch_schedules.SequentialLR(optimizer, [rise, fall], milestones=[rising]), "interval": "step"}


def step(optimizer: Optimizer, horizon: Horizon, *, step_size: int = 10, gamma: float = 0.1) -> ScheduleConfig:  # noqa: ARG001 # every schedule is built alike
    """Multiply the rate by `gamma` after every `step_size` epochs."""
    return {"scheduler": torch_schedules.StepLR(optimizer, step_size=step_size, gamma=gamma), "interval": "epoch"}


def plateau(optimizer: Optimizer, horizon: Horizon, *, factor: float = 0.1, patience: int = 3) -> ScheduleConfig:
    """Multiply the rate by `factor` when the watched metric has not improved for more than `patience` epochs."""
    schedule = torch_schedules.ReduceLROnPlateau(
        optimizer, mode=direction(horizon.monitor), factor=factor, patience=patience
    )
    return {"scheduler": schedule, "interval": "epoch", "monitor": horizon.monitor}
