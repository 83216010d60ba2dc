"""What the future of a training depends on besides what Lightning's checkpoints hold, taken between two batches.

These are random numbers, what was logged in the epoch so far, states of metrics, and gradients that are being added
up. All of it is plain, so that it can be loaded without running any code.
"""

import operator
import random
from collections.abc import Mapping
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.trainer.connectors.logger_connector.result import _Metadata, _ResultMetric, _Sync
from torch import Tensor
from torchmetrics import Metric

# How Lightning reduces what is logged several times in an epoch.
_REDUCTIONS = {f"torch.{name}": getattr(torch, name) for name in ("mean", "sum", "max", "min")}
_REDUCTIONS |= {"sum": sum, "max": max, "min": min}
_META_FIELDS = (
    "fx",
    "name",
    "prog_bar",
    "logger",
    "on_step",
    "on_epoch",
    "enable_graph",
    "add_dataloader_idx",
    "dataloader_idx",
    "metric_attribute",
)
_SHOWN = ("_callback_metrics", "_logged_metrics", "_progress_bar_metrics")


def capture(trainer: lightning.Trainer) -> dict[str, Any]:
    """Return the state between two batches: tensors, numbers, texts, and lists and dicts of them."""
    module = trainer.lightning_module
    return {
        "random": random_state(),
        "logged": _logged(trainer),
        "metrics": {name: _metric_state(metric) for name, metric in _metrics(module) if metric._update_count},
        "gradients": {
            name: weight.grad
            for name, weight in module.named_parameters()
            if weight.grad is not None and trainer.fit_loop._should_accumulate()
        },
        "modes": [name for name, part in module.named_modules() if part.training],
    }


def restore(trainer: lightning.Trainer, state: Mapping[str, Any]) -> None:
    """Bring back what `capture` returned; random numbers last, so that nothing draws from them before."""
    module = trainer.lightning_module
    training = set(state["modes"])
    for name, part in module.named_modules():
        part.training = name in training
    for name, metric in _metrics(module):
        if name in state["metrics"]:
            _restore_metric(metric, state["metrics"][name])
    weights = dict(module.named_parameters())
    for name, gradient in state["gradients"].items():
        weights[name].grad = gradient.to(weights[name].device)
    _restore_logged(trainer, state["logged"])
    restore_random_state(state["random"])


def random_state() -> dict[str, Any]:
    """Return the states of the global generators of Python, NumPy and torch, of every GPU, too."""
    numpy: Any = np.random.get_state(legacy=False)
    key = torch.from_numpy(numpy["state"]["key"].astype(np.int64))
    found = {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {**numpy["state"], "key": key}},
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        found["mps"] = torch.mps.get_rng_state()
    return found


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Bring back the states of all generators that this machine has, too."""
    random.setstate(state["python"])
    numpy = state["numpy"]
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": numpy["state"]["key"].numpy().astype(np.uint32)}})
    torch.set_rng_state(state["torch"])
    # A training may go on with another device.
    if torch.cuda.is_available() and len(state.get("cuda", [])) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if torch.backends.mps.is_available() and "mps" in state:
        torch.mps.set_rng_state(state["mps"])


def _metrics(module: torch.nn.Module) -> list[tuple[str, Metric]]:
    return [(name, part) for name, part in module.named_modules() if isinstance(part, Metric)]


def _metric_state(metric: Metric) -> dict[str, Any]:
    return {"updates": metric._update_count, "values": {name: getattr(metric, name) for name in metric._defaults}}


def _restore_metric(metric: Metric, state: Mapping[str, Any]) -> None:
    metric._update_count = state["updates"]
    metric._computed = None
    for name, value in state["values"].items():
        setattr(metric, name, _to(value, metric.device))


def _to(value: Any, device: torch.device) -> Any:
    return [item.to(device) for item in value] if isinstance(value, list) else value.to(device)


def _logged(trainer: lightning.Trainer) -> dict[str, Any]:
    connector = trainer._logger_connector
    results = trainer.fit_loop.epoch_loop._results
    return {
        "first": connector._first_loop_iter,
        "fx": connector._current_fx,
        "shown": {name: dict(getattr(connector, name)) for name in _SHOWN},
        "results": {key: _result_state(metric) for key, metric in results.items()},
    }


def _restore_logged(trainer: lightning.Trainer, state: Mapping[str, Any]) -> None:
    connector = trainer._logger_connector
    connector._first_loop_iter, connector._current_fx = state["first"], state["fx"]
    for name in _SHOWN:
        setattr(connector, name, dict(state["shown"][name]))
    results = trainer.fit_loop.epoch_loop._results
    results.clear()
    for key, found in state["results"].items():
        results[key] = _restored_result(trainer, found)


def _result_state(metric: _ResultMetric) -> dict[str, Any]:
    """Return what was logged under one name; a metric that was logged itself is found again by its attribute."""
    meta = metric.meta
    reduction = next(name for name, function in _REDUCTIONS.items() if function is meta.reduce_fx)
    return {
        "meta": {field: getattr(meta, field) for field in _META_FIELDS},
        "reduction": reduction,
        "sync": [meta.sync.should, meta.sync.rank_zero_only],
        "tensor": metric.is_tensor,
        "state": _metric_state(metric),
        "has_reset": metric.has_reset,
        "last": metric._forward_cache,
    }


def _restored_result(trainer: lightning.Trainer, state: Mapping[str, Any]) -> _ResultMetric:
    meta = _Metadata(**state["meta"], reduce_fx=_REDUCTIONS[state["reduction"]])
    should, rank_zero_only = state["sync"]
    meta.sync = _Sync(fn=trainer.strategy.reduce, _should=should, rank_zero_only=rank_zero_only)
    metric = _ResultMetric(meta, state["tensor"])
    device = trainer.strategy.root_device
    metric.to(device)
    if not metric.is_tensor:
        metric.value = operator.attrgetter(state["meta"]["metric_attribute"])(trainer.lightning_module)
    _restore_metric(metric, state["state"])
    metric.has_reset = state["has_reset"]
    last = state["last"]
    metric._forward_cache = last.to(device) if isinstance(last, Tensor) else last
    return metric
