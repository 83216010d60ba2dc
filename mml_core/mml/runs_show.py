"""`mml runs show`: all that is known of one run, as people read it or as JSON."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mml.core.scripts.drift_config import LOCATION_KEYS, RECORD_KEYS
from mml.core.scripts.exceptions import JournalError
from mml.core.scripts.run_files import CONFIG_FILE
from mml.core.scripts.run_labels import read_labels
from mml.core.scripts.runs import CONTINUABLE, RUNNING, RunInfo
from mml.report.tables import GAP, Column, as_table, count_text, list_text, seconds_text, show, size_text
from mml.runs_choice import choose, continue_command
from mml.runs_list import ListedRun, as_record, folder_size, progress_text
from mml.runs_record import (
    FullRecord,
    MadeFile,
    StepLine,
    made_files,
    metrics_of,
    read_record,
    step_lines,
    stored_config,
    stored_overrides,
)
from mml.runs_styles import STATE_STYLES
from mml.runs_words import results_root

MOST_STEPS, MOST_FILES = 24, 24
_STEP_STYLES = {**STATE_STYLES, "done": "green", "begun": "yellow", "skipped": "yellow", "waiting": "dim"}
# Keys that say where and as what a run was recorded, not what it does.
_RECORD_KEYS = (*LOCATION_KEYS, *RECORD_KEYS, "task", "task_list", "hydra")
_LONGEST = 200


def show_command(given: argparse.Namespace) -> int:
    """Print what is known of a run, and return the exit code.

    Raises:
        MMLMisconfigurationException: no run is meant, or several.
    """
    root = results_root(given.out_dir)
    info = choose(given.run, root, given.project)
    label = read_labels(root / info.project).get(info.name, "")
    listed = ListedRun(info, label, folder_size(info.path))
    try:
        full = read_record(info)
    except JournalError:
        full = FullRecord.empty(info)
    if given.json:
        sys.stdout.write(json.dumps(as_full_record(listed, full, root), indent=2, ensure_ascii=False) + "\n")
    else:
        show(*_parts(listed, full, root, given))
    return 0


def as_full_record(listed: ListedRun, full: FullRecord, root: Path) -> dict[str, Any]:
    """Return all that is known of a run as plain JSON values; `docs/runs.md` says what each field means."""
    opened = full.processes()
    files = [file._asdict() | {"path": str(file.path)} for file in made_files(full, root)]
    return as_record(listed) | {
        "overrides": stored_overrides(listed.info.path),
        "config": stored_config(listed.info.path),
        "commands": [
            {"time": event.time, "host": event.host, "pid": event.pid, "command": event.command} for event in opened
        ],
        "versions": opened[-1].versions if opened else {},
        "code": opened[-1].code if opened else {},
        "steps": [step._asdict() for step in step_lines(full)],
        "files": [{key: file[key] for key in ("path", "key", "exists", "size")} for file in files],
        "metrics": metrics_of(full),
        "errors": [
            {"step": e.step, "time": e.time, "error": e.error, "traceback": e.traceback} for e in full.failures()
        ],
        "continue": continue_command(listed.info) if listed.info.state in CONTINUABLE else None,
    }


def time_text(seconds: float | None) -> str:
    """Return a time as people write it, to the second; nothing for none."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}" if seconds else ""


