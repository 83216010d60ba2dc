"""The choices of a user who creates a task: the keys of `mode` in the config, checked once."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from mml.core.data_loading.task_attributes import Keyword, License
from mml.core.data_preparation.sources.detect import SourceFormat
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.machine import step_cores
from mml.core.scripts.utils import as_list

Choice = TypeVar("Choice", bound=StrEnum)

FEWEST_FOLDS = 2


class CopyMode(StrEnum):
    """How the images of a source get into the task's folder."""

    COPY = "copy"
    HARDLINK = "hardlink"
    REFERENCE = "reference"


class CreateOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a task is made of a source.

    Attributes:
        format: form of the source, None to find out.
        copy: how images get into the task's folder.
        folds: number of folds of the training samples.
        test_fraction: share of the samples kept apart when the source has no test split; 0 for none.
        seed: of folds and test split.
        skip_unreadable: whether images that can't be decoded are left out instead of refused.
        overwrite: whether an existing task of the name is replaced.
        workers: number of threads that decode and write images.
        header: fields of the description that the user sets, e.g. `{"license": License.MIT}`.
    """

    format: SourceFormat | None = None
    copy: CopyMode = CopyMode.COPY
    folds: int = 5
    test_fraction: float = 0.2
    seed: int = 42
    skip_unreadable: bool = False
    overwrite: bool = False
    workers: int = 2
    header: dict[str, Any] = {}


def options_from_config(mode: Mapping[str, Any], seed: int, workers: int | None) -> CreateOptions:
    """Return the options that the keys of `mode` stand for.

    Args:
        mode: keys and values as the user gave them.
        seed: of folds and test split.
        workers: number of threads; None for one per core that this process may use.

    Raises:
        UnknownNameError: a value that is not among the choices; names the nearest ones.
        MMLMisconfigurationException: a number that makes no sense, or text where a number belongs.
    """
    form = mode.get("format")
    return CreateOptions(
        format=None if form is None else _choice("format", form, SourceFormat),
        copy=_choice("copy", mode.get("copy", CopyMode.COPY), CopyMode),
        folds=_whole_number("folds", mode.get("folds", 5), FEWEST_FOLDS),
        test_fraction=_fraction("test_fraction", mode.get("test_fraction", 0.2)),
        seed=seed,
        skip_unreadable=_switch("skip_unreadable", mode.get("skip_unreadable", False)),
        overwrite=_switch("overwrite", mode.get("overwrite", False)),
        workers=step_cores() if workers is None else max(1, workers),
        header=_header(mode),
    )


def _header(mode: Mapping[str, Any]) -> dict[str, Any]:
    header: dict[str, Any] = {
        key: str(mode[key]) for key in ("description", "reference", "url", "release") if mode.get(key) is not None
    }
    if mode.get("license") is not None:
        header["license"] = _choice("license", mode["license"], License)
    if keywords := as_list(mode.get("keywords")):
        header["keywords"] = [_choice("keywords", keyword, Keyword) for keyword in keywords]
    return header


def _choice(key: str, value: Any, choices: type[Choice]) -> Choice:
    known = {choice.value.casefold(): choice for choice in choices}
    found = known.get(str(value).casefold())
    if found is None:
        names = [choice.value for choice in choices]
        raise UnknownNameError(str(value), kind=f"value of mode.{key}", known=names)
    return found


def _whole_number(key: str, value: Any, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    msg = f"mode.{key}={value} can't be: it has to be a whole number of at least {least}."
    raise MMLMisconfigurationException(msg)


def _fraction(key: str, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1:
        return float(value)
    msg = f"mode.{key}={value} can't be: it has to be a number from 0 (none) to below 1, e.g. 0.2."
    raise MMLMisconfigurationException(msg)


def _switch(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    msg = f"mode.{key}={value} can't be: it is either true or false."
    raise MMLMisconfigurationException(msg)
