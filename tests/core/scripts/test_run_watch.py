"""What workers say reaches log, screen and progress about once a second, and whenever one of their steps fails."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mml.core.scripts import run_watch
from mml.core.scripts.exceptions import WorkerLostError
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.progress_state import Live, read_live
from mml.core.scripts.run_watch import WorkerWatch

STEP = "2026-11-20 13:05:06,000 INFO     mml.worker: step 3 begins: work\n"


class Watched:
    """A run with one worker, which does step 3."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.console = Console(file=io.StringIO(), width=200)
        self.progress = RunProgress(console=self.console)
        self.progress.begin_attempt(3, "work")
        self.watch = WorkerWatch(run, self.progress)
        (run / "workers" / "w1").mkdir(parents=True)
        self.say(STEP)

    def say(self, text: str) -> None:
        with (self.run / "workers" / "w1" / "exp.log").open("a") as file:
            file.write(text)

    def shown(self) -> str:
        assert isinstance(self.console.file, io.StringIO)
        return self.console.file.getvalue()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_the_first_look_is_at_once_and_the_next_when_it_is_due(watched: Watched) -> None:
    watched.say("one\n")
    assert watched.watch.seconds_left() == 0
    watched.watch.look()
    assert "[w1 step 3] one" in watched.shown()
    assert 0 < watched.watch.seconds_left() <= run_watch.LOOK_SECONDS
    watched.say("two\n")
    watched.watch.look()
    assert "two" not in watched.shown()
    watched.watch.close()
    assert "[w1 step 3] two" in watched.shown()


def test_the_worker_of_a_step_is_known_by_its_log(watched: Watched, tmp_path: Path) -> None:
    watched.progress.live_in(tmp_path)
    with watched.progress:
        watched.progress._view._due = 0.0  # type: ignore[attr-defined] # as if a second had passed
        watched.watch.look()
        live = read_live(tmp_path)
    assert isinstance(live, Live)
    assert [(step.number, step.worker) for step in live.running] == [(3, "w1")]


def test_an_error_says_on_which_worker_it_happened(watched: Watched) -> None:
    watched.watch.look()
    watched.say("last words\n")
    error = ValueError("boom")
    watched.watch.explain(error, "w1")
    assert "[w1 step 3] last words" in watched.shown()
    log = watched.run / "workers" / "w1" / "exp.log"
    assert error.__notes__ == [f"It happened on worker w1, whose log is {log}"]


@pytest.mark.parametrize(
    ("error", "worker"), [(WorkerLostError("w1 died"), "w1"), (ValueError(), ""), (OSError(), "w2")]
)
def test_what_says_so_itself_or_has_no_log_gets_no_note(watched: Watched, error: Exception, worker: str) -> None:
    watched.watch.explain(error, worker)
    assert not hasattr(error, "__notes__")
