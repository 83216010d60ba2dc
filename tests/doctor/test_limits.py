import resource
from pathlib import Path

import pytest

from mml.doctor import limits
from mml.doctor.limits import memory_verdict, processors_verdict, shared_memory_verdict
from mml.doctor.verdicts import Level, Settings
from tests.doctor.fakes import python

NOWHERE = Settings(None, None)
GB = 10**9


def limited(tmp_path: Path, which: str, limits_: tuple[int, int], check: str) -> str:
    """Return the verdict of a process that has these limits."""
    return python(
        f"import resource; resource.setrlimit(resource.{which}, {limits_}); from mml.doctor import limits; "
        f"print(*limits.{check}(None), sep='|')",
        tmp_path,
    ).stdout


@pytest.mark.parametrize(
    ("soft", "hard", "said"),
    [
        (100, 9000, "problem|a process may have only 100 files open"),
        (512, 9000, "warning|a process may have only 512 files open"),
        (2048, 9000, "ok|2,048 at a time|"),
    ],
)
def test_few_open_files_are_found(tmp_path: Path, soft: int, hard: int, said: str) -> None:
    found = limited(tmp_path, "RLIMIT_NOFILE", (soft, hard), "check_open_files")
    assert found.startswith(said)
    assert ("ulimit -n 4096" in found) is (soft < 1024)


def test_a_low_hard_limit_is_mended_elsewhere(tmp_path: Path) -> None:
    found = limited(tmp_path, "RLIMIT_NOFILE", (512, 512), "check_open_files")
    assert "/etc/security/limits.conf" in found
    assert "--ulimit nofile=4096" in found


def test_few_processes_are_a_warning(tmp_path: Path) -> None:
    assert limited(tmp_path, "RLIMIT_NPROC", (200, 200), "check_processes").startswith("warning|only 200 processes")


def test_a_limit_on_files_is_found(tmp_path: Path) -> None:
    assert limited(tmp_path, "RLIMIT_FSIZE", (GB // 10,) * 2, "check_file_size").startswith("problem|no file may")
    assert limited(tmp_path, "RLIMIT_FSIZE", (GB * 10,) * 2, "check_file_size").startswith("warning|no file may")


def test_this_machine_has_an_answer_to_all() -> None:
    names = [name for name in dir(limits) if name.startswith("check_")]
    assert len(names) == 6
    assert all(getattr(limits, name)(NOWHERE).what for name in names)


def test_no_limits_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    found = [limits.check_open_files(NOWHERE), limits.check_processes(NOWHERE), limits.check_file_size(NOWHERE)]
    assert [verdict.level for verdict in found] == [Level.OK] * 3
    assert found[0].what == "any number at a time"


@pytest.mark.parametrize(("free", "level"), [(GB // 100, Level.PROBLEM), (GB // 15, Level.WARNING), (8 * GB, Level.OK)])
def test_little_shared_memory_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: Level
) -> None:
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda _: limits.shutil._ntuple_diskusage(9 * GB, 0, free))
    verdict = shared_memory_verdict(tmp_path)
    assert verdict.level is level
    assert ("--shm-size=8g" in verdict.fix) is (level is not Level.OK)


def test_missing_shared_memory_is_a_problem(tmp_path: Path) -> None:
    verdict = shared_memory_verdict(tmp_path / "none")
    assert verdict.level is Level.PROBLEM
    assert "sampling.num_workers=0" in verdict.fix


def test_shared_memory_that_can_not_be_asked_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(limits.shutil, "disk_usage", refuse)
    assert "Permission denied" in shared_memory_verdict(tmp_path).what


def test_a_system_without_such_a_folder_is_not_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = limits.os.uname()
    monkeypatch.setattr(limits.os, "uname", lambda: type(system)(("Darwin", *system[1:])))
    assert shared_memory_verdict(tmp_path / "none").level is Level.OK


@pytest.mark.parametrize(
    ("cores", "share", "threads", "level", "said"),
    [
        (8, None, None, Level.OK, "8 cores"),
        (8, None, "4", Level.OK, "8 cores; OMP_NUM_THREADS=4"),
        (8, None, "4,2", Level.OK, "8 cores; OMP_NUM_THREADS=4,2"),
        (8, None, "16", Level.WARNING, "16 threads get in each other's way"),
        (8, 2.5, None, Level.WARNING, "the container grants 2.5; OMP_NUM_THREADS is not set, so 8 threads"),
        (8, 2.5, "2", Level.OK, "the container grants 2.5"),
        (1, 0.5, None, Level.OK, "1 core"),
        (8, None, "many", Level.WARNING, "OMP_NUM_THREADS=many is no number"),
        (8, None, "0", Level.WARNING, "OMP_NUM_THREADS=0 is no number"),
    ],
)
def test_threads_are_compared_with_processors(
    cores: int, share: float | None, threads: str | None, level: Level, said: str
) -> None:
    verdict = processors_verdict(cores, share, threads)
    assert verdict.level is level
    assert said in verdict.what


def test_the_number_of_threads_to_set_is_named() -> None:
    assert processors_verdict(8, 2.5, None).fix == "export OMP_NUM_THREADS=2, and sys.num_workers=2"


@pytest.mark.parametrize(
    ("total", "limit", "available", "level", "said"),
    [
        (64 * GB, None, 60 * GB, Level.OK, "64.0 GB, 60.0 GB available"),
        (64 * GB, None, None, Level.OK, "64.0 GB"),
        (64 * GB, 2 * GB, 60 * GB, Level.WARNING, "only 2.0 GB granted of 64.0 GB, 2.0 GB available"),
        (64 * GB, 2**63, 60 * GB, Level.OK, "64.0 GB, 60.0 GB available"),
        (64 * GB, None, GB // 2, Level.PROBLEM, "only 64.0 GB, 500.0 MB available: processes get killed"),
    ],
)
def test_little_memory_is_found(total: int, limit: int | None, available: int | None, level: Level, said: str) -> None:
    verdict = memory_verdict(total, limit, available)
    assert verdict.level is level
    assert said in verdict.what
    assert ("--memory=16g" in verdict.fix) is (limit == 2 * GB)
