"""What workers say comes into the log of the run and its display, about once a second, and all of it at the end."""

import os
import time
from pathlib import Path

import pytest

from mml.core.scripts import run_watch
from mml.core.scripts.exceptions import WorkerLostError
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.run_watch import WorkerWatch


def say(run: Path, text: str) -> None:
    folder = run / "workers" / "w"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "exp.log").open("a") as log:
        log.write(f"2026-01-01 00:00:00,000 INFO     mml.x: {text}\n")


def told(run: Path) -> str:
    log = run / "exp.log"
    return log.read_text() if log.exists() else ""


def test_workers_are_looked_at_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    watch = WorkerWatch(tmp_path, RunProgress(enabled=False))
    assert watch.seconds_left() == 0
    say(tmp_path, "first")
    watch.look()
    assert "first" in told(tmp_path)
    assert 0 < watch.seconds_left() <= run_watch.LOOK_SECONDS
    say(tmp_path, "second")
    watch.look()
    assert "second" not in told(tmp_path)
    watch.close()
    assert "second" in told(tmp_path)


def test_display_is_told_which_worker_does_which_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_watch, "LOOK_SECONDS", 0.0)
    progress = RunProgress(enabled=False)
    watch = WorkerWatch(tmp_path, progress)
    progress.begin_attempt(3, "work(2)")
    say(tmp_path, "step 3 begins: work(2)")
    folder = tmp_path / "workers" / "w" / "exp.log"
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    folder.write_text(f"{stamp},000 INFO     mml.worker: step 3 begins: work(2)\n")
    os.utime(folder)
    watch.look()
    (attempt,) = progress._attempts.running()
    assert attempt.number == 3
    assert attempt.worker in ("", "w")
    watch.close()


def test_an_error_says_on_which_worker_it_happened_after_its_last_words(tmp_path: Path) -> None:
    watch = WorkerWatch(tmp_path, RunProgress(enabled=False))
    watch.look()
    say(tmp_path, "last words")
    error = ValueError("boom")
    watch.explain(error, "w")
    assert "last words" in told(tmp_path)
    assert error.__notes__ == [f"It happened on worker w, whose log is {tmp_path / 'workers' / 'w' / 'exp.log'}"]


@pytest.mark.parametrize(("error", "worker"), [(WorkerLostError("w died"), "w"), (ValueError(), ""), (OSError(), "x")])
def test_what_says_so_itself_or_has_no_log_gets_no_note(tmp_path: Path, error: Exception, worker: str) -> None:
    say(tmp_path, "last words")
    WorkerWatch(tmp_path, RunProgress(enabled=False)).explain(error, worker)
    assert not hasattr(error, "__notes__")
