import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from mml.core.models.optimization import Horizon, build_optimizer, cosine, one_cycle, plateau, step
from mml.core.scripts.exceptions import MMLMisconfigurationException


def optimizer(kind: Any = SGD, **settings: Any) -> Optimizer:
    return build_optimizer(partial(kind, lr=0.5, **settings), nn.Linear(2, 2), {})


def horizon(steps: int, epochs: int = 1, monitor: str = "val/loss") -> Horizon:
    return Horizon(steps, epochs, monitor)


def rates(opt: Optimizer, schedule: Any, steps: int) -> list[float]:
    """Return the rate of each step of a training."""
    found = []
    for _ in range(steps):
        found.append(opt.param_groups[0]["lr"])
        opt.step()
        schedule["scheduler"].step()
    return found


def test_only_matrices_decay() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    opt = build_optimizer(partial(AdamW, weight_decay=0.3), model, {})
    decays = {group["weight_decay"]: [p.ndim for p in group["params"]] for group in opt.param_groups}
    assert decays == {0.3: [4], 0.0: [1, 1, 1]}


def test_overrides_win() -> None:
    assert build_optimizer(partial(SGD, lr=0.5), nn.Linear(2, 2), {"lr": 0.25}).param_groups[1]["lr"] == 0.25


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    model[0].requires_grad_(False)
    assert [len(group["params"]) for group in build_optimizer(SGD, model, {}).param_groups] == [1]


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match="No parameter of the model learns"):
        build_optimizer(SGD, nn.Linear(2, 2).requires_grad_(False), {})


@pytest.mark.parametrize("settings", [{"lr": -1}, {"wrong_key": 1}])
def test_settings_that_the_optimizer_refuses_are_told(settings: dict[str, Any]) -> None:
    with pytest.raises(MMLMisconfigurationException, match="The optimizer refuses its settings.*mml help optimizer"):
        build_optimizer(partial(SGD, **settings), nn.Linear(2, 2), {})


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 10, 100])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 1.0])
def test_one_cycle_fits_any_length(steps: int, share: float) -> None:
    opt = optimizer()
    found = rates(opt, one_cycle(opt, horizon(steps), pct_start=share), steps)
    assert max(found) <= 0.5 + 1e-9
    assert all(math.isfinite(rate) for rate in found)


def test_one_cycle_rises_to_the_optimizers_rate_and_falls_to_almost_nothing() -> None:
    opt = optimizer()
    schedule = one_cycle(opt, horizon(100), pct_start=0.3, div_factor=10)
    found = rates(opt, schedule, 100)
    assert schedule["interval"] == "step"
    assert found[0] == pytest.approx(0.05)
    assert max(range(100), key=found.__getitem__) == 29
    assert found[29] == pytest.approx(0.5)
    assert found[-1] < 1e-3


@pytest.mark.parametrize(
    ("kind", "settings", "moves"),
    [(SGD, {}, False), (SGD, {"momentum": 0.9}, True), (AdamW, {}, True)],
)
def test_one_cycle_moves_the_momentum_where_there_is_one(kind: Any, settings: dict[str, Any], moves: bool) -> None:
    opt = optimizer(kind, **settings)
    before = dict(opt.param_groups[0])
    schedule = one_cycle(opt, horizon(10))
    rates(opt, schedule, 3)
    after = opt.param_groups[0]
    key = "betas" if "betas" in before else "momentum"
    assert (before[key] != after[key]) == moves


def test_cosine_warms_up_then_falls_to_its_share() -> None:
    opt = optimizer()
    found = rates(opt, cosine(opt, horizon(100), warmup=0.1, final_factor=0.2), 101)
    assert found[0] < found[5] < found[10] == pytest.approx(0.5)
    assert found[10] > found[50] > found[99]
    assert found[100] == pytest.approx(0.1)


def test_cosine_without_warm_up_starts_at_the_top() -> None:
    opt = optimizer()
    assert rates(opt, cosine(opt, horizon(4), warmup=0), 1) == [0.5]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_cosine_fits_short_trainings(steps: int) -> None:
    opt = optimizer()
    assert all(0 < rate <= 0.5 for rate in rates(opt, cosine(opt, horizon(steps), warmup=0.5), steps))


def test_step_multiplies_after_so_many_epochs() -> None:
    opt = optimizer()
    schedule = step(opt, horizon(1), step_size=2, gamma=0.1)
    assert rates(opt, schedule, 5) == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005])
    assert schedule["interval"] == "epoch"


@pytest.mark.parametrize(("monitor", "worse"), [("val/loss", [1.0, 2.0, 3.0]), ("val/accuracy", [0.9, 0.8, 0.7])])
def test_plateau_watches_the_metric_in_its_direction(monitor: str, worse: list[float]) -> None:
    opt = optimizer()
    schedule = plateau(opt, horizon(1, monitor=monitor), factor=0.1, patience=1)
    for value in worse:
        schedule["scheduler"].step(torch.tensor(value))
    assert schedule["monitor"] == monitor
    assert opt.param_groups[0]["lr"] == pytest.approx(0.05)
