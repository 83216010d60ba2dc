"""What is sent to machines of Ray as code finds out by itself what is wrong there."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from mml.runners.ray_host import Host, ask_to_stop, look, worker_name
from mml.runners.ray_session import Hello
from mml.runners.transport import decode_report, encode
from tests.support.toy_worker import ToyWorker, toy_run, work

WAITING = """
import signal, time
signal.signal(signal.SIGUSR1, lambda *_: exit(5))
print("ready", flush=True)
time.sleep(100)
"""


def test_host_does_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = sys.path.count(sys.path[0])
    monkeypatch.setenv("MML_HOST_TEST", "before")
    hello = msgspec.msgpack.encode(Hello(toy_run(tmp_path / "run").setup, pickle.dumps(ToyWorker)))
    host = Host(["/nowhere", sys.path[0]], {"MML_HOST_TEST": "set"}, hello)
    host.close()
    assert sys.path[-1] == "/nowhere"
    assert sys.path.count(sys.path[0]) == known
    assert os.environ["MML_HOST_TEST"] == "set"
    report = decode_report(host.execute(encode(work(0, "add", 1, 2))))
    assert report.outcome is not None
    assert (report.outcome.value, report.worker) == (3, worker_name())
    host.close()


def test_worker_is_named_by_host_and_process() -> None:
    assert worker_name() == f"{socket.gethostname()}-{os.getpid()}"


def test_machine_that_sees_all_is_fine(tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.touch()
    assert look([], str(probe), 0.0) == {}


def test_machine_says_what_it_lacks(tmp_path: Path) -> None:
    # As `Host` is, it is sent as code: a Python without mml has to be able to run it.
    source = Path(sys.modules[look.__module__].__file__ or "").read_text()
    script = f"{source}\nprint(look(['/nowhere'], {str(tmp_path / 'probe')!r}, 0.1))"
    said = subprocess.run(
        [sys.executable, "-S", "-E", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert "'mml': \"ModuleNotFoundError: No module named 'mml'\"" in said
    assert f"'folder': '{socket.gethostname()}'" in said


def test_processes_are_asked_to_stop_that_are_there() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    child = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    ask_to_stop([gone.pid, child.pid])
    assert child.wait() == 5
    child.stdout.close()
