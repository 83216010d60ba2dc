"""Is there a GPU, and can torch use it? If not, whose fault it is: the driver's, torch's, or that of a setting."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mml.doctor.heavy import StageResult, all_stages
from mml.doctor.verdicts import Settings, Verdict, ok, problem, warning
from mml.report.tables import size_text

_NVIDIA, _DISPLAY = "0x10de", "0x03"
_CHOOSE = "choose the build of torch and torchvision at https://pytorch.org/get-started/locally"
_OR_CPU = "or use the CPU on purpose: sys.allow_gpu=false"
_LITTLE_MEMORY = 10**9


class Hardware(NamedTuple):
    """What the system shows of NVIDIA's hardware, without any library.

    Attributes:
        cards: number of cards on the bus.
        nodes: whether the driver's device files are there.
    """

    cards: int
    nodes: bool


def find_hardware(root: Path = Path("/")) -> Hardware:
    """Return what there is on the bus and below `/dev`."""
    cards = 0
    for device in root.glob("sys/bus/pci/devices/*"):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        cards += vendor == _NVIDIA and kind.startswith(_DISPLAY)
    return Hardware(cards, any(root.glob("dev/nvidia[0-9]*")))


def check_gpu(settings: Settings) -> Verdict:
    """Check whether trainings can use a GPU."""
    return gpu_verdict(all_stages(), find_hardware(), settings.allow_gpu)


def gpu_verdict(stages: Mapping[str, StageResult], hardware: Hardware, allowed: bool) -> Verdict:
    """Return the verdict on what was found out.

    Args:
        stages: results of the stages `torch`, `driver` and `gpu`.
        hardware: what the system shows.
        allowed: whether trainings may use a GPU.
    """
    if not allowed:
        return ok("none is used: sys.allow_gpu=false")
    torch, gpu = stages["torch"].facts, stages["gpu"]
    if torch is None:
        return warning("not checked, because torch can't be imported", "mend torch first")
    if gpu.facts is None:
        return problem(f"looking for a GPU {gpu.fault}", f"restart the machine or mend its driver, {_OR_CPU}")
    if gpu.facts["available"] or gpu.facts["mps"]:
        return _usable(gpu.facts)
    if torch["hip"]:
        return _without_rocm(gpu.facts, Path("/dev/kfd").exists())
    return _without(torch, stages["driver"], gpu.facts, hardware)


def _usable(facts: Mapping[str, Any]) -> Verdict:
    if not facts["available"]:
        return ok("the GPU of this Mac")
    names = ", ".join(facts["names"])
    if facts["error"]:
        what = f"{names} is found, but can't compute: {facts['error']}"
        return problem(what, f"the card may be too old or too new for this torch: {_CHOOSE}, {_OR_CPU}")
    free = f"{size_text(facts['free'])} of {size_text(facts['total'])} free"
    if facts["free"] < _LITTLE_MEMORY:
        fix = "see with nvidia-smi who uses it, or choose another card with CUDA_VISIBLE_DEVICES=<number>"
        return warning(f"{names}: only {free}", fix)
    return ok(f"{names}, {free}")


def _without(torch: Mapping[str, Any], driver: StageResult, facts: Mapping[str, Any], hardware: Hardware) -> Verdict:
    """Return the verdict where torch has no GPU of NVIDIA."""
    there = hardware.cards or hardware.nodes or bool(driver.facts and driver.facts["devices"])
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not there:
        return ok("there is none: trainings use the CPU")
    if hidden in ("", "-1"):
        return warning(f"hidden by CUDA_VISIBLE_DEVICES={hidden}", "unset CUDA_VISIBLE_DEVICES")
    if not torch["cuda"]:
        return problem(f"there is one, but torch {torch['version']} is built without CUDA", f"{_CHOOSE}, {_OR_CPU}")
    if driver.facts is None:
        what = f"there is one, but its driver can't be loaded ({driver.fault})"
        return problem(what, f"install NVIDIA's driver; start a container with --gpus all; {_OR_CPU}")
    if int(torch["cuda"].partition(".")[0]) > driver.facts["version"] // 1000:
        newest = f"{driver.facts['version'] // 1000}.{driver.facts['version'] % 1000 // 10}"
        what = f"torch is built for CUDA {torch['cuda']}, but the driver knows CUDA {newest} at most"
        return problem(what, f"update NVIDIA's driver, or {_CHOOSE} (CUDA {newest} or older), {_OR_CPU}")
    why = facts["error"] or "; ".join(facts["said"]) or f"the driver says error {driver.facts['status']}"
    return problem(
        f"there is one, but torch can't use it: {why}", f"look at nvidia-smi, restart the machine, {_OR_CPU}"
    )


def _without_rocm(facts: Mapping[str, Any], node: bool) -> Verdict:
    if not node:
        return ok("there is none: trainings use the CPU")
    what = f"there is one of AMD, but torch can't use it: {facts['error'] or '; '.join(facts['said'])}"
    return problem(what, f"add yourself to the groups render and video, look at rocminfo, {_OR_CPU}")
