"""GPUs are found by the variable that restricts them, else by nvidia-smi, and never by torch."""

import logging
from pathlib import Path

import pytest

from mml.core.scripts.machine import granted_cores, granted_memory
from mml.runners.local_machine import Machine, this_machine

TWO = """\
GPU 0: NVIDIA H200 (UUID: GPU-aa11)
GPU 1: NVIDIA H200 (UUID: GPU-bb22)
"""
DIVIDED = """\
GPU 0: NVIDIA H200 (UUID: GPU-aa11)
  MIG 1g.18gb     Device  0: (UUID: MIG-one)
  MIG 1g.18gb     Device  1: (UUID: MIG-two)
GPU 1: NVIDIA H200 (UUID: GPU-bb22)
"""


def fake_smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an `nvidia-smi` before all others."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def gpus(**environment: str) -> tuple[str, ...]:
    return this_machine(environment).gpus


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("0,1", ("0", "1")),
        (" 2 , 0 ", ("2", "0")),
        ("GPU-aa11,MIG-bb", ("GPU-aa11", "MIG-bb")),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("1,-1,0", ("1",)),
        ("0,0", ("0",)),
    ],
)
def test_variable_of_the_driver_says_which_gpus_steps_may_use(
    value: str, found: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_smi(tmp_path, f"echo '{TWO}'", monkeypatch)
    assert gpus(CUDA_VISIBLE_DEVICES=value) == found


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (TWO, ("GPU-aa11", "GPU-bb22")),
        (DIVIDED, ("MIG-one", "MIG-two", "GPU-bb22")),
        ("No devices were found", ()),
    ],
)
def test_nvidia_smi_lists_gpus_and_parts_of_divided_ones(
    listed: str, found: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_smi(tmp_path, f"[ $1 = -L ] && echo '{listed}'", monkeypatch)
    assert gpus() == found


def test_machine_without_nvidia_smi_has_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus() == ()


def test_nvidia_smi_that_fails_is_told_and_steps_run_without_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_smi(tmp_path, "exit 9", monkeypatch)
    with caplog.at_level(logging.WARNING):
        assert gpus() == ()
    assert "nvidia-smi does not tell which GPUs there are" in caplog.text
    assert "exit status 9" in caplog.text


def test_cores_and_memory_are_those_that_are_granted() -> None:
    machine = this_machine({"CUDA_VISIBLE_DEVICES": ""})
    assert machine[:3] == ((), granted_cores(), granted_memory())


def test_machine_suits_a_step_per_gpu_or_else_per_core() -> None:
    assert Machine(("0", "1"), 16, 10**9).slots == 2
    assert Machine((), 16, 10**9).slots == 16


def test_machine_is_described_in_words() -> None:
    assert str(Machine((), 1, 25 * 10**9)) == "1 core and 25.0 GB of memory"
    two = Machine(("0", "1"), 16, 10**9, "CUDA_VISIBLE_DEVICES")
    assert str(two) == "2 GPUs (0, 1 by CUDA_VISIBLE_DEVICES), 16 cores and 1.0 GB of memory"
