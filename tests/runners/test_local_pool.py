"""Workers are kept, watched and buried, on every system and whatever they send."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.signals import SignalGuard
from mml.runners import local_pool
from mml.runners.local import LocalRunner
from mml.runners.local_frames import Ends, send_frame
from tests.support.local_runs import (
    Parent,
    alive,
    done,
    error_of,
    gathered,
    local_runner,
    pids_of,
    until,
    value_of,
)
from tests.support.toy_worker import toy_run, work


class Odd(Parent):
    """A toy that does not keep to the rules."""

    def chatter(self, _: SignalGuard) -> None:
        """Send what is no report."""
        send_frame(own_writer(), b"\xc1 no message")

    def linger(self, _: SignalGuard) -> None:
        """Keep the process from ending."""
        import threading
        import time

        threading.Thread(target=time.sleep, args=[600]).start()


def own_writer() -> int:
    """Return what a worker process writes to."""
    frame = sys._getframe()
    while not isinstance(ends := frame.f_locals.get("ends"), Ends):
        assert frame.f_back is not None
        frame = frame.f_back
    return ends.writer


@pytest.fixture
def odd(tmp_path: Path) -> Any:
    runner = LocalRunner(workers=2)
    runner.open(toy_run(tmp_path / "run")._replace(worker=Odd))
    yield runner
    runner.close()


def test_message_that_is_no_report_fails_the_step(odd: LocalRunner) -> None:
    odd.submit(work(0, "chatter"))
    assert "sent no report" in error_of(gathered(odd)[0]).text
    assert done(odd, work(1, "add", 1)) == [1]


def test_worker_that_does_not_leave_is_killed(odd: LocalRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_pool, "_LEAVING", 0.2)
    done(odd, work(0, "linger"))
    pids = pids_of(odd)
    odd.close()
    assert not any(map(alive, pids))


def test_system_that_can_not_wait_for_processes_is_asked_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: int) -> int:
        raise OSError("not on this system")

    monkeypatch.setattr(os, "pidfd_open", none)
    with local_runner(tmp_path) as runner:
        assert done(runner, work(0, "add", 1)) == [1]
        runner.submit(work(1, "kill", 9, "last words"))
        assert "SIGKILL" in error_of(gathered(runner)[1]).text
        runner.submit(work(2, "parent", str(tmp_path / "busy")))
        until((tmp_path / "busy").exists)
        os.kill(pids_of(runner)[0], signal.SIGKILL)
        assert error_of(gathered(runner)[2]).lost


def test_worker_that_somebody_else_waited_for_is_lost(tmp_path: Path) -> None:
    with local_runner(tmp_path) as runner:
        runner.submit(work(0, "leave", 3))
        os.waitpid(pids_of(runner)[0], 0)
        assert error_of(gathered(runner)[0]).lost
        assert done(runner, work(1, "add", 1)) == [1]


def test_report_of_a_worker_that_dies_right_after_it_counts(tmp_path: Path) -> None:
    with local_runner(tmp_path) as runner:
        done(runner, work(0, "add", 1))
        (pid,) = pids_of(runner)
        runner.submit(work(1, "add", 2))
        worker = runner._pool.workers[0]
        until(lambda: select.select([worker.channel.ends.reader], [], [], 0)[0])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid))
        assert value_of(gathered(runner)[1]) == 2


def test_setup_that_is_larger_than_a_socket_takes_arrives(tmp_path: Path) -> None:
    setup = toy_run(tmp_path / "run", big=["x" * 1000] * 5000)
    runner = LocalRunner(workers=2)
    runner.open(setup)
    try:
        assert done(runner, work(0, "add", 1), work(1, "add", 2)) == [1, 2]
    finally:
        runner.close()


def test_idle_workers_with_other_threads_make_room_for_new_ones(tmp_path: Path) -> None:
    with local_runner(tmp_path) as runner:
        done(runner, work(0, "sleep", 0.2), work(1, "sleep", 0.2))
        before = pids_of(runner)
        assert len(before) == 2
        one = Resources(cpus=0.5)
        done(runner, work(2, "sleep", 0, resources=one), work(3, "sleep", 0, resources=one))
        until(lambda: runner.wait(0.01) == [] and len(pids_of(runner)) <= 2)
        assert runner.has_room(NOTHING)


def test_worker_process_sees_flags_folder_and_modules_of_the_driver(tmp_path: Path) -> None:
    """A driver whose modules lie where only it looks, with flags of its own, run from elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "own_toys.py").write_text(TOYS)
    (tmp_path / "ray.py").write_text("raise RuntimeError('a module of the working directory')\n")
    script = tmp_path / "elsewhere" / "driver.py"
    script.write_text(SCRIPT)
    checkout = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-X", "utf8=1", "-W", "ignore::FutureWarning", script, tmp_path / "run", checkout],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.split() == ["1", "True", "False"]


TOYS = """
import sys
from tests.support.toy_worker import ToyWorker

class Own(ToyWorker):
    def flags(self, _):
        runners = any(folder.endswith("runners") for folder in sys.path)
        return [sys.flags.utf8_mode, "ignore::FutureWarning" in sys.warnoptions, runners]
"""
SCRIPT = """
import sys
from pathlib import Path
sys.path.append(sys.argv[2])
from mml.runners.local import LocalRunner
from own_toys import Own
from tests.support.toy_worker import toy_run, work

runner = LocalRunner(workers=1)
runner.open(toy_run(Path(sys.argv[1]))._replace(worker=Own))
runner.submit(work(0, "flags"))
while not (reports := runner.wait(None)):
    pass
runner.close()
print(*reports[0].outcome.value)
"""
