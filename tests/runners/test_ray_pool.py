"""Workers of Ray are asked for where there is place, and know what they may use; the rest is tested with a real Ray."""

from pathlib import Path
from typing import Any

import pytest

from mml.core.scripts.machine import CORES_VARIABLE
from mml.runners.ray_nodes import Shape
from mml.runners.ray_pool import Pool, _environment
from mml.runners.ray_slots import Slot

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
