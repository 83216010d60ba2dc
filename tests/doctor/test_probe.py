import json
from pathlib import Path

import pytest

from mml.doctor import probe
from tests.doctor.fakes import fake_package, python


def report_of(tmp_path: Path, *stages: str) -> list[dict[str, object]]:
    report = tmp_path / "report.jsonl"
    probe.main(report, list(stages))
    return [json.loads(line) for line in report.read_text().splitlines()]


def test_each_stage_is_written_down_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(probe.STAGES, "torch", lambda: {"version": "9"})
    assert report_of(tmp_path, "torch") == [{"stage": "torch"}, {"stage": "torch", "facts": {"version": "9"}}]


@pytest.mark.parametrize("error", [OSError("no\nlibrary"), SystemExit(), KeyboardInterrupt()])
def test_any_error_of_a_stage_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail() -> dict[str, object]:
        raise error

    monkeypatch.setitem(probe.STAGES, "torch", fail)
    (_, end) = report_of(tmp_path, "torch")
    text = f"{type(error).__name__}: no" if str(error) else type(error).__name__
    assert end == {"stage": "torch", "error": text}


def test_the_script_imports_nothing_heavy_and_nothing_of_mml_by_itself(tmp_path: Path) -> None:
    code = "import runpy, sys; runpy.run_path(sys.argv[1]) if len(sys.argv) > 1 else None"
    done = python(f"import sys; sys.argv.append({probe.__file__!r}); {code}; print(*sys.modules)", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "mml", "rich"} & set(done.stdout.split())


def test_torch_that_is_there_computes() -> None:
    facts = probe.torch_facts()
    assert set(facts) == {"version", "cuda", "hip", "threads"}
    assert probe.torchvision_facts()["version"]
    assert not probe.gpu_facts()["available"] or probe.gpu_facts()["names"]


def test_libraries_that_fail_are_named_each_with_its_reason(tmp_path: Path) -> None:
    for name in ("torchmetrics", "timm", "safetensors", "safetensors.torch", "sklearn"):
        fake_package(tmp_path, name, "")
    fake_package(tmp_path, "optuna", "raise SystemExit('go away')")
    done = python("from mml.doctor import probe; print(probe.libraries_facts())", tmp_path)
    assert done.stdout.strip() == "{'faults': {'optuna': 'SystemExit: go away'}}", done.stderr


def test_the_driver_is_asked_through_its_own_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """What libcuda.so.1 answers on a machine with one card and a driver for CUDA 12.4."""

        def __init__(self, name: str) -> None:
            assert name == "libcuda.so.1"

        def cuDriverGetVersion(self, number: object) -> int:  # noqa: N802
            number._obj.value = 12040  # type: ignore[attr-defined]
            return 0

        def cuInit(self, flags: int) -> int:  # noqa: N802
            return flags

        def cuDeviceGetCount(self, number: object) -> int:  # noqa: N802
            number._obj.value = 1  # type: ignore[attr-defined]
            return 0

    monkeypatch.setattr(probe.ctypes, "CDLL", Library)
    assert probe.driver_facts() == {"version": 12040, "status": 0, "devices": 1}
