"""Do torch and what builds on it work? Asked in a child process with a time limit: a crash or a hang is a finding."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mml.doctor import probe
from mml.doctor.verdicts import Settings, Verdict, ok, problem, warning
from mml.doctor.versions import pip_install, python_name, reinstall_torch
from mml.report.tables import count_text

# Seconds for all stages together; importing everything takes 10 on a slow machine with a cold disk.
LIMIT = 180.0
_NEEDS_TORCH = ("torchvision", "lightning", "libraries", "gpu")
# In the error of a torchvision that was built for another torch.
_MISFIT = "torchvision::nms"
_MEND_FIRST = "mend torchvision, which it imports"
_HOW_TO_LOOK = "see the whole error with"


class StageResult(NamedTuple):
    """How one stage of the probe went.

    Attributes:
        facts: what it found out, None when it failed.
        fault: why it failed, empty when it did not.
    """

    facts: Mapping[str, Any] | None
    fault: str = ""


def probe_stages(stages: Sequence[str], limit: float = LIMIT) -> dict[str, StageResult]:
    """Run stages of the probe; after a crash the others go on in a new process.

    Args:
        stages: names of stages.
        limit: seconds until a process is stopped.
    """
    results: dict[str, StageResult] = {}
    left = list(stages)
    while left:
        found = _run_child(left, limit)
        results.update(found)
        if "torch" in results and results["torch"].facts is None:
            missing = StageResult(None, "not checked, because torch can't be imported")
            results.update({stage: missing for stage in _NEEDS_TORCH if stage in left})
        left = [stage for stage in left if stage not in results]
        if not found:
            return results | {stage: StageResult(None, "the child process could not be started") for stage in left}
    return results


def _run_child(stages: Sequence[str], limit: float) -> dict[str, StageResult]:
    """Run stages in one child; return the results up to its end, the one that it ended in included."""
    with tempfile.TemporaryDirectory(prefix="mml-doctor-") as folder:
        report = Path(folder) / "report.jsonl"
        # -P: the folder of the script must not hide modules of others.
        command = [sys.executable, "-P", probe.__file__, str(report), *stages]
        end = _ended(command, limit)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    results: dict[str, StageResult] = {}
    for entry in map(json.loads, lines):
        fault = entry.get("error") or ("" if "facts" in entry else end or "ends the process without a word")
        results[entry["stage"]] = StageResult(entry.get("facts"), fault)
    return results


def _ended(command: Sequence[str], limit: float) -> str:
    """Run a command; return how it ended when that was not well."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            status = process.wait(limit)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it may have started
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return f"hangs: stopped after {limit:g} s"
    return f"crashes with {signal.Signals(-status).name}" if status < 0 else ""


@cache
def all_stages() -> dict[str, StageResult]:
    """Return the results of all stages, found out once."""
    return probe_stages(list(probe.STAGES))


def check_torch(_: Settings) -> Verdict:
    """Check that torch can be imported and computes."""
    result = all_stages()["torch"]
    if result.facts is None:
        return problem(f"torch {_fault(result)}", f"{reinstall_torch()}; {_look('torch')}")
    build = f"CUDA {result.facts['cuda']}" if result.facts["cuda"] else "the CPU"
    threads = count_text(result.facts["threads"], "thread")
    return ok(f"torch {result.facts['version']}, built for {build}, {threads}")


def check_torchvision(_: Settings) -> Verdict:
    """Check that torchvision fits torch."""
    result = all_stages()["torchvision"]
    if result.facts is None and _MISFIT in result.fault:
        what = f"torchvision was built for another torch ({result.fault}); lightning, timm and torchmetrics fail, too"
        return problem(what, reinstall_torch())
    return _import_verdict("torchvision", result, reinstall_torch())


def check_lightning(_: Settings) -> Verdict:
    """Check that lightning can be imported."""
    return _import_verdict("lightning", all_stages()["lightning"], pip_install("lightning>=2.6.6"))


def check_libraries(_: Settings) -> Verdict:
    """Check that the other heavy libraries can be imported."""
    result = all_stages()["libraries"]
    if result.facts is None:
        return _import_verdict("libraries", result, "")
    faults = result.facts["faults"]
    if not faults:
        return ok(f"{', '.join(name.partition('.')[0] for name in probe.LIBRARIES)} can be imported")
    names_of: dict[str, list[str]] = {}
    for name, fault in faults.items():
        names_of.setdefault(fault, []).append(name)
    what = "; ".join(f"{', '.join(names)} can't be imported: {fault}" for fault, names in names_of.items())
    if _MISFIT in what:
        return problem(what, _MEND_FIRST)
    names = [name.partition(".")[0].replace("sklearn", "scikit-learn") for name in faults]
    return problem(what, f"{pip_install('--force-reinstall', *names)}; {_look(next(iter(faults)))}")


def _import_verdict(name: str, result: StageResult, fix: str) -> Verdict:
    if result.facts is not None:
        return ok(f"{name} {result.facts['version']} works")
    if result.fault.startswith("not checked"):
        return warning(f"{name}: {result.fault}", "mend torch first")
    if _MISFIT in result.fault:
        return problem(f"{name} {_fault(result)}", _MEND_FIRST)
    return problem(f"{name} {_fault(result)}", f"{fix}; {_look(name)}")


def _fault(result: StageResult) -> str:
    own = result.fault.startswith(("crashes", "hangs", "ends", "the child"))
    return result.fault if own else f"can't be imported: {result.fault}"


def _look(module: str) -> str:
    return f'{_HOW_TO_LOOK} {python_name()} -X faulthandler -c "import {module}"'
