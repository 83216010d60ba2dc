"""A script of its own, run in a child process: imports what may crash, and writes down each stage as JSON line.

It knows nothing of mml, so that it starts wherever Python does.
"""

import contextlib
import ctypes
import importlib
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBRARIES = ("torchmetrics", "timm", "safetensors.torch", "sklearn", "optuna")


def torch_facts() -> dict[str, Any]:
    """Import torch and let it compute."""
    import torch

    torch.ones(2).add(1).numpy()  # fails where torch was built for another numpy
    return {
        "version": torch.__version__,
        "cuda": getattr(torch.version, "cuda", None),
        "hip": getattr(torch.version, "hip", None),
        "threads": torch.get_num_threads(),
    }


def torchvision_facts() -> dict[str, Any]:
    """Import torchvision and call one of its own operators."""
    import torch
    import torchvision

    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    return {"version": torchvision.__version__}


def lightning_facts() -> dict[str, Any]:
    """Import lightning."""
    return {"version": importlib.import_module("lightning").__version__}


def libraries_facts() -> dict[str, Any]:
    """Import the other heavy libraries; return what is wrong with each that can't be."""
    faults = {}
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - any error of a library is a finding
            faults[name] = _text(error)
    return {"faults": faults}


def driver_facts() -> dict[str, Any]:
    """Ask NVIDIA's driver itself: the newest CUDA that it runs, e.g. 12040 for 12.4, and how many devices it has."""
    cuda = ctypes.CDLL("libcuda.so.1")
    number = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(number))
    version = number.value
    status = cuda.cuInit(0)
    cuda.cuDeviceGetCount(ctypes.byref(number))
    return {"version": version, "status": status, "devices": 0 if status else number.value}


def gpu_facts() -> dict[str, Any]:
    """Let torch find GPUs and compute on the first one."""
    torch: Any = importlib.import_module("torch")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        facts: dict[str, Any] = {"available": torch.cuda.is_available(), "names": [], "error": "", "mps": _mps(torch)}
    facts["said"] = [str(warning.message).splitlines()[0] for warning in said]
    try:
        if facts["available"]:
            facts["names"] = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
            facts["free"], facts["total"] = torch.cuda.mem_get_info()
            torch.ones(8, 8, device="cuda").mm(torch.ones(8, 8, device="cuda")).cpu()
        else:
            torch.cuda.init()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is why the GPU can't be used
        facts["error"] = _text(error)
    return facts


def _mps(torch: Any) -> bool:
    with contextlib.suppress(AttributeError):
        return bool(torch.backends.mps.is_available())
    return False


STAGES: dict[str, Callable[[], dict[str, Any]]] = {
    "torch": torch_facts,
    "torchvision": torchvision_facts,
    "lightning": lightning_facts,
    "libraries": libraries_facts,
    "driver": driver_facts,
    "gpu": gpu_facts,
}


def _text(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def main(report: Path, stages: list[str]) -> None:
    """Carry out stages; each gets a line when it begins and one when it ends.

    Args:
        report: file that the lines are appended to.
        stages: names of `STAGES`.
    """
    with report.open("a", encoding="utf-8") as file:

        def say(**facts: Any) -> None:
            file.write(json.dumps(facts) + "\n")
            file.flush()

        for stage in stages:
            say(stage=stage)
            try:
                say(stage=stage, facts=STAGES[stage]())
            except BaseException as error:  # noqa: BLE001 - any error of a library is a finding
                say(stage=stage, error=_text(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
