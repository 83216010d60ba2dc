import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mml.doctor import command, run_doctor
from mml.doctor.verdicts import Check, Level, Settings, Verdict, ok, problem, warning
from tests.doctor.fakes import NMS_ERROR, fake_distribution, fake_package, fake_torch

HEAVY = {"torch", "torchvision", "torchmetrics", "lightning", "timm", "optuna", "pandas", "matplotlib", "sklearn"}
CALL = "import sys; from mml.doctor import run_doctor; sys.exit(run_doctor(sys.argv[1:]))"


def doctor(site: Path, *words: str, flags: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """Run the real command in a process that finds the packages of `site` first."""
    return subprocess.run(
        [sys.executable, *flags, "-c", CALL, *words],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def quick_libraries(site: Path) -> None:
    """Put libraries in the place of the heavy ones that can be imported at once."""
    fake_torch(site)
    fake_package(site, "torchvision", "__version__ = '0.29'\nclass ops:\n    nms = print")
    for name in ("lightning", "torchmetrics", "timm", "safetensors", "safetensors.torch", "sklearn", "optuna"):
        fake_package(site, name, "__version__ = '9'")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that puts checks with these verdicts in the place of all."""

    def use(**verdicts: Verdict) -> None:
        made = [Check("group", name, lambda _, verdict=verdict: verdict) for name, verdict in verdicts.items()]
        monkeypatch.setattr(command, "CHECKS", tuple(made))

    return use


def test_the_real_machine_is_looked_at_without_loading_anything_heavy(tmp_path: Path) -> None:
    quick_libraries(tmp_path)
    done = doctor(tmp_path, "--json", flags=("-X", "importtime"))
    report = json.loads(done.stdout)
    assert done.returncode == int(not report["ok"])
    assert [(entry["group"], entry["check"]) for entry in report["findings"]] == [
        (check.group, check.name) for check in command.CHECKS
    ]
    assert not [entry for entry in report["findings"] if "the check itself failed" in entry["what"]]
    loaded = set(re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", done.stderr, re.MULTILINE))
    assert "mml.doctor.command" in loaded
    assert not loaded & HEAVY


def test_the_mismatch_of_torch_and_torchvision_is_named_with_the_way_out(tmp_path: Path) -> None:
    quick_libraries(tmp_path)
    fake_package(tmp_path, "torchvision", f"raise RuntimeError({NMS_ERROR!r})")
    fake_distribution(tmp_path, "torch", "2.15.0+cpu")
    fake_distribution(tmp_path, "torchvision", "0.29.2")
    done = doctor(tmp_path)
    assert done.returncode == 1
    assert re.search(r"torchvision +problem +torchvision was built for another torch", done.stdout)
    assert NMS_ERROR in done.stdout
    assert "mend: install both from one place" in done.stdout
    assert "builds for different devices" in done.stdout


def test_overrides_count_as_for_a_run(tmp_path: Path) -> None:
    quick_libraries(tmp_path)
    (tmp_path / "file").touch()
    done = doctor(tmp_path, "--json", f"out_dir={tmp_path / 'file'}", "sys.allow_gpu=false")
    found: dict[str, Any] = {entry["check"]: entry for entry in json.loads(done.stdout)["findings"]}
    assert done.returncode == 1
    assert found["results"]["level"] == "problem"
    assert found["data"]["level"] == "ok"
    assert found["GPU"]["what"] == "none is used: sys.allow_gpu=false"


def test_warnings_are_no_failure(checks: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    checks(one=ok("fine"), two=warning("slow", "make it [quick]"))
    assert run_doctor([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == [
        "group",
        "  one  ok       fine",
        "  two  warning  slow",
        "                mend: make it [quick]",
        "1 warning in 2 checks.",
    ]


def test_a_problem_is_a_failure(checks: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    checks(one=problem("broken", "mend it"), two=warning("slow", "hurry"))
    assert run_doctor([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 problem and 1 warning in 2 checks."


def test_when_all_is_well_it_says_so(checks: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    checks(one=ok("fine"))
    assert run_doctor([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "All is well: 1 check."


def test_json_is_for_programs(checks: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    checks(one=problem("broken", "mend it"))
    assert run_doctor(["--json"]) == 1
    finding = {"group": "group", "check": "one", "level": "problem", "what": "broken", "fix": "mend it"}
    assert json.loads(capsys.readouterr().out) == {"ok": False, "findings": [finding]}


@pytest.mark.parametrize("word", ["torch", "--fix"])
def test_other_words_are_wrong_usage(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_doctor([word])
    assert caught.value.code == 2
    assert word in capsys.readouterr().err


def test_help_explains_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_doctor(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "usage: mml doctor [-h] [--json]" in said
    assert "mml doctor --json" in said


def test_checks_have_names_of_their_own_and_groups_in_one_piece() -> None:
    names = [check.name for check in command.CHECKS]
    assert len(set(names)) == len(names)
    groups = [check.group for check in command.CHECKS]
    assert groups == sorted(groups, key=groups.index)


def test_every_verdict_that_is_not_fine_says_how_to_mend_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = Settings(tmp_path / "file", tmp_path / "file", fault="no")
    light = [check for check in command.CHECKS if check.group in ("folders", "system")]
    verdicts = [check.run(broken) for check in light]
    assert all(verdict.fix for verdict in verdicts if verdict.level is not Level.OK)
