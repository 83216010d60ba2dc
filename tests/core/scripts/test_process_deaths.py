"""The signal that ended a process is named, with what mostly is behind it."""

import signal
from pathlib import Path

import pytest

from mml.core.scripts import process_deaths
from mml.core.scripts.process_deaths import likely_cause, signal_name


def cause(signum: int) -> str:
    return likely_cause(signum, fewer="use less", crash="It crashed.")


def test_signal_without_a_name_has_its_number() -> None:
    assert [signal_name(signum) for signum in (signal.SIGKILL, 35)] == ["SIGKILL", "signal 35"]


@pytest.mark.parametrize(
    ("signum", "said"),
    [
        (signal.SIGSEGV, "It crashed."),
        (signal.SIGILL, "It crashed."),
        (signal.SIGUSR2, "Somebody or something outside of mml sent that signal."),
    ],
)
def test_crashes_are_told_from_signals_of_others(signum: int, said: str) -> None:
    assert cause(signum) == said


def test_limit_and_kills_of_the_container_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_deaths, "CGROUPS", tmp_path)
    (tmp_path / "memory.events").write_text("low 0\noom_kill 2\n")
    (tmp_path / "memory.max").write_text("2000000000\n")
    assert cause(signal.SIGKILL) == (
        "The kernel does so when memory runs out (it did so 2 times here, the limit is 2.0 GB): use less."
    )
    (tmp_path / "memory.max").write_text(str(2**62))
    assert "(it did so 2 times here): use less." in cause(signal.SIGKILL)


def test_machine_without_shared_memory_or_control_groups_tells_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_deaths, "CGROUPS", tmp_path)
    monkeypatch.setattr(process_deaths, "_SHARED_MEMORY", tmp_path / "none")
    assert cause(signal.SIGKILL) == "The kernel does so when memory runs out: use less."
    assert "shared memory is full: make it larger" in cause(signal.SIGBUS)


def test_full_shared_memory_is_told_with_its_size() -> None:
    assert "(/dev/shm holds " in cause(signal.SIGBUS)
