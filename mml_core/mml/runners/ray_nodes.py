"""Whether machines of Ray can do the steps of a run: what they have, and whether they see mml and the run folder."""

import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import Resources
from mml.report.texts import count_text, size_text
from mml.runners import ray_host
from mml.runners.base import RunSetup
from mml.runners.ray_engine import Engine, Node

# Seconds: until a process runs on a machine that has much to do; until a shared file system shows a new file.
_ANSWER, _APPEARS = 60.0, 10.0
_SHOWN = 5
_ROUNDING = 1e-9

Shape = dict[str, float]


def shape_of(resources: Resources, gpus: float) -> Shape:
    """Return what an attempt takes of a machine, by Ray's names.

    Args:
        resources: of the attempt.
        gpus: where nothing is said of them.
    """
    shape = {"CPU": 1.0 if resources.cpus is None else float(resources.cpus)}
    shape["GPU"] = gpus if resources.gpus is None else float(resources.gpus)
    shape["memory"] = float(resources.memory or 0)
    return {name: amount for name, amount in shape.items() if amount}


def fits(shape: Shape, free: Mapping[str, float]) -> bool:
    """Tell whether there is as much as an attempt takes."""
    return all(amount <= free.get(name, 0.0) + _ROUNDING for name, amount in shape.items())


def refuse_impossible(shape: Shape, what: str, nodes: list[Node]) -> None:
    """Refuse what no machine has.

    Raises:
        MMLMisconfigurationException: says what there is.
    """
    if any(fits(shape, node.resources) for node in nodes):
        return
    listed = "; ".join(f"{node.name}: {_amounts(node.resources)}" for node in nodes[:_SHOWN])
    more = f"; and {count_text(len(nodes) - _SHOWN, 'more machine')}" if len(nodes) > _SHOWN else ""
    msg = (
        f"{what[:1].upper()}{what[1:]} needs {_amounts(shape)}, and no machine of Ray has that ({listed}{more}). "
        "Let it need less, in the plan or with runner.resources.<command>, or let Ray have such a machine; if it gets "
        "one when it is needed, say so with runner.autoscale=true."
    )
    raise MMLMisconfigurationException(msg)


def refuse_unfit(engine: Engine, run: RunSetup) -> None:
    """Make sure that mml and the run folder are there on all machines that could do steps.

    Raises:
        MMLMisconfigurationException: one lacks them; names it and what to do.
    """
    nodes = [node for node in engine.nodes() if node.resources.get("CPU")]
    with _probe(run.folder) as probe:
        for node, wrong in _looks(engine, nodes, probe):
            _refuse(node, wrong, run.folder)


def by_value(engine: Engine, thing: Any) -> Any:
    """Return a class or function of `ray_host` for Ray, which sends its code: a machine may lack this module."""
    engine.ray.cloudpickle.register_pickle_by_value(ray_host)
    return engine.ray.remote(thing)


def on_node(node: str) -> dict[str, Any]:
    """Return the options of something small that has to run on a certain machine."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


@contextmanager
def _probe(folder: Path) -> Iterator[Path]:
    probe = folder / f".seen-{uuid.uuid4().hex[:12]}"
    probe.touch()
    try:
        yield probe
    finally:
        with suppress(OSError):
            probe.unlink()


def _looks(engine: Engine, nodes: list[Node], probe: Path) -> Iterator[tuple[Node, dict[str, str]]]:
    """Yield what is wrong with machines; those that are lost meanwhile, or take too long, are of no concern yet."""
    look = by_value(engine, ray_host.look)
    path = [folder for folder in sys.path if folder]
    asked = {look.options(**on_node(node.id)).remote(path, str(probe), _APPEARS): node for node in nodes}
    if not asked:
        return
    ready, late = engine.ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER)
    for ref in late:
        engine.ray.cancel(ref, force=True)
    for ref in ready:
        with suppress(engine.ray.exceptions.RayError):
            yield asked[ref], engine.ray.get(ref)


def _refuse(node: Node, wrong: dict[str, str], folder: Path) -> None:
    if why := wrong.get("mml"):
        msg = (
            f"Machine {node.name} of Ray can't import mml ({why}). Install the same mml as here on it, in the Python "
            "that Ray runs with: pip install 'mml-core[ray]'"
        )
        raise MMLMisconfigurationException(msg)
    if "folder" in wrong:
        msg = (
            f"Machine {node.name} of Ray does not see the run folder {folder}: its workers need a results folder that "
            "all machines share under the same path. Choose one with out_dir=<folder>, or use runner=local on this "
            "machine."
        )
        raise MMLMisconfigurationException(msg)


def _amounts(amounts: Mapping[str, float]) -> str:
    texts = [f"{amounts.get('CPU', 0):g} CPUs"]
    texts += [f"{amounts['GPU']:g} GPUs"] if amounts.get("GPU") else []
    texts += [f"{size_text(int(amounts['memory']))} of memory"] if amounts.get("memory") else []
    return ", ".join(texts)
