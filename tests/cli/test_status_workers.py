"""What workers say of themselves counts as long as they live."""

import os
from pathlib import Path

import msgspec
import pytest

from mml import status_workers
from mml.core.scripts.progress_state import Live, LiveBar
from mml.core.scripts.run_lock import RunLock
from mml.status_workers import last_line_of_workers, worker_steps

NOW = 1_000_000.0


def write(run: Path, worker: str, step: int, elapsed: float | None = 5.0) -> Path:
    folder = run / "workers" / worker
    folder.mkdir(parents=True)
    live = Live(NOW - 2, 1, step, 9, f"work({step})", bars=[LiveBar("epoch", 1, 5, elapsed=1.0)], elapsed=elapsed)
    (folder / "live.json").write_bytes(msgspec.json.encode(live))
    return folder


def test_living_workers_tell_their_steps_as_of_now(tmp_path: Path) -> None:
    folders = [write(tmp_path, "w2", 4), write(tmp_path, "w1", 7, elapsed=None)]
    write(tmp_path, "dead", 5)
    with RunLock(folders[0]), RunLock(folders[1]):
        found = list(worker_steps(tmp_path, NOW))
    assert [(step.number, step.name, step.worker, step.elapsed) for step in found] == [
        (7, "work(7)", "w1", 2.0),
        (4, "work(4)", "w2", 7.0),
    ]
    assert found[0].bars[0].elapsed == 3.0


def test_workers_without_a_step_and_other_files_are_left_out(tmp_path: Path) -> None:
    assert list(worker_steps(tmp_path, NOW)) == []
    idle = write(tmp_path, "w1", 0)
    (tmp_path / "workers" / "followed.json").touch()
    (tmp_path / "workers" / "empty").mkdir()
    with RunLock(idle):
        assert list(worker_steps(tmp_path, NOW)) == []


@pytest.mark.parametrize(("age", "told"), [(10, True), (100, False)])
def test_where_locks_can_not_be_asked_a_fresh_file_counts(
    age: float, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_workers, "probe", lambda _: None)  # as on file systems without such locks
    folder = write(tmp_path, "w1", 3)
    os.utime(folder / "live.json", (NOW - age, NOW - age))
    assert [step.number for step in worker_steps(tmp_path, NOW)] == [3] * told


def test_a_worker_that_ends_while_it_is_asked_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, "w1", 3)
    monkeypatch.setattr(status_workers, "probe", lambda _: (folder / "live.json").unlink())
    assert list(worker_steps(tmp_path, NOW)) == []


def test_the_last_line_is_that_of_the_worker_that_wrote_last(tmp_path: Path) -> None:
    assert last_line_of_workers(tmp_path) == ""
    for worker, at in (("w1", NOW), ("w2", NOW - 5)):
        log = write(tmp_path, worker, 1) / "exp.log"
        log.write_text(f"first of {worker}\nlast of {worker}\n\n")
        os.utime(log, (at, at))
    assert last_line_of_workers(tmp_path) == "[w1] last of w1"
    (tmp_path / "workers" / "w1" / "exp.log").write_text("")
    assert last_line_of_workers(tmp_path) == ""
