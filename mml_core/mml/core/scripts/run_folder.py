"""Run folders: made exclusively, so that two runs never share one, and holding all that a run needs to go on."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.exceptions import ContinueError, MMLMisconfigurationException
from mml.core.scripts.redaction import redact_config, redacted
from mml.core.scripts.run_files import CONFIG_FILE as CONFIG_FILE
from mml.core.scripts.run_files import ERRORS_FOLDER as ERRORS_FOLDER
from mml.core.scripts.run_files import LOG_FILE as LOG_FILE
from mml.core.scripts.run_files import OVERRIDES_FILE as OVERRIDES_FILE
from mml.core.scripts.run_files import RUNS_FOLDER as RUNS_FOLDER
from mml.core.scripts.utils import atomic_write, fsync_folder, make_folder


def make_run_folder(proj_path: Path, mode: str) -> Path:
    """Create the folder of a new run, named by time and mode, and return it.

    `mkdir` is exclusive, so of two runs that start in the same second each gets a folder of its own.

    Raises:
        MMLMisconfigurationException: no folder can be made there.
    """
    runs = proj_path / RUNS_FOLDER
    stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{mode}"
    try:
        make_folder(runs)
        return _first_new(runs / (stamp if number == 1 else f"{stamp}_{number}") for number in count(1))
    except OSError as error:
        msg = (
            f"Results can't be written to {runs}: {error.strerror}. Choose another folder with out_dir=<folder> or the "
            "variable MML_RESULTS_PATH."
        )
        raise MMLMisconfigurationException(msg) from error


def _first_new(folders: Iterator[Path]) -> Path:
    """Make the first of the folders that does not exist yet, and return it."""
    while True:
        folder = next(folders)
        with suppress(FileExistsError):
            folder.mkdir()
            fsync_folder(folder.parent)
            return folder


def find_run_folder(proj_path: Path, name: str) -> Path:
    """Return the folder of an existing run.

    Raises:
        ContinueError: there is none of this name.
    """
    folder = proj_path / RUNS_FOLDER / name
    if "/" in name or name.startswith(".") or not folder.is_dir():
        msg = f"There is no run '{name}' in {proj_path / RUNS_FOLDER}."
        raise ContinueError(msg)
    return folder


def store_config(folder: Path, cfg: DictConfig, overrides: list[str]) -> None:
    """Write the overrides that a run was started with and, last, its config, resolved: what `continue` needs.

    Of what may hold secrets, only references to variables are written.
    """
    with atomic_write(folder / OVERRIDES_FILE, "w") as file:
        file.write(OmegaConf.to_yaml(OmegaConf.create(redacted(overrides))))
    plain = plain_config(cfg)
    redact_config(cfg, plain)
    with atomic_write(folder / CONFIG_FILE, "w") as file:
        file.write(OmegaConf.to_yaml(plain))


def read_stored(folder: Path) -> DictConfig:
    """Return the config that a run was started with.

    Raises:
        ContinueError: it is missing or damaged.
    """
    stored = _read_yaml(folder / CONFIG_FILE)
    if not isinstance(stored, dict):
        msg = f"{folder / CONFIG_FILE} holds no config. The run can't be continued; start a new one."
        raise ContinueError(msg)
    return OmegaConf.create(stored)


def read_overrides(folder: Path) -> list[str]:
    """Return the overrides that a run was started with.

    Raises:
        ContinueError: they are missing or damaged.
    """
    overrides = _read_yaml(folder / OVERRIDES_FILE)
    if not isinstance(overrides, list):
        msg = f"{folder / OVERRIDES_FILE} holds no list of overrides; continue the run without overrides."
        raise ContinueError(msg)
    return [str(override) for override in overrides]


def _read_yaml(path: Path) -> Any:
    try:
        # The loader in C, where there is one, is ten times as fast.
        return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{path} can't be read: {error}. The run can't be continued with it; start a new one."
        raise ContinueError(msg) from error


def plain_config(cfg: DictConfig) -> Any:
    """Return a config as plain, resolved containers."""
    return OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