def some(items: Sequence[Any], most: int, wanted: int) -> tuple[Sequence[Any], int]:
    """Return at most so many items, of a long list those around one of them, and how many were left out.

    Args:
        items: all of them.
        most: how many to return.
        wanted: place of the one that is of interest.
    """
    if len(items) <= most:
        return items, 0
    start = min(max(0, wanted - most // 2), len(items) - most)
    return items[start : start + most], len(items) - most


def _parts(listed: ListedRun, full: FullRecord, root: Path, given: argparse.Namespace) -> Iterator[RenderableType]:
    info = listed.info
    yield _heading(info)
    yield _facts(list(_about(listed, full)))
    if (info.path / CONFIG_FILE).exists():
        yield Text("\nConfig", style="bold")
        yield _facts(list(_config(info.path)))
        if given.config:
            yield Text("\n" + (_text_of(info.path / CONFIG_FILE) or "The config can't be read.").rstrip())
    yield from _steps(full, all_of_them=given.all)
    yield from _files(made_files(full, root), all_of_them=given.all)
    yield from _errors(full)
    if info.error and not full.failures():
        yield Text(f"\n{info.error}", style="red")
    if info.state in CONTINUABLE:
        yield Text.assemble("\nContinue with: ", (continue_command(info, given.out_dir), "cyan"))
    if info.state == RUNNING:
        yield Text.assemble("\nWatch it with: ", (f"mml status {info.name} --watch", "cyan"))


def _heading(info: RunInfo) -> Text:
    return Text.assemble(("Run ", "bold"), (info.name, "bold"), "  ", (info.state, STATE_STYLES[info.state]))


def _about(listed: ListedRun, full: FullRecord) -> Iterator[tuple[str, str]]:
    info, opened = listed.info, full.processes()
    yield "project", info.project
    yield "label", listed.label
    yield "mode", info.mode
    yield "tasks", list_text(info.tasks, most=8) if info.tasks else ""
    yield "progress", f"{progress_text(info)} steps, {seconds_text(info.seconds)}"
    yield "value", "" if info.return_value is None else _shortened(json.dumps(info.return_value, default=str))
    yield "started", time_text(opened[0].time if opened else None)
    yield "last record", time_text(full.record.last.time if full.record.last else None)
    for number, event in enumerate(opened):
        name = "command" if number == 0 else "continued"
        yield name, f"{shlex.join(_short(event.command))}  ({event.host}, process {event.pid})"
    if opened:
        versions = {**opened[-1].versions, **opened[-1].code}
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    yield "folder", f"{info.path} ({size_text(listed.size or 0)})"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _short(command: Sequence[str]) -> list[str]:
    """Return a command with the program's name alone, not its path."""
    first, *others = command or ["mml"]
    return ["mml" if Path(first).name in ("__main__.py", "mml") else first, *others]


def _config(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the overrides, and what the config says in the first place: its simple keys, and what each group makes."""
    overrides = stored_overrides(folder)
    yield "overrides", "  ".join(overrides) or "none"
    config = stored_config(folder)
    simple = {key: value for key, value in config.items() if not isinstance(value, dict) and key not in _RECORD_KEYS}
    yield "keys", "  ".join(f"{key}={_yaml_text(value)}" for key, value in simple.items())
    targets = {
        key: group["_target_"] for key, group in config.items() if isinstance(group, dict) and "_target_" in group
    }
    for key, target in targets.items():
        settings = {name: value for name, value in config[key].items() if not name.startswith("_")}
        shown = ", ".join(
            f"{name}={_yaml_text(value)}" for name, value in settings.items() if not isinstance(value, dict)
        )
        yield key, f"{str(target).rpartition('.')[2]}({shown})"


def _yaml_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"[{','.join(map(_yaml_text, value))}]" if isinstance(value, list) else str(value)


def _steps(full: FullRecord, *, all_of_them: bool) -> Iterator[RenderableType]:
    lines = step_lines(full)
    if not lines:
        return
    open_steps = [position for position, line in enumerate(lines) if line.state not in ("done", "waiting")]
    at = open_steps[0] if open_steps else full.info.steps_done
    shown, left_out = some(lines, len(lines) if all_of_them else MOST_STEPS, at)
    done = sum(line.state == "done" for line in lines)
    yield Text("")
    yield as_table(f"Steps: {done:,} of {len(lines):,} done", _STEP_COLUMNS, shown)
    if left_out:
        yield Text(f"... and {count_text(left_out, 'step')} more: --all shows them", style="dim")


def _files(files: Sequence[MadeFile], *, all_of_them: bool) -> Iterator[RenderableType]:
    if not files:
        return
    gone = sum(not file.exists for file in files)
    total = size_text(sum(file.size or 0 for file in files))
    shown, left_out = some(files, len(files) if all_of_them else MOST_FILES, 0)
    yield Text("")
    yield as_table(f"Files: {len(files):,}, {total}" + f", {gone:,} gone" * bool(gone), _FILE_COLUMNS, shown)
    if left_out:
        yield Text(f"... and {count_text(left_out, 'file')} more: --all shows them", style="dim")


def _errors(full: FullRecord) -> Iterator[RenderableType]:
    failures = full.failures()
    if failures:
        yield Text("\nErrors", style="bold")
    for failure in failures[-5:]:
        where = "" if failure.step is None else f", step {failure.step + 1}"
        yield Text.assemble(f"{time_text(failure.time)}{where}: ", (failure.error, "red"))
        if failure.traceback:
            yield Text(f"  {full.info.path / failure.traceback}", style="dim")


def _facts(rows: Sequence[tuple[str, str]]) -> Table:
    """Return names and what they are, without those that are nothing."""
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        if text:
            table.add_row(name, Text(text))
    return table


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _step_style(line: StepLine) -> str:
    return _STEP_STYLES.get(line.state, "")


_STEP_COLUMNS = [
    Column("step", lambda line: f"{line.number:,}", number=True),
    Column("what", lambda line: line.name, fold=True),
    Column("state", lambda line: line.state, style=_step_style),
    Column("began", lambda line: time_text(line.started), spare=2),
    Column("took", lambda line: "" if line.seconds is None else seconds_text(line.seconds), number=True),
    Column("note", lambda line: line.note, fold=True, spare=1),
]
_FILE_COLUMNS = [
    Column("kind", lambda file: file.key),
    Column(
        "size",
        lambda file: "gone" if not file.exists else "" if file.size is None else size_text(file.size),
        number=True,
    ),
    Column("path", lambda file: str(file.path), fold=True),
]
