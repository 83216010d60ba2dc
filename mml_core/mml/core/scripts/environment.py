"""Where data and results live, decided with nothing set up before, and who decided it.

For each folder the first of these counts: the override on the command line, the environment variable, an `mml.env` file
(in the current folder, its parents, then the user's configuration folder), the default.
"""

import difflib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from mml.core.scripts.exceptions import MMLMisconfigurationException

DATA_VARIABLE = "MML_DATA_PATH"
RESULTS_VARIABLE = "MML_RESULTS_PATH"
ENV_FILE = "mml.env"
_PREFIX = "MML_"
_LINE = re.compile(r"(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")
_QUOTED = re.compile(r"""(?P<quote>["'])(?P<text>.*?)(?P=quote)\s*(?:#.*)?""")


class Location(NamedTuple):
    """A folder and who decided on it.

    Attributes:
        path: absolute path; the folder need not exist.
        source: e.g. `"MML_DATA_PATH"`, `"/home/me/mml.env"` or `"default"`.
    """

    path: Path
    source: str


def data_location() -> Location:
    """Return the folder of the data, by default the user's data folder for mml.

    Raises:
        MMLMisconfigurationException: an `mml.env` file can't be read.
    """
    return _configured(DATA_VARIABLE) or Location(_default_data(), "default")


def results_location() -> Location:
    """Return the folder of the results, by default `results` in the current folder.

    Raises:
        MMLMisconfigurationException: an `mml.env` file can't be read, or the current folder is gone.
    """
    return _configured(RESULTS_VARIABLE) or Location(current_folder() / "results", "default")


def absolute_path(text: str | Path, base: Path | None = None) -> Path:
    """Return a path with `~` expanded, relative to `base` (by default the current folder).

    Raises:
        MMLMisconfigurationException: it starts with the home of a user who has none.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        msg = f"'{text}' can't be a path: {error} Write the path out."
        raise MMLMisconfigurationException(msg) from error
    return Path(os.path.normpath(path if path.is_absolute() else (base or current_folder()) / path))


@cache
def sweep_stamp() -> str:
    """Return the name of this process's sweep: its time, and a part that no other process has."""
    import secrets  # takes longer to load than a list of runs has time for

    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(3)}"


def current_folder() -> Path:
    """Return the current folder.

    Raises:
        MMLMisconfigurationException: it was removed.
    """
    try:
        return Path.cwd()
    except OSError as error:
        msg = "The current folder does not exist any more: change into another one and try again."
        raise MMLMisconfigurationException(msg) from error


def env_files() -> Iterator[Path]:
    """Yield the `mml.env` files that count, the most important first."""
    here = current_folder()
    for folder in (here, *here.parents):
        if (path := folder / ENV_FILE).is_file():
            yield path
    import platformdirs

    if (path := platformdirs.user_config_path("mml") / ENV_FILE).is_file():
        yield path


def load_env() -> None:
    """Make environment variables of what the `mml.env` files say, for plugins and libraries.

    Variables that are set already stay; the two folders are left to `data_location` and `results_location`.

    Raises:
        MMLMisconfigurationException: an `mml.env` file can't be read.
    """
    for path in env_files():
        for key, value in read_env_file(path).items():
            if key not in (DATA_VARIABLE, RESULTS_VARIABLE):
                os.environ.setdefault(key, value)


def read_env_file(path: Path) -> dict[str, str]:
    """Read a file of lines `KEY=VALUE`; `export`, quotes, empty lines and comments are understood.

    Raises:
        MMLMisconfigurationException: names the file, the line and what is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} can't be read: {error}. Mend or remove the file."
        raise MMLMisconfigurationException(msg) from error
    settings = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if (line := line.strip()) and not line.startswith("#"):
            key, value = _read_line(line, f"{path}, line {number}")
            settings[key] = value
    return settings


def _read_line(line: str, place: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line)
    if not match:
        msg = f"{place}: '{line}' is not of the form KEY=VALUE, e.g. {DATA_VARIABLE}=~/data."
        raise MMLMisconfigurationException(msg)
    _check_key(match["key"], place)
    return match["key"], _read_value(match["value"], place)


def _check_key(key: str, place: str) -> None:
    if not key.startswith(_PREFIX):
        msg = f"{place}: '{key}' is no setting of mml; the names of settings start with {_PREFIX}."
        raise MMLMisconfigurationException(msg)
    paths = (DATA_VARIABLE, RESULTS_VARIABLE)
    if key not in paths and (near := difflib.get_close_matches(key, paths, n=1, cutoff=0.85)):
        msg = f"{place}: unknown setting '{key}'. Did you mean '{near[0]}'?"
        raise MMLMisconfigurationException(msg)


def _read_value(text: str, place: str) -> str:
    if text[:1] in ("'", '"'):
        if not (match := _QUOTED.fullmatch(text)):
            msg = f"{place}: the quoted value {text} does not end with its quote."
            raise MMLMisconfigurationException(msg)
        return match["text"]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def _configured(variable: str) -> Location | None:
    """Return what a variable says, in the environment or in a file; an empty value says nothing."""
    if value := os.environ.get(variable):
        return Location(absolute_path(value), variable)
    for path in env_files():
        if value := read_env_file(path).get(variable):
            return Location(absolute_path(value, base=path.parent), str(path))
    return None


def _default_data() -> Path:
    import platformdirs

    return platformdirs.user_data_path("mml")
