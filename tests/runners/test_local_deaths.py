"""What is told of a worker that died names who, doing what, of what, and what helps."""

import signal
from pathlib import Path
from typing import Any

import pytest

from mml.runners import local_deaths
from mml.runners.base import Report
from mml.runners.local_deaths import Coroner
from tests.support.toy_worker import work


class Dead:
    """A worker process that is over."""

    name = "gpu07-41"

    def __init__(self, code: int, said: tuple[str, ...] = (), *, ready: bool = True, interrupted: bool = False) -> None:
        self.code, self.said = code, list(said)
        self.ready, self.interrupted = ready, interrupted

    def bury(self) -> tuple[int, list[str]]:
        return self.code, self.said


def report(folder: Path, *code: Any, **how: Any) -> Report:
    return Coroner(folder).report(Dead(*code, **how), work(2, "train", "a"))  # type: ignore[arg-type]


def text(folder: Path, *code: Any, **how: Any) -> str:
    error = report(folder, *code, **how).error
    assert error is not None
    return error.text


def test_kernel_that_killed_for_memory_is_known_by_its_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr(local_deaths, "memory_kills", lambda: next(counts))
    assert text(tmp_path, -9) == (
        "Worker gpu07-41 was killed by SIGKILL during step 3, train('a'). Memory ran out, for which the kernel killed "
        "a process 1 time since the run began: let fewer steps run at once with runner.workers, say what each needs "
        "with runner.memory, or let them need less, e.g. by sampling.batch_size. It printed nothing."
    )


def test_last_lines_come_from_the_log_or_from_before_there_was_one(tmp_path: Path) -> None:
    lines = tuple(f"line {number}" for number in range(20))
    said = text(tmp_path, -11, lines)
    assert said.endswith("its log:\n" + "\n".join(f"  line {number}" for number in range(10, 20)))
    log = tmp_path / "workers" / "gpu07-41" / "exp.log"
    log.parent.mkdir(parents=True)
    log.write_text("logged\n")
    assert text(tmp_path, -11, lines).endswith(f"The last lines of its log, {log}:\n  logged")


@pytest.mark.parametrize(
    ("code", "ready", "lost", "misfit"), [(1, False, False, True), (1, True, True, False), (-9, False, True, False)]
)
def test_worker_that_ends_itself_before_any_work_will_always_do_so(
    code: int, ready: bool, lost: bool, misfit: bool, tmp_path: Path
) -> None:
    error = report(tmp_path, code, ready=ready).error
    assert error is not None
    assert (error.lost, error.misfit) == (lost, misfit)


@pytest.mark.parametrize(
    ("code", "interrupted"),
    [(-signal.SIGTERM, 15), (0, 15), (1, 15), (-signal.SIGKILL, 0), (-signal.SIGSEGV, 0), (3, 0)],
)
def test_worker_that_was_asked_to_stop_and_did_is_interrupted(code: int, interrupted: int, tmp_path: Path) -> None:
    error = report(tmp_path, code, interrupted=True).error
    assert error is not None
    assert error.interrupted == interrupted
