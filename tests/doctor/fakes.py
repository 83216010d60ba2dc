"""Environments that are wrong on purpose: distributions of any version, and libraries that fail at import."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# What the CPU-only wheel of torch and a torchvision for another torch say at `import torchvision`.
NMS_ERROR = "operator torchvision::nms does not exist"


def fake_distribution(site: Path, name: str, version: str, *requires: str) -> Path:
    """Write the metadata of a distribution into a folder of `sys.path`, and return its folder."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {item}" for item in requires), ""]))
    return info


def fake_package(site: Path, name: str, code: str) -> None:
    """Write a package whose import runs `code`."""
    folder = site.joinpath(*name.split("."))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(code)


def fake_torch(site: Path, cuda: str | None = None) -> None:
    """Write a torch that computes nothing, but imports at once."""
    fake_package(
        site,
        "torch",
        f"""
from types import SimpleNamespace as Space
__version__ = "2.9.9"
version = Space(cuda={cuda!r}, hip=None)
class Numbers(list):
    def add(self, other): return self
    def numpy(self): return self
def ones(*shape, **options): return Numbers()
zeros = ones
def get_num_threads(): return 3
def init(): raise RuntimeError("no GPU today")
cuda = Space(is_available=lambda: False, init=init)
""",
    )


def python(code: str, site: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a process that finds the packages of `site` first."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def site_env(site: Path) -> Mapping[str, str]:
    """Return the environment in which a child finds the packages of `site` first."""
    return {"PYTHONPATH": str(site)}
