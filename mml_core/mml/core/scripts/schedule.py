"""Steps and schedules: what a run will do, as plain values that can be compared, recorded and resumed. No disk here."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from omegaconf import DictConfig, ListConfig, OmegaConf

from mml.core.scripts.exceptions import PlanError
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.utils import did_you_mean

PATH_MARK = "$path"
# Whole numbers beyond these are not read exactly, or at all, by every reader of JSON.
_LEAST, _MOST = -(2**63), 2**64 - 1


class StepRecord(msgspec.Struct, frozen=True, array_like=True):
    """The part of a step that is journaled: command name, params in portable form, and what it comes after.

    `after` holds positions of steps that this one needs; None: it needs the one before it. `name` is how others may
    call it, and `resources` are what the plan says that it needs.
    """

    command: str
    params: list[Any]
    after: list[int] | None = None
    name: str = ""
    resources: Resources = NOTHING

    @property
    def key(self) -> str:
        """Digest of command and params, 16 hexadecimal digits."""
        data = msgspec.json.encode([self.command, self.params], order="deterministic")
        return hashlib.blake2b(data, digest_size=8).hexdigest()

    def __str__(self) -> str:
        shown = ", ".join(repr(_without_marks(param)) for param in self.params)
        return f"{self.command}({shown})"


class Step(NamedTuple):
    """One atomic step of a schedule.

    Attributes:
        position: place in the schedule, from 0.
        record: command and params as the journal keeps them.
        params: the values that the command is called with.
        key: digest of command and params: equal steps have equal keys, wherever they stand.
    """

    position: int
    record: StepRecord
    params: list[Any]
    key: str

    def __str__(self) -> str:
        return f"step {self.position + 1}, {self.record}"

    @property
    def needs(self) -> list[int]:
        """Positions of the steps that have to be done before this one."""
        if self.record.after is not None:
            return self.record.after
        return [self.position - 1] if self.position else []


class StepDetails(NamedTuple):
    """What a plan says of a step besides command and params.

    Attributes:
        after: positions or names of the steps that it needs; None: it needs the one before it.
        name: how other steps may call it, "" for none.
        resources: what it needs of a machine.
    """

    after: list[int | str] | None = None
    name: str = ""
    resources: Resources = NOTHING


NO_DETAILS = StepDetails()


def make_step(
    position: int, command: str, params: Sequence[Any], roots: PathRoots, details: StepDetails | None = None
) -> Step:
    """Return the step of a command.

    Args:
        position: place in the schedule, from 0.
        command: name of the scheduler's method.
        params: JSON values (str, int, finite float, bool, None, lists, dicts with text keys) or paths;
            OmegaConf containers become plain ones.
        roots: what paths are recorded relative to.
        details: what else the plan says, with positions alone in `after`.

    Raises:
        PlanError: a param is anything else; names the step and the value.
    """
    if not isinstance(params, list | tuple | ListConfig):
        msg = f"Params of step {position + 1}, {command}, have to be a list with a value per argument, not {params!r}."
        raise PlanError(msg)
    try:
        plain = [_plain(param, f"param {i} of step {position + 1}, {command}") for i, param in enumerate(params)]
        after: Any
        after, name, resources = details or NO_DETAILS
        record = StepRecord(command, [_portable(param, roots) for param in plain], after, name, resources)
        return Step(position, record, plain, record.key)
    except (msgspec.MsgspecError, UnicodeEncodeError, OverflowError, RecursionError) as error:
        msg = f"Step {position + 1}, {command}, can't be journaled: {error}. {_PARAM_FIX}"
        raise PlanError(msg) from error


def checked_after(after: Iterable[int | str] | None, position: int, command: str) -> list[int | str] | None:
    """Return what a step comes after: positions, sorted, and names, each once.

    Args:
        after: positions of earlier steps, or names of any; None: the step before it.
        position: of the step itself, from 0.
        command: its name, for the message.

    Raises:
        PlanError: neither positions of earlier steps nor names.
    """
    if after is None:
        return None
    given: Any = after
    if not isinstance(given, str) and isinstance(given, Iterable):
        given = list(given)
    if isinstance(given, list) and all(_may_come_after(needed, position) for needed in given):
        positions = sorted({needed for needed in given if isinstance(needed, int)})
        return [*positions, *dict.fromkeys(needed for needed in given if isinstance(needed, str))]
    earlier = f"from 0 to {position - 1}" if position else "of which there are none yet"
    msg = (
        f"Step {position + 1}, {command}, can't come after {given!r}. Give a list of positions of earlier steps "
        f"({earlier}), as `add_step` returned them, or of names; () when it needs none."
    )
    raise PlanError(msg)


def _may_come_after(needed: Any, position: int) -> bool:
    return (type(needed) is int and 0 <= needed < position) or (isinstance(needed, str) and bool(needed))


def planned_details(details: Mapping[int, StepDetails], positions: range) -> dict[int, StepDetails]:
    """Return the details of steps, with positions instead of names in what they come after.

    Args:
        details: position -> details, of all steps that have some.
        positions: those wanted.

    Raises:
        PlanError: a name that no step has, or that two have.
    """
    wanted = {position: details[position] for position in positions if position in details} if details else {}
    if not any(found.name or _names_in(found) for found in wanted.values()):
        return wanted
    names: dict[str, int] = {}
    for position, found in details.items():
        if names.setdefault(found.name, position) != position and found.name:
            first, second = sorted((names[found.name] + 1, position + 1))
            msg = f"Two steps of the plan have the name '{found.name}': step {first} and step {second}. Rename one."
            raise PlanError(msg)
    names.pop("", None)
    return {position: _resolved(found, position, names) for position, found in wanted.items()}


def _names_in(details: StepDetails) -> list[str]:
    return [needed for needed in details.after or () if isinstance(needed, str)]


def _resolved(details: StepDetails, position: int, names: Mapping[str, int]) -> StepDetails:
    """Return the details of a step with positions instead of names.

    Raises:
        PlanError: no step has such a name.
    """
    asked = _names_in(details)
    if not asked:
        return details
    for needed in asked:
        if needed not in names:
            hint = did_you_mean(needed, names)
            msg = f"Step {position + 1} comes after '{needed}', but no step of the plan has this name. {hint}"
            raise PlanError(msg)
    after = details.after or ()
    return details._replace(after=sorted({names[needed] if isinstance(needed, str) else needed for needed in after}))


def refuse_cycles(steps: Sequence[Step]) -> None:
    """Make sure that every step can have its turn: no step needs, by way of others, itself.

    Raises:
        PlanError: names the steps of a cycle.
    """
    if all(needed < step.position for step in steps for needed in step.needs):
        return
    from graphlib import CycleError, TopologicalSorter  # wanted by few plans

    try:
        TopologicalSorter({step.position: step.needs for step in steps}).prepare()
    except CycleError as error:
        names = " needs ".join(str(steps[position]) for position in reversed(error.args[1]))
        msg = f"The plan can't be carried out, as steps wait for one another: {names}. Take one of these needs away."
        raise PlanError(msg) from None


def restore_step(position: int, record: StepRecord, roots: PathRoots) -> Step:
    """Return the step that a record was made of.

    Raises:
        PlanError: no step that could be recorded.
    """
    try:
        return Step(position, record, [_restored(param, roots) for param in record.params], record.key)
    except ValueError as error:
        msg = f"Step {position + 1} of the recorded plan, {record.command}, can't be restored: {error}."
        raise PlanError(msg) from error


def check_same_plan(recorded: Sequence[StepRecord], planned: Sequence[StepRecord]) -> None:
    """Make sure that a plan is the one a run was started with: the same steps in the same order.

    What a step comes after is no part of it: it decides what can be done without a step that failed, not what is done.

    Raises:
        PlanError: names the first difference.
    """
    for position, (old, new) in enumerate(zip(recorded, planned, strict=False)):
        if old.key != new.key:
            msg = (
                f"The plan is not the one that this run was started with: step {position + 1} was {old}, now it is "
                f"{new}. Continue with the code and the config of the start, or start a new run."
            )
            raise PlanError(msg)
    if len(recorded) != len(planned):
        msg = (
            f"The plan is not the one that this run was started with: it had {len(recorded)} steps, now it has "
            f"{len(planned)}. Continue with the code and the config of the start, or start a new run."
        )
        raise PlanError(msg)


def remaining(steps: Iterable[Step], done: Iterable[int]) -> list[Step]:
    """Return the steps whose position is not among the `done` ones, in order."""
    finished = frozenset(done)
    return [step for step in steps if step.position not in finished]


def step_seed(seed: int, key: str) -> int:
    """Return the seed of a step, 32 bits, from the run's seed and the step's key alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=4).digest(), "big")


