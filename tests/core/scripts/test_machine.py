"""What a process may use of its machine is read where systems and containers of all kinds write it down."""

import os
from pathlib import Path

import pytest

from mml.core.scripts import machine
from mml.core.scripts.machine import (
    CGROUPS,
    available_memory,
    free_memory,
    granted_cores,
    granted_memory,
    groups,
    memory_kills,
    memory_limit,
    quota,
    step_cores,
    total_memory,
    usable_cores,
)


def test_cores_are_those_that_this_process_may_run_on() -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("granted", "cores"), [("max", None), ("50000", 1), ("100000", 1), ("100000000", None)])
def test_container_that_grants_less_time_has_fewer_cores(tmp_path: Path, granted: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(f"{granted} 100000\n")
    assert granted_cores(tmp_path) == (cores or usable_cores())


@pytest.mark.parametrize(("said", "cores"), [("3", 3), ("0", None), ("", None), ("many", None), ("-2", None)])
def test_step_beside_others_has_its_share_of_the_cores(
    said: str, cores: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MML_CORES", said)
    assert step_cores() == (cores or usable_cores())


def test_limits_of_both_generations_of_control_groups_are_read(tmp_path: Path) -> None:
    assert (quota(tmp_path), memory_limit(tmp_path)) == (None, None)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (quota(tmp_path), memory_limit(tmp_path)) == (None, None)
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert (quota(tmp_path), memory_limit(tmp_path)) == (2.5, 1000)
    write(tmp_path / "cpu", {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000"})
    write(tmp_path / "memory", {"memory.limit_in_bytes": "900"})
    assert (quota(tmp_path), memory_limit(tmp_path)) == (1.5, 900)


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_no_quota_of_the_first_generation_is_none(tmp_path: Path) -> None:
    write(tmp_path / "cpu", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    assert quota(tmp_path) is None


def test_limit_above_the_memory_of_the_machine_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000")
    assert granted_memory(tmp_path) == 1000
    (tmp_path / "memory.max").write_text(str(2**62))
    assert granted_memory(tmp_path) == total_memory()
    assert granted_memory(tmp_path / "none") == total_memory()


def test_the_groups_of_a_process_are_found_inside_out(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/user/job\n3:cpu,cpuacct:/slurm\n4:memory:/else\n")
    found = list(groups(tmp_path, "cpu", own))
    assert found[:3] == [tmp_path / "user" / "job", tmp_path / "user", tmp_path]
    assert tmp_path / "cpu" / "slurm" in found
    assert not any("else" in str(folder) for folder in found)
    assert all(folder.is_relative_to(tmp_path) for folder in found)


def test_a_system_without_control_groups_has_none(tmp_path: Path) -> None:
    assert list(groups(tmp_path, "cpu", tmp_path / "none")) == [tmp_path, tmp_path / "cpu"]


def test_available_memory_is_unknown_where_the_system_does_not_say(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert available_memory(meminfo) is None
    meminfo.write_text("MemTotal: 5 kB\n")
    assert available_memory(meminfo) is None
    assert free_memory(tmp_path, meminfo) is None
    meminfo.write_text("MemTotal: 5 kB\nMemAvailable: 3 kB\n")
    assert available_memory(meminfo) == 3072
    assert free_memory(tmp_path, meminfo) == 3072


@pytest.mark.parametrize(
    "files",
    [
        {"memory.max": "2000", "memory.current": "1500", "memory.stat": "anon 7\ninactive_file 300\n"},
        {"memory.limit_in_bytes": "2000", "memory.usage_in_bytes": "1500", "memory.stat": "total_inactive_file 300\n"},
    ],
)
def test_what_a_container_leaves_counts_files_that_nobody_uses_as_free(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, files)
    assert free_memory(tmp_path, tmp_path / "meminfo") == 800
    (tmp_path / "memory.stat").unlink()
    assert free_memory(tmp_path, tmp_path / "meminfo") == 500
    write(tmp_path, {"meminfo": "MemAvailable: 0 kB\n"})
    assert free_memory(tmp_path, tmp_path / "meminfo") == 0


def test_this_machine_has_free_memory() -> None:
    free = free_memory()
    assert free is not None
    assert 0 < free <= granted_memory(CGROUPS) <= total_memory()


def test_kills_of_a_group_are_counted(tmp_path: Path) -> None:
    assert memory_kills(tmp_path) == 0
    write(tmp_path, {"memory.events": "low 0\noom_kill 0\nodd\n"})
    assert memory_kills(tmp_path) == 0
    write(tmp_path, {"memory.events": "low 0\noom_kill 2\n"})
    assert memory_kills(tmp_path) == 2


def test_kills_of_a_group_of_the_first_generation_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "memory", {"memory.oom_control": "under_oom 0\noom_kill 3\n"})
    assert memory_kills(tmp_path) == 3


@pytest.mark.parametrize(
    ("variable", "threads"), [("3", 3), ("2,4", 2), ("0", None), ("", None), ("many", None), (None, None)]
)
def test_threads_are_those_of_the_environment_or_one_whatever_the_machine(
    variable: str | None, threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(machine, "granted_cores", lambda: 5)
    assert machine.default_threads() == (threads or 1)
