"""Are the installed distributions those that mml and its libraries ask for? Reads metadata only, imports nothing."""

import platform
import shlex
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from mml.doctor.verdicts import Settings, Verdict, ok, problem, warning

if TYPE_CHECKING:  # imported where it is used: that it is missing has to be a finding
    from packaging.requirements import Requirement

DISTRIBUTION = "mml-core"
MALWARE = {"lightning": ("2.6.2", "2.6.3"), "pytorch-lightning": ("2.6.2", "2.6.3")}
# Distributions that the extras of mml bring, and what each is for.
OPTIONAL = {
    "tensorboard": "curves for TensorBoard",
    "apprise": "messages at start, end and failure",
    "ray": "steps on a Ray cluster",
    "submitit": "steps on a Slurm cluster",
}
# Libraries whose own demands on one another are worth a look, because pip lets them drift apart.
_PAIRS = ("torchvision", "torchmetrics", "lightning", "timm", "hydra-core", "scikit-learn")


def pip_install(*requirements: str) -> str:
    """Return the command that installs requirements into the environment that mml runs in."""
    return pip("install", *requirements)


def pip(*words: str) -> str:
    """Return a command of the pip that belongs to the environment that mml runs in."""
    return shlex.join([python_name(), "-m", "pip", *words])


def python_name() -> str:
    """Return what to type for the interpreter that mml runs in: its path, or `python` where that is the same."""
    found = shutil.which("python")
    return "python" if found and Path(found) == Path(sys.executable) else sys.executable


def check_python(_: Settings) -> Verdict:
    """Check the version of Python against what mml's metadata asks for."""
    from packaging.specifiers import SpecifierSet

    here = f"Python {platform.python_version()} ({sys.executable})"
    try:
        wanted = str(metadata.metadata(DISTRIBUTION).json.get("requires_python", ""))
    except metadata.PackageNotFoundError:
        wanted = ""
    if wanted and not SpecifierSet(wanted).contains(platform.python_version(), prereleases=True):
        return problem(
            f"{here} is outside of {wanted}", f"make an environment with a Python {wanted} and install mml in it"
        )
    return ok(here)


def check_requirements(_: Settings) -> Verdict:
    """Check every requirement of mml against what is installed."""
    try:
        wanted = list(_requirements(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        fix = f"{pip_install('.')} in the folder of the checkout"
        return warning(f"{DISTRIBUTION} runs without being installed, so its requirements are unknown", fix)
    faults = [(item, fault) for item in wanted if (fault := _fault(item))]
    if not faults:
        return ok(f"all {len(wanted)} requirements are met")
    what = "; ".join(f"{item.name} {fault}" for item, fault in faults)
    return problem(what, pip_install(*(f"{item.name}{item.specifier}" for item, _ in faults)))


def check_malware(_: Settings) -> Verdict:
    """Check for the releases of lightning that stole credentials, and for those with known holes."""
    for name, bad in MALWARE.items():
        if (found := _version(name)) in bad:
            fix = (
                f"{shlex.join([sys.executable, '-m', 'pip', 'uninstall', '--yes', name])}; then "
                f"{pip_install('lightning>=2.6.6')}; then renew every password and token that this machine has seen"
            )
            return problem(f"{name} {found} is malware, withdrawn from the registry", fix)
    found = _version("lightning")
    if found is None:
        return problem("lightning is not installed", pip_install("lightning>=2.6.6"))
    from packaging.version import Version

    if Version(found) < Version("2.6.6"):
        what = f"lightning {found} runs code that is hidden in a checkpoint; 2.6.6 does not"
        return problem(what, pip_install("lightning>=2.6.6"))
    return ok(f"lightning {found}")


def check_pairs(_: Settings) -> Verdict:
    """Check what the large libraries ask of one another."""
    faults = [
        (name, item, fault)
        for name in _PAIRS
        if _version(name) is not None
        for item in _requirements(name)
        if (fault := _fault(item))
    ]
    mixed = _mixed_builds()
    if not faults and not mixed:
        return ok("the libraries fit one another")
    what = "; ".join([*(f"{name} wants {item}, but {item.name} {fault}" for name, item, fault in faults), *mixed])
    if mixed or any(item.name == "torch" for _, item, _ in faults):
        return problem(what, reinstall_torch())
    return problem(what, pip_install(*(f"{item.name}{item.specifier}" for _, item, _ in faults)))


def check_duplicates(_: Settings) -> Verdict:
    """Check for distributions that are installed twice in different versions; which one counts is chance."""
    versions: dict[str, set[str]] = defaultdict(set)
    for distribution in metadata.distributions():
        if name := distribution.metadata["Name"]:
            versions[name.lower().replace("_", "-")].add(distribution.version)
    twice = {name: found for name, found in sorted(versions.items()) if len(found) > 1}
    if not twice:
        return ok(f"{len(versions)} distributions, none of them twice")
    what = "; ".join(f"{name} is installed as {' and '.join(sorted(found))}" for name, found in twice.items())
    uninstall = pip("uninstall", "--yes", *twice)
    return warning(what, f"{uninstall} (once per version), then {pip_install(*twice)}")


def check_extras(_: Settings) -> Verdict:
    """Tell which optional distributions are installed; none is needed."""
    found = [f"{name} {version}" for name in OPTIONAL if (version := _version(name))]
    missing = [f"{name} ({what})" for name, what in OPTIONAL.items() if _version(name) is None]
    parts = [f"installed: {', '.join(found) or 'none'}"] + [f"not installed: {', '.join(missing)}"] * bool(missing)
    return ok("; ".join(parts))


def reinstall_torch() -> str:
    """Return the commands that install torch and torchvision from one place."""
    uninstall = pip("uninstall", "--yes", "torch", "torchvision")
    return f"install both from one place: {uninstall}; {pip_install('torch', 'torchvision')}"


def _requirements(distribution: str) -> Iterator["Requirement"]:
    """Yield what a distribution asks for in this environment, extras left out."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in metadata.requires(distribution) or ():
        try:
            item = Requirement(text)
        except InvalidRequirement:
            continue
        if item.marker is None or item.marker.evaluate({"extra": ""}):
            yield item


def _fault(item: "Requirement") -> str | None:
    """Return why a requirement is not met, None if it is."""
    found = _version(item.name)
    if found is None:
        return "is not installed"
    if item.specifier.contains(found, prereleases=True):
        return None
    return f"is {found}, not {item.specifier}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _mixed_builds() -> Sequence[str]:
    """Return what is wrong when torch and torchvision were built for different devices."""
    versions = {name: _version(name) for name in ("torch", "torchvision")}
    builds = {name: version.partition("+")[2] for name, version in versions.items() if version}
    # Without a label it is the registry's build, for CUDA on Linux; with one, e.g. +cpu, that of torch's own index.
    if len(builds) < 2 or ("cpu" in builds.values()) == (set(builds.values()) == {"cpu"}):
        return []
    return [f"torch {versions['torch']} and torchvision {versions['torchvision']} are builds for different devices"]
