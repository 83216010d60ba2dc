"""Differences between two configs, leaf by leaf, and which keys only say where, or how, a run goes on.

Pure functions of plain containers: what `continue` refuses, what a fork takes over and what is reported follow from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

# Keys that say where a run goes on, not what it is; the first three also say where the run is found.
LOCATION_KEYS = ("proj", "out_dir", "data_dir")
WHERE_KEYS = (
    "trainer.devices",
    "trainer.accelerator",
    "trainer.checkpoint_minutes",
    "sampling.num_workers",
    "on_error",
    "retries",
    "retries_lost",
    "retry_pause",
)
WHERE_GROUPS = ("logging", "sys", "runner", "notify")
# Which record a run goes on with, or takes steps from.
RECORD_KEYS = ("continue", "fork")
# What a step depends on, whatever its command: the seed, and the class that has the command.
ALWAYS = ("seed", "mode.id", "mode.scheduler")
# In the keys of a step: not this one, although its group is among them.
EXCEPT = "~"
MISSING = object()
_LONGEST = 60


class Difference(NamedTuple):
    """A key whose value is not that of the run.

    Attributes:
        key: dotted key.
        has: value in the run.
        asked: value asked for.
    """

    key: str
    has: Any
    asked: Any


def is_where(key: str) -> bool:
    """Tell whether a key says where a run goes on, so that it may change."""
    return key in LOCATION_KEYS or key in WHERE_KEYS or key.partition(".")[0] in WHERE_GROUPS


def differences(has: Mapping[str, Any], asked: Mapping[str, Any]) -> list[Difference]:
    """Compare two configs, leaf by leaf; a list is a leaf, and a key that one of them lacks has `<nothing>`.

    Values of different types differ: 1 is one batch, 1.0 are all of them.
    """
    left, right = flatten(has), flatten(asked)
    found = (Difference(key, left.get(key, MISSING), right.get(key, MISSING)) for key in left | right)
    return [difference for difference in found if not _same(difference.has, difference.asked)]


def concerning(changes: Iterable[Difference], keys: Sequence[str] | None) -> list[Difference]:
    """Return the changes that a step depends on.

    Args:
        changes: of the config.
        keys: dotted keys and groups that the step depends on, those that begin with `~` left out; None for all keys but
            those that only say where or how a run goes on.
    """
    if keys is None:
        return [change for change in changes if _counts(change.key)]
    left_out = [key.removeprefix(EXCEPT) for key in keys if key.startswith(EXCEPT)]
    wanted = [*ALWAYS, *(key for key in keys if not key.startswith(EXCEPT))]
    found = [change for change in changes if _counts(change.key) and _is_below(change.key, wanted)]
    return [change for change in found if not _is_below(change.key, left_out)]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted key -> value for all leaves of a config; a list, and a mapping without keys, is a leaf."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value})
    return flat


def value_text(value: Any) -> str:
    """Return a value of a config as a user would type it, cut when it is long."""
    if value is MISSING:
        return "<nothing>"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _counts(key: str) -> bool:
    return not is_where(key) and key not in RECORD_KEYS


def _is_below(key: str, groups: Iterable[str]) -> bool:
    return any(f"{key}.".startswith(f"{group}.") for group in groups)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    not_a_number = one != one and other != other  # noqa: PLR0124 # true for NaN alone
    return type(one) is type(other) and (not_a_number or bool(one == other))
