"""What a run did and left, so written down that runs of the same plan by different runners can be compared.

Files that are numbered get their number from who asks first. So they are called by the step that made them.
"""

import re
from collections.abc import Iterable
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mml.core.data_loading.claims import CLAIMS_FOLDER
from mml.core.data_loading.task_struct import StructState
from mml.core.scripts.drift_structs import applied, initial_states, nothing
from mml.core.scripts.journal import JOURNAL_FILE, AnyEvent, Done, RunRecord, read_events
from mml.core.scripts.run_folder import RUNS_FOLDER

# Fields of records that hold a time.
TIMES = ("created", "training_time")
_TIME = re.compile(rb'("(?:%s)": ?)("[^"]*"|[-+0-9.eE]+)' % "|".join(TIMES).encode())
# Curves have a file per process, named and stamped by it.
_CURVES = "events.out.tfevents"


class RunOutcome(NamedTuple):
    """What a run did and left.

    Attributes:
        finished: whether nothing is left to do.
        value: the return value.
        plan: the steps, those added while running included; keys, as the order of these is that of the runner.
        done: step (its command and params) -> what it changed.
        failed: steps that were given up -> the error.
        skipped: steps that were not tried.
        structs: what the steps together made of task structs.
        files: of the project, outside of run folders: name -> content.
    """

    finished: bool
    value: Any
    plan: list[str]
    done: dict[str, Any]
    failed: dict[str, str]
    skipped: list[str]
    structs: Any
    files: dict[str, bytes]

    def differences(self, other: "RunOutcome") -> list[str]:
        """Return a line for everything that is not as in another outcome."""
        lines = []
        for field in ("finished", "value", "plan", "skipped", "structs"):
            mine, theirs = getattr(self, field), getattr(other, field)
            lines += [f"{field}: {_parted(mine, theirs)}"] if mine != theirs else []
        for field in ("done", "failed", "files"):
            mine, theirs = getattr(self, field), getattr(other, field)
            lines += [
                f"{field} {name}: {_parted(mine.get(name), theirs.get(name))}"
                for name in sorted(mine.keys() | theirs.keys())
                if mine.get(name) != theirs.get(name)
            ]
        return lines


def events_of(folder: Path) -> list[AnyEvent]:
    """Return what the journal of a run folder holds."""
    return read_events(folder / JOURNAL_FILE)[0]


def repeated_steps(events: Iterable[AnyEvent]) -> list[int]:
    """Return the positions of steps that are recorded as done more than once."""
    positions = [event.step for event in events if isinstance(event, Done)]
    return sorted({position for position in positions if positions.count(position) > 1})


def outcome_of(folder: Path) -> RunOutcome:
    """Return what a run did and left, which has to be the only one of its project."""
    record = RunRecord(events_of(folder))
    plan = record.plan or []
    names = _names(record)
    texts = [str(step) for step in plan]
    states = dict(initial_states(record.initial))
    done = {texts[position]: _change(event, states, names) for position, event in record.done.items()}
    files = {text: sorted(names[event.path] for event in record.announced.get(at, ())) for at, text in enumerate(texts)}
    for text in done:
        done[text]["files"] = files[text]
    return RunOutcome(
        finished=record.finished,
        value=record.value,
        plan=sorted(texts),
        done=done,
        failed={texts[at]: event.error for at, event in record.failed.items() if at not in record.done},
        skipped=sorted(texts[at] for at in record.skipped),
        structs=_plain({task: [state.paths, state.models] for task, state in states.items()}, names),
        files=_files(folder.parents[1], names),
    )


def _names(record: RunRecord) -> dict[str, str]:
    """Return path, as records hold it -> name that tells which step made it, as which of its files of this kind."""
    names: dict[str, str] = {}
    plan = record.plan or []
    for maker, events in record.announced.items():
        by = f"{plan[maker].command} {plan[maker].key}" if isinstance(maker, int) else maker
        counted: dict[str, int] = {}
        for path, kind in dict.fromkeys((event.path, event.key) for event in events):
            counted[kind] = counted.get(kind, 0) + 1
            names.setdefault(path, f"<{kind} {counted[kind]} of {by}>")
    return names


def _change(event: Done, states: dict[str, StructState], names: dict[str, str]) -> dict[str, Any]:
    """Return what a step changed, whoever was done before it; `states` become those after it."""
    tasks = {}
    for task, struct in event.tasks.items():
        before, after = states.get(task, nothing()), applied(states.get(task, nothing()), struct)
        states[task] = after
        tasks[task] = {
            "paths": {key: path for key, path in after.paths.items() if before.paths.get(key) != path},
            "no paths": sorted(before.paths.keys() - after.paths.keys()),
            "models": [model for model in after.models if model not in before.models],
            "no models": len([model for model in before.models if model not in after.models]),
        }
    change = {
        "tasks": tasks,
        "value": None if event.value is msgspec.UNSET else event.value,
        "grown": [str(step) for step in event.grown],
    }
    plain: dict[str, Any] = _plain(change, names)
    return plain


def _plain(value: Any, names: dict[str, str]) -> Any:
    """Return a value with the names of files."""
    return msgspec.json.decode(_made_equal(msgspec.json.encode(value, order="deterministic"), names))


def _files(project: Path, names: dict[str, str]) -> dict[str, bytes]:
    """Return the files of a project; those that are announced under the name of their maker."""
    found = {}
    for path in sorted(project.rglob("*")):
        inside = path.relative_to(project)
        if path.is_file() and inside.parts[0] != RUNS_FOLDER and CLAIMS_FOLDER not in inside.parts:
            text = path.relative_to(project.parent).as_posix()
            name = f"{inside.parent}/{_CURVES}" if path.name.startswith(_CURVES) else names.get(text, str(inside))
            found[name] = b"" if path.name.startswith(_CURVES) else _made_equal(path.read_bytes(), names)
    return found


def _made_equal(data: bytes, names: dict[str, str]) -> bytes:
    for path in sorted(names, key=len, reverse=True):
        data = data.replace(path.encode(), names[path].encode())
    return _TIME.sub(rb'\1"<time>"', data)


def _parted(mine: Any, theirs: Any) -> str:
    """Return what is here and there, from a little before the place where they part."""
    texts = [_text(mine), _text(theirs)]
    start = max(0, len(commonprefix(texts)) - 40)
    here, there = (f"{'...' if start else ''}{text[start : start + 300]}" for text in texts)
    return f"{here}, not {there}"


def _text(content: Any) -> str:
    if content is None:
        return "missing"
    return content.decode(errors="backslashreplace") if isinstance(content, bytes) else repr(content)
