"""The jobs of a run in the queue of Slurm: asked for seldom, shown briefly, and worth no error."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console, Group

from mml import status_queue
from mml.runners.slurm_queue import JobNote, QueuedJob
from mml.status_queue import Queue, QueueReader, draw_queue, queue_record, read_queue

JOBS = [
    QueuedJob("step 3, train_fold('digits', 0)", "12_1", "RUNNING", "", "node1", "2026-11-20T13:30:32"),
    QueuedJob("step 4, train_fold('digits', 1)", "12_2", "PENDING", "Resources", "", "2026-11-20T13:30:00"),
    QueuedJob("step 5, train_fold('digits', 2)", "12_3", "PENDING", "Resources", "", "2026-11-20T13:30:00"),
    QueuedJob("step 6, train_fold('digits', 3)", "", "REPORTED"),
]


def shown(queue: Queue, width: int = 110, count: int = 20) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(Group(*draw_queue(queue, count)))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def make_attempt(run: Path, job: object, name: str = "0003.1.1") -> None:
    folder = run / "attempts" / name
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(job if isinstance(job, str) else json.dumps(job))


def test_jobs_are_shown_with_state_place_and_reason() -> None:
    assert shown(Queue(JOBS)) == [
        "queue 4 jobs: 1 RUNNING, 2 PENDING, 1 REPORTED",
        "12_1 RUNNING step 3, train_fold('digits', 0) node1 2026-11-20 13:30:32",
        "12_2 PENDING step 4, train_fold('digits', 1) (Resources) 2026-11-20 13:30:00",
        "12_3 PENDING step 5, train_fold('digits', 2) (Resources) 2026-11-20 13:30:00",
        "? REPORTED step 6, train_fold('digits', 3) (is over, `mml continue` takes it)",
    ]


def test_many_jobs_are_a_few_and_a_number() -> None:
    lines = shown(Queue(JOBS), count=2)
    assert (len(lines), lines[-1]) == (4, "and 2 more jobs")
    assert shown(Queue(JOBS), count=3)[-1] == "and 1 more job"


@pytest.mark.parametrize("width", [40, 60])
def test_jobs_fit_a_narrow_terminal(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(Group(*draw_queue(Queue(JOBS))))
    assert isinstance(console.file, io.StringIO)
    assert max(len(line) for line in console.file.getvalue().splitlines()) <= width


def test_no_answer_is_said() -> None:
    assert shown(Queue((), "it is away.")) == ["queue Slurm does not answer: it is away."]
    assert shown(Queue(())) == []


def test_a_queue_goes_on_until_all_has_been_reported() -> None:
    assert Queue(JOBS).goes_on
    assert not Queue(JOBS[-1:]).goes_on
    assert not Queue(()).goes_on
    assert Queue((), "away").goes_on


def test_runs_without_jobs_have_no_queue(tmp_path: Path) -> None:
    assert read_queue(tmp_path) is None
    make_attempt(tmp_path, "{", "0001.1.1")
    assert read_queue(tmp_path) is None
    make_attempt(tmp_path, {"runner_class": "mml.runners.local.LocalRunner"}, "0002.1.1")
    assert read_queue(tmp_path) is None
    assert queue_record(None) == {"queue": None, "queue_error": None}


def test_without_slurm_the_fault_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    job = JobNote(job="12", element=1, name="mml", run=str(tmp_path), step="step 3, a").as_job()
    make_attempt(tmp_path, job)
    queue = read_queue(tmp_path)
    assert queue is not None
    assert queue.fault
    assert queue_record(queue) == {"queue": [], "queue_error": queue.fault}


def test_slurm_is_asked_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def read(folder: Path) -> Queue:
        asked.append(folder)
        return Queue(JOBS)

    monkeypatch.setattr(status_queue, "read_queue", read)
    reader = QueueReader()
    for _ in range(3):
        assert reader(tmp_path) == Queue(JOBS)
    reader(tmp_path / "other")
    assert asked == [tmp_path, tmp_path / "other"]
    monkeypatch.setattr(status_queue, "ASK_SECONDS", 0)
    reader(tmp_path)
    assert len(asked) == 3


def test_a_queue_is_plain_values() -> None:
    plain = queue_record(Queue(JOBS[:1]))
    assert plain["queue_error"] is None
    assert plain["queue"] == [
        {
            "step": "step 3, train_fold('digits', 0)",
            "job": "12_1",
            "state": "RUNNING",
            "reason": "",
            "where": "node1",
            "since": "2026-11-20T13:30:32",
        }
    ]
