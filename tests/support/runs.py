"""Run folders written by hand, for tests that need many, or some in a certain state, at once."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from mml.core.data_loading.claims import claim
from mml.core.scripts.journal import (
    AnyEvent,
    Done,
    Failed,
    Finished,
    Finishing,
    Opened,
    PathAnnounced,
    Planned,
    Started,
    Stopped,
    encode_line,
)
from mml.core.scripts.schedule import StepRecord

NAME = "2026-11-20_10-00-00_toy"
LONG_AGO = time.time() - 7200


def make_run(root: Path, name: str = NAME, project: str = "default", state: str = "finished", **options: Any) -> Path:
    """Write the folder of a run of three steps, of which all are done if it is finished, else one; return it.

    Options: `mode`, `tasks`, `created`, `value`, `paths` (announced by step 1, claimed and written), `done_tasks` (what
    step 1 changes), `source` (of step 1), `config`, `overrides`, `versions`.
    """
    folder = root / project / "runs" / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": 1, "proj": project, **options.get("config", {})}))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(options.get("overrides", [])))
    for text in options.get("paths", ()):
        path = root / text
        path.parent.mkdir(parents=True, exist_ok=True)
        assert claim(path, name)
        path.write_text("made")
    write_journal(folder, events_of(state, **options))
    return folder


def write_journal(folder: Path, events: Iterable[AnyEvent]) -> None:
    """Write events as the journal of a run folder."""
    (folder / "journal.jsonl").write_bytes(b"".join(encode_line(event) for event in events))


def events_of(state: str = "finished", **options: Any) -> list[AnyEvent]:
    """Return the events of a run in a state; see `make_run`."""
    at = options.get("created", LONG_AGO)
    done_tasks, value = options.get("done_tasks", {}), options.get("value", 0.5)
    opened = Opened(
        time=at,
        pid=42,
        host="box",
        command=["mml", "toy"],
        mode=options.get("mode", "toy"),
        tasks=list(options.get("tasks", ("digits",))),
        versions=options.get("versions", {"torch": "2.0"}),
    )
    announced = [PathAnnounced(time=at, path=text, key="made", step=0) for text in options.get("paths", ())]
    events: list[AnyEvent] = [
        opened,
        Planned(time=at + 1, steps=[StepRecord("work", [number]) for number in range(3)]),
        Started(time=at + 2, step=0),
        *announced,
        Done(time=at + 3, step=0, seconds=1.0, value=value, tasks=done_tasks, source=options.get("source", "")),
        Started(time=at + 4, step=1),
    ]
    if state == "failed":
        events.append(Failed(time=at + 5, step=1, error="ValueError: boom", traceback="errors/step_0002.txt"))
    if state == "interrupted":
        events.append(Stopped(time=at + 5, step=1, signal="SIGTERM"))
    if state == "finished":
        events += [
            Done(time=at + 5, step=1, seconds=2.0),
            Started(time=at + 6, step=2),
            Done(time=at + 7, step=2, seconds=3.0),
            Finishing(time=at + 8, value=value),
            Finished(time=at + 9, seconds=6.0, value=value),
        ]
    return events


def make_damaged(root: Path, name: str, project: str = "default") -> Path:
    """Write a run whose journal is damaged in its first line; return its folder."""
    folder = make_run(root, name, project)
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"x" + journal.read_bytes())
    return folder
