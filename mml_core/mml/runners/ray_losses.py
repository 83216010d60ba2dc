"""What is told of a step whose worker or machine is lost: which, why, and the end of the worker's log."""

from pathlib import Path
from typing import Any

from mml.core.scripts.run_files import LOG_FILE, WORKERS_FOLDER
from mml.core.scripts.worker_lines import last_lines
from mml.runners.base import Work

_LINES = 10
_REASONS = {
    "OutOfMemoryError": "Ray ended it because memory ran out on its machine: let it say what it needs with "
    "runner.memory, or let it need less, e.g. by sampling.batch_size.",
    "NodeDiedError": "Its machine is lost.",
    "ObjectLostError": "What was sent to or from it is lost with a machine.",
    "OwnerDiedError": "What was sent to or from it is lost with a machine.",
    "ActorUnavailableError": "Its machine can't be reached.",
}
# What Ray says of an actor that is dead -> what that means.
_SAID = {
    "memory running low": _REASONS["OutOfMemoryError"],
    "OOM": _REASONS["OutOfMemoryError"],
    "node has died": _REASONS["NodeDiedError"],
    "node was terminated": _REASONS["NodeDiedError"],
    "worker process has died": "Its process ended all of a sudden: it crashed, or the kernel killed it because memory "
    "ran out on its machine, or somebody else did.",
}
_UNSURE = ("worker process has died", "OOM")


def loss(error: Exception, work: Work, worker: str, node: str, folder: Path) -> str:
    """Return what is told of an attempt whose worker is lost.

    Args:
        error: of Ray.
        work: the attempt.
        worker: its name, empty when it has not yet said so.
        node: name of the machine, empty when it is not known.
        folder: the run folder.
    """
    who = f"Worker {worker}" if worker else "A worker that was not ready yet"
    where = f" on machine {node}" if node else ""
    text = f"{who}{where} was lost during {work}. {reason(error)}"
    if not worker:
        return text
    lines = last_lines(folder, worker, _LINES)
    if not lines:
        return f"{text} It printed nothing."
    log = folder / WORKERS_FOLDER / worker / LOG_FILE
    return "\n".join([f"{text}\nThe last lines of its log, {log}:", *(f"  {line}" for line in lines)])


def reason(error: Exception) -> str:
    """Return in a sentence why a worker was lost."""
    kinds: list[Any] = [kind.__name__ for kind in type(error).__mro__]
    said = " ".join(str(error).split())
    for kind in kinds:
        if kind in _REASONS and kind != "ActorUnavailableError":
            return _REASONS[kind]
    if "worker process has died" in said:
        return _SAID["worker process has died"]
    for text, meaning in _SAID.items():
        if text in said and text not in _UNSURE:
            return meaning
    if "ActorUnavailableError" in kinds:
        return _REASONS["ActorUnavailableError"]
    return f"Ray says: {type(error).__name__}: {said}"
