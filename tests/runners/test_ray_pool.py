"""Workers of Ray are asked for where there is place, and know what they may use; the rest is tested with a real Ray."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.machine import CORES_VARIABLE
from mml.runners.base import SentError
from mml.runners.ray_engine import Node
from mml.runners.ray_nodes import Shape
from mml.runners.ray_pool import Pool, _environment
from mml.runners.ray_slots import Slot
from tests.support.toy_worker import work

ONE: Shape = {"CPU": 1.0}


class Cluster:
    """An engine whose machines have what a test says, and whose actors do nothing."""

    on_demand = False

    def __init__(self, there: Shape, free: Shape) -> None:
        self.ended: list[Any] = []
        self.ray = self
        self.cloudpickle = self
        self._there, self._free = there, free

    def register_pickle_by_value(self, _: Any) -> None: ...

    def remote(self, thing: Any) -> Any:
        return thing

    def cluster_resources(self) -> Shape:
        return self._there

    def available_resources(self) -> Shape:
        return self._free

    def kill(self, actor: Any, no_restart: bool) -> None:
        self.ended.append(actor)

    @property
    def exceptions(self) -> Any:
        return pytest.importorskip("ray").exceptions

    def nodes(self) -> list[Node]:
        return [Node("id", "far", {})]

    def look(self, *, at_once: bool) -> None: ...


def pool_of(there: Shape, free: Shape, *slots: Slot, autoscale: bool = False) -> Pool:
    engine: Any = Cluster(there, free)
    pool = Pool(engine, Path("/run"), b"", autoscale=autoscale)
    pool._slots.extend(slots)
    return pool


def slot(shape: Shape, *, ready: bool = True, busy: bool = False) -> Slot:
    made = Slot(object(), shape, object())
    made.name = "host-1" if ready else ""
    made.works = {object(): object()} if busy else {}  # type: ignore[dict-item] # what it does is of no concern
    return made


@pytest.mark.parametrize(
    ("pool", "room"),
    [
        (pool_of({"CPU": 2.0}, {"CPU": 2.0}), True),
        (pool_of({"CPU": 2.0}, {"CPU": 1.0}, slot(ONE, busy=True)), True),
        (pool_of({"CPU": 2.0}, {}, slot(ONE, busy=True), slot(ONE, busy=True)), False),
        (pool_of({"CPU": 2.0}, {}, slot(ONE, busy=True), slot(ONE)), True),
        (pool_of({"CPU": 1.0}, {}, slot({"CPU": 0.5}), slot({"CPU": 0.5})), True),
        (pool_of({"CPU": 1.0}, {}, slot({"CPU": 0.5}, busy=True), slot({"CPU": 0.5})), False),
        (pool_of({"CPU": 9.0}, {}), True),
        (pool_of({"CPU": 9.0}, {}, slot({"CPU": 2.0}, ready=False)), False),
        (pool_of({"CPU": 1.0}, {}, slot(ONE, busy=True), autoscale=True), True),
    ],
    ids=[
        "all free",
        "one free",
        "all busy",
        "one idle",
        "idle ones of another size give way",
        "busy ones do not",
        "others have all: one asks",
        "and no more",
        "more machines come",
    ],
)
def test_room_is_where_work_would_begin_soon(pool: Pool, room: bool) -> None:
    assert pool.has_room(ONE) is room


def test_workers_that_nobody_needs_are_given_back() -> None:
    kept, unused = slot(ONE), slot(ONE)
    unused.since -= 60
    pool = pool_of({"CPU": 2.0}, {}, kept, unused)
    pool.give_back()
    assert pool._slots == [kept]


def test_workers_that_never_start_are_given_up_and_idle_ones_give_way_to_those_that_are_needed() -> None:
    asked, idle = slot({"CPU": 2.0}, ready=False), slot(ONE)
    asked.since -= 60
    pool = pool_of({"CPU": 2.0}, {}, asked, idle)
    pool.give_back()
    assert pool._slots == []


@pytest.mark.parametrize(("gpus", "hidden"), [(0.0, True), (1.0, False)])
def test_worker_knows_what_it_may_use(gpus: float, hidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    variables = _environment({"CPU": 4.0, **({"GPU": gpus} if gpus else {})})
    assert variables.get("CUDA_VISIBLE_DEVICES") == ("" if hidden else None)
    assert (variables[CORES_VARIABLE], variables["OMP_NUM_THREADS"]) == ("4", "3")
    assert "MKL_NUM_THREADS" not in variables


def test_pool_without_work_has_nothing_to_wait_for() -> None:
    pool = pool_of(ONE, ONE)
    assert not pool.busy
    assert pool.wait(0.01) == []


def lost(error: Exception, *, ready: bool = True, stopping: bool = False) -> SentError:
    """Return what is reported of an attempt whose worker is lost."""
    gone = slot(ONE, ready=ready)
    gone.node = "id" if ready else ""
    pool = pool_of({"CPU": 1.0}, {}, gone)
    if ready:
        gone.works = {object(): work(0, "nothing")}
    else:
        pool._waiting.extend([(work(1, "nothing"), {"CPU": 7.0}), (work(0, "nothing"), ONE)])
    pool._stopping = stopping
    pool._lose(gone, error)
    (report,) = pool._reports
    assert report.step == 0
    assert report.error is not None
    assert pool._slots == []
    return report.error


def test_lost_worker_is_reported_with_its_machine() -> None:
    errors = pytest.importorskip("ray").exceptions
    sent = lost(errors.NodeDiedError("x"))
    assert sent.lost
    assert sent.text.startswith("Worker host-1 on machine far was lost during step 1, nothing(). Its machine is lost.")


def test_worker_that_can_not_start_takes_an_attempt_with_it_that_waited() -> None:
    errors = pytest.importorskip("ray").exceptions
    sent = lost(errors.NodeDiedError("x"), ready=False)
    assert sent.lost
    assert "A worker that was not ready yet was lost during step 1" in sent.text


def test_machine_that_can_not_do_steps_is_a_misfit() -> None:
    errors = pytest.importorskip("ray").exceptions
    said = "Traceback\n  ...\nModuleNotFoundError: No module named 'mml'"
    sent = lost(errors.RayTaskError("execute", said, ValueError()))
    assert sent.misfit
    assert "A worker on machine far can't do steps of this run: ModuleNotFoundError: No module named 'mml'" in sent.text


def test_worker_that_is_gone_when_it_was_asked_to_stop_has_stopped() -> None:
    errors = pytest.importorskip("ray").exceptions
    sent = lost(errors.NodeDiedError("x"), stopping=True)
    assert (sent.lost, bool(sent.interrupted)) == (False, True)


def test_lost_worker_of_this_machine_is_killed_for_certain(tmp_path: Path) -> None:
    folder = tmp_path / "workers" / "host-1"
    folder.mkdir(parents=True)
    script = (
        "import sys, time\nfrom filelock import FileLock\n"
        "with FileLock(sys.argv[1]):\n    print(flush=True)\n    time.sleep(99)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(folder / "run.lock")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    living = slot(ONE)
    living.process = child.pid
    engine: Any = Cluster({}, {})
    engine.on_demand = True
    pool = Pool(engine, tmp_path, b"", autoscale=False)
    pool._slots.append(living)
    pool._end(living)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
