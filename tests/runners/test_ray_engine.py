"""A run connects to Ray, or starts one, quietly, and leaves this process and this machine as they were."""

import logging
import os
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.exceptions import Interrupted, MMLMisconfigurationException, RunnerError
from mml.core.scripts.machine import granted_cores
from mml.core.scripts.signals import guarded_signals
from mml.runners.ray import RayRunner
from mml.runners.ray_engine import Engine, Offer, _log_lines, _new_folder
from mml.runners.ray_guard import MARK, marked
from tests.support.ray_cluster import RayCluster
from tests.support.toy_worker import toy_run

pytestmark = pytest.mark.usefixtures("quiet_ray")
ray = pytest.importorskip("ray")


@pytest.fixture
def engine() -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(address: str | None = None, cpus: int | None = 1) -> Engine:
        made.append(Engine(address, Offer(cpus, 0), patience=5))
        return made[-1]

    yield make
    for each in made:
        each.close()


def fake_ray(init: Callable[..., Any]) -> types.ModuleType:
    """Return a library that starts as a test says."""
    module = types.ModuleType("ray")
    module.__file__ = "/nowhere/ray/__init__.py"
    vars(module).update(init=init, is_initialized=lambda: False, shutdown=lambda: None, _private=None)
    return module


def test_missing_library_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    runner = RayRunner()
    with pytest.raises(MMLMisconfigurationException, match=r"pip install 'mml-core\[ray\]'"):
        runner.open(toy_run(tmp_path / "run"))
    runner.close()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"address": "head"}, "runner.address=head is no address"),
        ({"num_cpus": 0}, "cpus=0 can't be done for runner.num_cpus"),
        ({"num_gpus": -1}, "gpus=-1 can't be done for runner.num_gpus"),
        ({"address": "auto", "num_cpus": 2}, "runner.num_cpus=2 is for a Ray that mml starts"),
    ],
)
def test_options_that_can_not_be_meant_are_refused(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match=text):
        RayRunner(**options).open(toy_run(tmp_path / "run"))


def test_room_is_told_without_a_ray() -> None:
    assert RayRunner(num_cpus=3).room().resources.cpus == 3
    assert RayRunner().room().resources.cpus == granted_cores()
    shared = RayRunner("head:6379").room()
    assert (shared.shared, shared.text) == (True, "Ray at head:6379")


def test_ray_that_can_not_be_started_says_why(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: Any) -> None:
        raise RuntimeError("no space left")

    monkeypatch.setitem(sys.modules, "ray", fake_ray(init))
    with pytest.raises(MMLMisconfigurationException, match="can't be started on this machine: RuntimeError: no space"):
        engine().open()


def test_signal_while_ray_starts_interrupts(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(signum))  # as Ray does
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setitem(sys.modules, "ray", fake_ray(init))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        engine().open()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_ray_of_a_run_starts_and_ends_with_it(engine: Any, capfd: pytest.CaptureFixture[str]) -> None:
    started = engine()
    with guarded_signals() as guard:
        started.open()
        assert signal.getsignal(signal.SIGTERM) == guard.handle
    assert [node.resources["CPU"] for node in started.nodes()] == [1.0]
    started.look(at_once=True)
    assert MARK not in os.environ
    assert "RAY_BACKEND_LOG_LEVEL" not in os.environ
    folder = Path(ray._private.worker._global_node.get_session_dir_path()).parent
    assert len(list(marked(str(folder)))) > 3
    started.close()
    started.close()
    assert not folder.exists()
    assert list(marked(str(folder))) == []
    assert not ray.is_initialized()
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


@pytest.mark.slow
def test_connection_that_is_there_is_used_and_stays(
    engine: Any, ray_cluster: RayCluster, caplog: pytest.LogCaptureFixture
) -> None:
    ray.init(address=ray_cluster.address, log_to_driver=False)
    try:
        used = engine()
        used.open()
        assert used.address == ray_cluster.address
        assert "is connected to the Ray at" in caplog.text
        used.close()
        assert ray.is_initialized()
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_ray_that_runs_is_used(engine: Any, ray_cluster: RayCluster) -> None:
    used = engine(ray_cluster.address, None)
    used.open()
    assert {node.name for node in used.nodes()} >= {"head", "far"}
    assert ray._private.worker.print_to_stdstream is _log_lines
    used.look()
    used.close()
    assert ray._private.worker.print_to_stdstream is not _log_lines


def test_head_that_stays_away_ends_the_run(engine: Any) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        lost = engine("auto")
        lost.address = f"127.0.0.1:{server.getsockname()[1]}"
        lost.look()
    lost.look()  # only now and then
    lost._last_look -= 2
    lost.look()  # it has some time to come back
    lost._last_look -= 2
    lost._last_seen -= 10
    with pytest.raises(RunnerError, match=r"The head of Ray at 127.0.0.1:\d+ can't be reached for 5 s"):
        lost.look()


def test_what_ray_says_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _log_lines({"lines": ["The raylet is gone."], "pid": "raylet"}, ignore_prefix=False)
    assert "Ray says: The raylet is gone." in caplog.text


def test_folder_of_a_killed_driver_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    old, living = Path(f"/tmp/mml-ray-{gone.pid}-test"), Path(f"/tmp/mml-ray-{os.getpid()}-test")
    for folder in (old, living):
        folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", "/tmp/" + "long" * 20)
    new = _new_folder()
    try:
        assert new.parent == Path("/tmp")
        assert not old.exists()
        assert living.exists()
    finally:
        new.rmdir()
        living.rmdir()
