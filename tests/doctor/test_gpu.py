from pathlib import Path
from typing import Any

import pytest

from mml.doctor import gpu, heavy
from mml.doctor.gpu import Hardware, find_hardware, gpu_verdict
from mml.doctor.heavy import StageResult
from mml.doctor.verdicts import Level, Settings

CARD, NOTHING = Hardware(1, True), Hardware(0, False)
NONE: dict[str, Any] = {"available": False, "names": [], "error": "", "said": [], "mps": False}
FOUND = NONE | {"available": True, "names": ["H200"], "free": 10**11, "total": 15 * 10**10}
OLD_DRIVER = StageResult({"version": 12040, "status": 0, "devices": 1})
NO_DRIVER = StageResult(None, "OSError: libcuda.so.1: cannot open")


def stages(
    facts: dict[str, Any], *, cuda: str | None = "12.4", hip: str | None = None, driver: StageResult = OLD_DRIVER
) -> dict[str, StageResult]:
    return {
        "torch": StageResult({"version": "2.15.0", "cuda": cuda, "hip": hip, "threads": 1}),
        "driver": driver,
        "gpu": StageResult(facts),
    }


def test_a_gpu_that_computes_is_fine() -> None:
    verdict = gpu_verdict(stages(FOUND), CARD, allowed=True)
    assert (verdict.level, verdict.what) == (Level.OK, "H200, 100.0 GB of 150.0 GB free")


def test_no_gpu_is_fine() -> None:
    verdict = gpu_verdict(stages(NONE, driver=NO_DRIVER), NOTHING, allowed=True)
    assert (verdict.level, verdict.what) == (Level.OK, "there is none: trainings use the CPU")


def test_a_gpu_that_is_not_wanted_is_fine_however_broken() -> None:
    assert gpu_verdict(stages(NONE, cuda=None), CARD, allowed=False).level is Level.OK


def test_the_gpu_of_a_mac_is_fine() -> None:
    assert gpu_verdict(stages(NONE | {"mps": True}, cuda=None), NOTHING, allowed=True).what == "the GPU of this Mac"


@pytest.mark.parametrize(
    ("facts", "options", "what"),
    [
        pytest.param(NONE, {"cuda": None}, "built without CUDA", id="torch for the CPU"),
        pytest.param(NONE, {"driver": NO_DRIVER}, "its driver can't be loaded", id="no driver"),
        pytest.param(NONE, {"cuda": "13.2"}, "torch is built for CUDA 13.2, but the driver knows CUDA 12.4", id="new"),
        pytest.param(NONE | {"error": "busy"}, {}, "torch can't use it: busy", id="another error"),
        pytest.param(NONE | {"said": ["old card"]}, {}, "torch can't use it: old card", id="a warning"),
        pytest.param(NONE, {}, "the driver says error 0", id="no reason"),
        pytest.param(FOUND | {"error": "no kernel image"}, {}, "H200 is found, but can't compute", id="no kernels"),
    ],
)
def test_a_gpu_that_can_not_be_used_is_a_problem(facts: dict[str, Any], options: dict[str, Any], what: str) -> None:
    verdict = gpu_verdict(stages(facts, **options), CARD, allowed=True)
    assert verdict.level is Level.PROBLEM
    assert what in verdict.what
    assert "sys.allow_gpu=false" in verdict.fix


@pytest.mark.parametrize("value", ["", "-1"])
def test_a_hidden_gpu_is_a_warning(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    verdict = gpu_verdict(stages(NONE), CARD, allowed=True)
    assert verdict.level is Level.WARNING
    assert verdict.fix == "unset CUDA_VISIBLE_DEVICES"


def test_a_gpu_that_others_have_filled_is_a_warning() -> None:
    assert gpu_verdict(stages(FOUND | {"free": 10**8}), CARD, allowed=True).level is Level.WARNING


def test_looking_for_a_gpu_that_crashes_is_a_problem() -> None:
    found = stages(NONE) | {"gpu": StageResult(None, "crashes with SIGSEGV")}
    verdict = gpu_verdict(found, CARD, allowed=True)
    assert (verdict.level, verdict.what) == (Level.PROBLEM, "looking for a GPU crashes with SIGSEGV")


def test_without_torch_nothing_is_said_of_gpus() -> None:
    found = stages(NONE) | {"torch": StageResult(None, "ImportError")}
    assert gpu_verdict(found, CARD, allowed=True).level is Level.WARNING


def test_a_torch_for_amd_asks_for_amds_device(tmp_path: Path) -> None:
    assert gpu_verdict(stages(NONE, cuda=None, hip="6.4"), NOTHING, allowed=True).level is Level.OK
    assert gpu._without_rocm(NONE | {"error": "no rights"}, node=True).level is Level.PROBLEM


def test_hardware_is_found_on_the_bus_and_by_its_device_files(tmp_path: Path) -> None:
    for name, vendor, kind in (("a", "0x10de", "0x030200"), ("b", "0x10de", "0x040300"), ("c", "0x8086", "0x030000")):
        device = tmp_path / "sys/bus/pci/devices" / name
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    (tmp_path / "sys/bus/pci/devices/d").mkdir()
    assert find_hardware(tmp_path) == Hardware(1, nodes=False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert find_hardware(tmp_path) == Hardware(1, nodes=True)


def test_the_check_looks_at_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "all_stages", lambda: stages(FOUND))
    assert gpu.check_gpu(Settings(None, None)).level is Level.OK
    assert heavy.LIMIT > 0
