"""Which code a run is carried out with: mml's own and that of every loaded plugin, as one line of text each.

The digest is of the contents of all source files, so it is right for an edited checkout, for a wheel and without git;
the commit is there for people. One digest takes about 5 ms, and one call of git as much.
"""

import hashlib
import importlib.util
import os
import platform
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mml.core.scripts.plugins import config_search_paths, loaded_plugins

OWN = "mml-core"
PYTHON = "Python"
_OWN_PACKAGES = ("mml", "mml_configs")
# What decides how a package works; documents and pictures don't.
_SOURCES = (
    ".py",
    ".pyx",
    ".so",
    ".pyd",
    ".c",
    ".cpp",
    ".cu",
    ".yaml",
    ".yml",
    ".json",
    ".toml",
    ".ini",
    ".cfg",
    ".csv",
)
_UNREADABLE = b"unreadable"
_PATIENCE = 5.0  # seconds that git may take, e.g. on a network file system
_SHOWN_DIGITS = 12
# Of git's report: the commit, and what begins the line of a file that was changed, renamed, merged or added.
_HEAD, _CHANGES = "# branch.oid ", ("1 ", "2 ", "u ", "? ")
_COMMIT = re.compile(r", commit [0-9a-f]+( with changes)?")


@cache
def code_versions() -> dict[str, str]:
    """Return distribution -> its code, for mml and every loaded plugin; as of the first call of this process.

    `Python` is among them.
    """
    places = {OWN: [place for package in _OWN_PACKAGES for place in package_places(package)]}
    versions = {OWN: _version(OWN)}
    folders = config_search_paths()
    for plugin, module in loaded_plugins():
        found = places.setdefault(plugin.distribution, [])
        versions.setdefault(plugin.distribution, plugin.version)
        modules = [module, *(folder.path for folder in folders if folder.provider == plugin.name)]
        found += [place for module in modules for place in _places(module) if place not in found]
    described = {name: describe_code(versions[name], found) for name, found in places.items()}
    return {PYTHON: platform.python_version(), **described}


def describe_code(version_text: str, places: Iterable[Path]) -> str:
    """Return the text for code: version, the commit where git has one, and a digest of the files.

    Args:
        version_text: of the distribution.
        places: folders and files of its source code.
    """
    places = sorted(places)
    commit = _commit(places) if places else ""
    return f"{version_text}{commit}, files {source_digest(places)}"


def same_code(then: str, now: str) -> bool:
    """Tell whether two texts describe the same code, at whatever commit it was found."""
    return _COMMIT.sub("", then) == _COMMIT.sub("", now)


def source_digest(places: Iterable[Path]) -> str:
    """Return a digest of names and contents of all source files; of one that can't be read it knows the name."""
    digest = hashlib.blake2b(digest_size=_SHOWN_DIGITS // 2)
    for name, path in _source_files(places):
        try:
            with open(path, "rb") as file:  # noqa: PTH123 # a Path per file is slow
                content = file.read()
        except OSError:
            content = _UNREADABLE
        digest.update(f"{name}\0{len(content)}\0".encode(errors="backslashreplace"))
        digest.update(content)
    return digest.hexdigest()


def package_places(module: str) -> list[Path]:
    """Return where the outermost package of a module lies that is no namespace; none if nothing is found."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:end]))
        except (ImportError, ValueError):
            return []
        if spec is None:
            return []
        if spec.origin is not None:
            folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
            return folders or [Path(spec.origin)]
    return []


def _places(text: str) -> list[Path]:
    """Return where a module, or a config folder as `pkg://...` or `file://...`, lies."""
    if text.startswith("file://"):
        return [Path(text.removeprefix("file://"))]
    return package_places(text.removeprefix("pkg://").replace("/", ".").strip("."))


def _source_files(places: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield the name (relative to its place) and the path of each source file, in an order that is always the same."""
    for place in places:
        if place.is_file():
            yield place.name, str(place)
            continue
        for root, folders, files in os.walk(place):
            folders[:] = sorted(name for name in folders if name != "__pycache__" and name[0] != ".")
            below = root[len(str(place)) :]
            yield from ((f"{place.name}{below}/{name}", f"{root}/{name}") for name in sorted(files) if _is_source(name))


def _is_source(name: str) -> bool:
    return name.endswith(_SOURCES) and name[0] != "."


def _commit(places: Sequence[Path]) -> str:
    """Return the commit that code was checked out at, and whether it was changed; empty when git does not know it."""
    if any({"site-packages", "dist-packages"} & {*place.parts} for place in places):
        return ""
    resolved = [place.resolve() for place in places]
    root = next((folder for folder in (resolved[0], *resolved[0].parents) if (folder / ".git").exists()), None)
    if root is None:
        return ""
    lines = _git_status(root, [place.relative_to(root).as_posix() for place in resolved if place.is_relative_to(root)])
    return "" if _is_ignored(resolved[0], root, lines) else _commit_text(lines)


def _commit_text(lines: Sequence[str]) -> str:
    """Return what there is to say of the commit, told by `git status --porcelain=v2 --branch`."""
    heads = [line.removeprefix(_HEAD) for line in lines if line.startswith(_HEAD)]
    if not heads or not re.fullmatch("[0-9a-f]{40,64}", heads[0]):
        return ""
    changed = " with changes" if any(line.startswith(_CHANGES) for line in lines) else ""
    return f", commit {heads[0][:_SHOWN_DIGITS]}{changed}"


def _is_ignored(place: Path, root: Path, lines: Iterable[str]) -> bool:
    """Tell whether git ignores code, e.g. that of an environment inside a checkout: it is none of the repository's."""
    ignored = {root / line[2:].rstrip("/") for line in lines if line.startswith("! ")}
    return not ignored.isdisjoint((place, *place.parents))


def _git_status(root: Path, names: list[str]) -> list[str]:
    """Return what git says of folders and files of a repository, nothing when it can't."""
    import subprocess  # costs as much as the call

    # Whatever the user's settings are, nothing is written and nothing is left out.
    words = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-C", str(root)]
    words += ["status", "--porcelain=v2", "--branch", "--ignored", "--untracked-files=normal", "--", *names]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(words, capture_output=True, env=environment, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    return os.fsdecode(done.stdout).splitlines() if done.returncode == 0 else []


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown version"
