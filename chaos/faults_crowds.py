"""Crowds: many processes that start, continue or number files at the same moment."""

import re
from pathlib import Path

from chaos.compare import differences, is_finished, repeated_steps, run_folders
from chaos.crowd import run_crowd, start_together
from chaos.harness import undisturbed
from chaos.kills import WORDS
from chaos.launchers import ForkServer, World, environment
from chaos.table import Options, Row
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.journal import RunRecord, read_events

RUNS, RUNS_QUICK = 50, 6
CLIENTS, CLIENTS_QUICK, FILES_EACH = 200, 20, 10
PAIRS, PAIRS_QUICK = 20, 2
_KEY = "predictions"


def run(options: Options, data: Path) -> list[Row]:
    """Start runs, continuations and clients at once.

    Args:
        options: of the module.
        data: with the tasks.
    """
    return [_runs_at_once(options, data), _continued_twice(options, data), _numbering(options)]


def _runs_at_once(options: Options, data: Path) -> Row:
    """Start many runs in one project: each has a folder of its own, comes to its end, and none takes another's file."""
    size = RUNS_QUICK if options.quick else RUNS
    world = World.make(options.folder / "crowd", data)
    codes, _ = run_crowd(size, WORDS, world.root, environment(world.env))
    runs = run_folders(world.results)
    finished = sum(map(is_finished, runs))
    files: list[str] = []
    for folder in runs:
        record = RunRecord(read_events(folder / "journal.jsonl")[0])
        files += [event.path for events in record.announced.values() for event in events if event.key == "noop_model"]
    # Every announced number that a run lost to another one was announced again with the next number.
    made = {path.name for path in world.results.glob("default/NOOP_MODELS/*/*.json")}
    wanted = len(runs) * len({*_models_of(runs[0])}) if runs else 0
    found = len(list(world.results.glob("default/NOOP_MODELS/*/*.json")))
    fine = (
        codes == [0] * size
        and len(runs) == finished == size
        and found == wanted
        and made <= {Path(f).name for f in files}
    )
    return Row(
        f"{size} runs started at once in one project",
        size,
        finished if fine else min(finished, codes.count(0)),
        sum(1 for _ in range(repeated_steps(world.root))),
        abs(found - wanted),
        f"{found} numbered files of one kind, {wanted} wanted",
    )


def _models_of(run: Path) -> list[int]:
    """Return the steps of a run that leave a model."""
    record = RunRecord(read_events(run / "journal.jsonl")[0])
    return [position for position, step in enumerate(record.plan or []) if step.command == "work"]


def _continued_twice(options: Options, data: Path) -> Row:
    """Continue one run by two processes at once: one does it, the other says why it does not."""
    whole = World.make(options.folder / "whole_pair", data)
    times = PAIRS_QUICK if options.quick else PAIRS
    survived = repeated = differing = 0
    server = ForkServer(light=True)
    try:
        events = undisturbed(server, whole, WORDS)
        for number in range(times):
            world = World.make(options.folder / f"pair-{number}", data)
            # From the middle on, where there is a plan.
            server.run(world, WORDS, world.plan(kill_at=len(events) // 2 + number * len(events) // (3 * times)))
            (folder,) = run_folders(world.results)
            codes, said = run_crowd(2, ["continue", folder.name], world.root, environment(world.env))
            clear = all(
                code == 0 or re.search(r"is running: process|is finished: nothing is left", text)
                for code, text in zip(codes, said, strict=True)
            )
            survived += sorted(codes) == [0, 2] and clear and is_finished(folder)
            repeated += repeated_steps(world.root)
            differing += len(differences(world.root, whole.root))
    finally:
        server.close()
    return Row(
        "two `continue` on one run at once", times, survived, repeated, differing, "one goes on, one is told why not"
    )


def _numbering(options: Options) -> Row:
    """Let many processes number files of one kind: no number is given twice, none is left out."""
    clients = CLIENTS_QUICK if options.quick else CLIENTS
    root = options.folder / "numbering"
    root.mkdir()

    def client(number: int) -> int:
        MMLFileManager.clear_instance()
        manager: MMLFileManager = MMLFileManager(root / "data", root / "results" / "default")
        for _ in range(FILES_EACH):
            path = manager.construct_saving_path(None, _KEY, "task", "file.csv")
            with path.open("x") as file:  # exclusive: a number that two got would be an error
                file.write(f"{number}\n")
        return 0

    codes = start_together(client, clients)
    names = sorted(path.name for path in root.glob("results/default/PREDICTIONS/task/*.csv"))
    wanted = [f"file_{number:04}.csv" for number in range(1, clients * FILES_EACH + 1)]
    return Row(
        f"{clients} file managers numbering the same key",
        clients,
        codes.count(0),
        0,
        len(set(names) ^ set(wanted)),
        f"{len(names):,} files, numbered without a gap" if names == wanted else f"{len(names)} of {len(wanted)} files",
    )
