import os
import signal
import sys
import time
from pathlib import Path

import pytest

from mml.doctor import heavy
from mml.doctor.heavy import StageResult, probe_stages
from mml.doctor.verdicts import Level, Settings
from tests.doctor.fakes import NMS_ERROR, fake_package, fake_torch

NOWHERE = Settings(None, None)
GOOD = StageResult({"version": "1", "cuda": None, "hip": None, "threads": 2, "faults": {}})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose packages child processes find first."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def use(monkeypatch: pytest.MonkeyPatch, **stages: StageResult) -> None:
    """Let the checks see these results."""
    monkeypatch.setattr(heavy, "all_stages", lambda: stages)


def test_facts_come_back_from_the_child(site: Path) -> None:
    fake_torch(site, cuda="13.2")
    found = probe_stages(["torch"])["torch"]
    assert found == StageResult({"version": "2.9.9", "cuda": "13.2", "hip": None, "threads": 3})


def test_the_error_of_a_torchvision_for_another_torch_comes_back(site: Path) -> None:
    fake_torch(site)
    fake_package(site, "torchvision", f"raise RuntimeError({NMS_ERROR!r})")
    found = probe_stages(["torch", "torchvision"])
    assert found["torch"].facts
    assert found["torchvision"] == StageResult(None, f"RuntimeError: {NMS_ERROR}")


def test_a_crash_is_a_finding_and_the_other_stages_go_on(site: Path) -> None:
    fake_torch(site)
    fake_package(site, "torchvision", f"import os; os.kill(os.getpid(), {signal.SIGSEGV:d})")
    fake_package(site, "lightning", "__version__ = '2.6.6'")
    found = probe_stages(["torch", "torchvision", "lightning"])
    assert found["torchvision"] == StageResult(None, "crashes with SIGSEGV")
    assert found["lightning"].facts == {"version": "2.6.6"}


def test_a_hang_is_a_finding(site: Path) -> None:
    fake_package(site, "lightning", "import time; time.sleep(600)")
    assert probe_stages(["lightning"], limit=1.0)["lightning"].fault == "hangs: stopped after 1 s"


def test_a_library_that_ends_the_process_is_a_finding(site: Path) -> None:
    fake_package(site, "lightning", "import os; os._exit(0)")
    assert probe_stages(["lightning"])["lightning"].fault == "ends the process without a word"


def test_without_torch_nothing_that_needs_it_is_tried(site: Path) -> None:
    fake_package(site, "torch", "raise ImportError('libtorch.so: no such file')")
    found = probe_stages(["torch", "torchvision", "driver"])
    assert found["torch"].fault == "ImportError: libtorch.so: no such file"
    assert found["torchvision"].fault.startswith("not checked")
    assert not found["driver"].fault.startswith("not checked")


def test_a_child_that_can_not_start_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert "could not be started" in probe_stages(["torch", "driver"])["torch"].fault


def test_an_interruption_ends_the_child(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = site / "pid"
    fake_package(
        site, "lightning", f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    )

    def interrupt(*_: object) -> None:
        while not pid.exists() or not pid.read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(heavy.subprocess.Popen, "wait", _first(interrupt, heavy.subprocess.Popen.wait))
    with pytest.raises(KeyboardInterrupt):
        probe_stages(["lightning"])
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def _first(first: object, then: object) -> object:
    """Return a function that is `first` when called first, and `then` later."""
    calls = iter([first])
    return lambda *args, **options: next(calls, then)(*args, **options)  # type: ignore[operator]


def test_all_stages_are_found_out_once(site: Path) -> None:
    fake_package(site, "torch", "raise ImportError('no')")
    heavy.all_stages.cache_clear()
    try:
        assert heavy.all_stages() is heavy.all_stages()
    finally:
        heavy.all_stages.cache_clear()


def test_what_works_is_told_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, torch=GOOD, torchvision=GOOD, lightning=GOOD, libraries=GOOD)
    checks = (heavy.check_torch, heavy.check_torchvision, heavy.check_lightning, heavy.check_libraries)
    assert [check(NOWHERE).level for check in checks] == [Level.OK] * 4
    assert heavy.check_torch(NOWHERE).what == "torch 1, built for the CPU, 2 threads"


def test_the_build_for_cuda_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, torch=StageResult({**(GOOD.facts or {}), "cuda": "12.4"}))
    assert "built for CUDA 12.4" in heavy.check_torch(NOWHERE).what


def test_a_torch_that_fails_is_installed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, torch=StageResult(None, "ImportError: libtorch.so"))
    verdict = heavy.check_torch(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert verdict.what == "torch can't be imported: ImportError: libtorch.so"
    assert "pip install torch torchvision" in verdict.fix
    assert 'faulthandler -c "import torch"' in verdict.fix


def test_the_mismatch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, torchvision=StageResult(None, f"RuntimeError: {NMS_ERROR}"))
    verdict = heavy.check_torchvision(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert NMS_ERROR in verdict.what
    assert "another torch" in verdict.what
    assert "install both from one place" in verdict.fix


def test_what_was_not_checked_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, lightning=StageResult(None, "not checked, because ..."), libraries=StageResult(None, "crashes"))
    assert heavy.check_lightning(NOWHERE).level is Level.WARNING
    assert heavy.check_libraries(NOWHERE).level is Level.PROBLEM


@pytest.mark.parametrize(
    ("fault", "fix"), [("ImportError: no", "--force-reinstall scikit-learn"), (NMS_ERROR, "mend torchvision")]
)
def test_other_libraries_are_installed_anew(monkeypatch: pytest.MonkeyPatch, fault: str, fix: str) -> None:
    use(monkeypatch, libraries=StageResult({"faults": {"sklearn": fault}}))
    verdict = heavy.check_libraries(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert f"sklearn can't be imported: {fault}" in verdict.what
    assert fix in verdict.fix


def test_what_fails_because_of_torchvision_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {"timm": NMS_ERROR, "torchmetrics": NMS_ERROR, "optuna": "ImportError: no"}
    use(monkeypatch, lightning=StageResult(None, NMS_ERROR), libraries=StageResult({"faults": faults}))
    assert heavy.check_lightning(NOWHERE).fix == "mend torchvision, which it imports"
    said = f"timm, torchmetrics can't be imported: {NMS_ERROR}; optuna can't be imported: ImportError: no"
    assert heavy.check_libraries(NOWHERE).what == said