_PARAM_FIX = (
    "Params have to be JSON values (text, numbers of at most 64 bits, booleans, None, lists, dicts with text keys) or "
    "paths."
)


def _plain(value: Any, where: str) -> Any:
    """Return the JSON value (or path) behind a param, or refuse it."""
    match value:
        case list():
            return [_plain(item, where) for item in value]
        case dict() if value.keys() != {PATH_MARK} and all(isinstance(key, str) for key in value):
            return {str.__str__(key): _plain(item, where) for key, item in value.items()}
        case ListConfig() | DictConfig():
            return _plain(OmegaConf.to_container(value, resolve=True), where)
    return _plain_scalar(value, where)


def _plain_scalar(value: Any, where: str) -> Any:
    match value:
        case None | bool() | Path():
            return value
        case int() if _LEAST <= value <= _MOST:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case str():
            return str.__str__(value)
    msg = f"Value {value!r} of type {type(value).__name__}, {where}, can't be journaled. {_PARAM_FIX}"
    raise PlanError(msg)


def _portable(value: Any, roots: PathRoots) -> Any:
    if isinstance(value, Path):
        return {PATH_MARK: roots.to_text(value)}
    if isinstance(value, list):
        return [_portable(item, roots) for item in value]
    if isinstance(value, dict):
        return {key: _portable(item, roots) for key, item in value.items()}
    return value


def _restored(value: Any, roots: PathRoots) -> Any:
    if isinstance(value, list):
        return [_restored(item, roots) for item in value]
    if isinstance(value, dict):
        if value.keys() == {PATH_MARK}:
            return roots.to_path(value[PATH_MARK])
        return {key: _restored(item, roots) for key, item in value.items()}
    return value


def _without_marks(value: Any) -> Any:
    return value[PATH_MARK] if isinstance(value, dict) and value.keys() == {PATH_MARK} else value
