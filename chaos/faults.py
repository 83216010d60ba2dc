"""Faults of disks, files and clocks, and crowds of processes, in real runs of small steps.

Each fault ends with an error that says what is wrong, and loses nothing: once its cause is mended, what a user types
next brings the run to the same end as one that was never disturbed.
"""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from chaos import faults_crowds
from chaos.compare import run_folders
from chaos.harness import Pool, Verdict, finished, next_words, row, undisturbed
from chaos.kills import WORDS, sample, tiny_data, tiny_source
from chaos.launchers import ForkServer, Launcher, Launchers, World, environment
from chaos.table import Options, Row

CREATE = ["create", "task=pets", "mode.source=source", "logging.progress=false"]
_TMPFS_PAGES, _PAGE = 60, 4096
_QUICK = 2
_TRACEBACK = "Traceback (most recent call last)"
# A library that puts the clock back, for programs that are linked with the system's.
_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void) { const char *text = getenv("MML_CHAOS_CLOCK"); return text ? atol(text) : 0; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += shift();
    return status;
}
int gettimeofday(struct timeval *now, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(now, zone);
    now->tv_sec += shift();
    return status;
}
time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now) *now = found.tv_sec;
    return found.tv_sec;
}
"""


class Setting(NamedTuple):
    """What all faults of small steps need.

    Attributes:
        pool: tries points side by side.
        servers: run commands.
        whole: the world of an undisturbed run.
        events: its events.
        options: of the module.
        draw: draws points.
    """

    pool: Pool
    servers: Launchers
    whole: World
    events: list[str]
    options: Options
    draw: random.Random

    def points(self, most: int) -> list[int]:
        """Return numbers of events: all, or some that are drawn."""
        quick = _QUICK if self.options.quick else self.options.points or most
        return sample(self.draw, len(self.events), min(most, quick))

    def world(self, name: str) -> World:
        """Return a fresh world with the tasks."""
        return World.make(self.options.folder / name, self.whole.data)


def run(options: Options) -> list[Row]:
    """Inject all faults."""
    with Launchers(lambda: ForkServer(light=True)) as servers:
        with servers.one() as server:
            data = tiny_data(server, options.folder / "tasks")
            whole = World.make(options.folder / "whole", data)
            events = undisturbed(server, whole, WORDS)
        pool = Pool(servers, options.folder / "worlds", whole, WORDS, data)
        setting = Setting(pool, servers, whole, events, options, random.Random(options.seed))
        rows = [
            _erring(setting, errno.ENOSPC, "disk full from an event on", 10_000),
            _erring(setting, errno.EROFS, "disk read-only from an event on", 100),
            _erring(setting, errno.EIO, "disk broken from an event on", 100),
            *_creations(servers, options),
            *_small_disks(setting),
            _limited_files(setting),
            _gone_data(setting),
            _torn_journals(setting),
            _damaged_journals(setting),
            *_clocks(setting),
        ]
    rows += faults_crowds.run(options, data)
    if options.quick:
        return rows
    from chaos import faults_training  # which uses what is here

    return [*rows, *faults_training.run(options)]


def said_clearly(world: World, code: int, hung: bool, *, codes: Sequence[int] = (1, 2)) -> str:
    """Return what is wrong with how a command ended, empty when it ended with an error that says what is wrong."""
    said = world.output.read_text(errors="replace") if world.output.exists() else ""
    if hung:
        return "it hangs"
    if _TRACEBACK in said:
        return f"it ends with a traceback: {said[-1500:]}"
    if code not in codes:
        return f"it ends with {code}: {said[-500:]}"
    return "" if "Error: " in said or code == 0 else f"it says nothing: {said[-500:]}"


def mended(launcher: Launcher, world: World, words: Sequence[str], whole: World, fault: str, story: str) -> Verdict:
    """Go on after the cause was mended, as a user would, and compare."""
    world.output.unlink(missing_ok=True)
    so_far = Verdict(survived=not fault, repeated=0, differing=[], story=f"{story}\n{fault}")
    verdict = finished(launcher, world, words, whole, so_far)
    # A traceback is the record of the fault itself.
    return verdict._replace(differing=[line for line in verdict.differing if "/errors" not in line.partition(":")[0]])


# --- errors of the system


def _erring(setting: Setting, error: int, what: str, most: int) -> Row:
    def one(launcher: Launcher, number: int) -> Verdict:
        world = setting.world(f"{errno.errorcode[error]}-{number}")
        ended = launcher.run(world, WORDS, world.plan(kill_at=number, error=error))
        fault = said_clearly(world, ended.code, ended.hung, codes=(0, 1, 2))
        return setting.pool.judge(world, mended(launcher, world, WORDS, setting.whole, fault, f"{what} {number}"))

    verdicts = setting.pool.map(what, setting.points(most), one)
    return row(what, verdicts, f"{len(setting.events)} events")


def _creations(servers: Launchers, options: Options) -> list[Row]:
    """Let the disk be full from every event of a creation on."""
    folder = options.folder / "creation"
    whole = World.make(folder / "whole")
    tiny_source(whole.root / "source", ["ants", "bees"], 5)
    with servers.one() as server:
        events = undisturbed(server, whole, CREATE)
    draw = random.Random(options.seed)
    points = sample(draw, len(events), _QUICK if options.quick else options.points or len(events))
    pool = Pool(servers, folder, whole, CREATE)

    def one(launcher: Launcher, number: int) -> Verdict:
        world = World.make(folder / str(number))
        shutil.copytree(whole.root / "source", world.root / "source")
        ended = launcher.run(world, CREATE, world.plan(kill_at=number, error=errno.ENOSPC))
        fault = said_clearly(world, ended.code, ended.hung, codes=(0, 1, 2))
        return pool.judge(world, mended(launcher, world, CREATE, whole, fault, f"full at {number}"))

    return [row("disk full from an event of a creation on", pool.map("creation", points, one), f"{len(events)} events")]


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[bool]:
    """Mount a disk of so many bytes on a folder while the block runs; yields False where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    with suppress(OSError):
        if os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0:
            try:
                yield True
            finally:
                subprocess.run(["umount", str(folder)], check=True)
            return
    yield False


def _small_disks(setting: Setting) -> Iterator[Row]:
    """Let results grow until a real, small disk is full; then it is enlarged."""
    pages = list(range(1, _TMPFS_PAGES + 1))
    pages = setting.draw.sample(pages, _QUICK) if setting.options.quick else pages

    def one(launcher: Launcher, page: int) -> Verdict | None:
        world = setting.world(f"tmpfs-{page}")
        with small_disk(world.results, page * _PAGE) as mounted:
            if not mounted:
                return None
            ended = launcher.run(world, WORDS)
            fault = said_clearly(world, ended.code, ended.hung, codes=(0, 1, 2))
            subprocess.run(["mount", "-o", "remount,size=64m", str(world.results)], check=True)
            verdict = mended(launcher, world, WORDS, setting.whole, fault, f"a disk of {page} pages")
        return setting.pool.judge(world, verdict)

    found = [verdict for verdict in setting.pool.map("small disks", pages, one) if verdict is not None]
    if found:
        yield row("results on a tmpfs of 4 kB, 8 kB, ...", found, "then enlarged")


def _limited_files(setting: Setting) -> Row:
    """Let no file grow beyond a size, as `ulimit -f` does."""
    largest = max(path.stat().st_size for path in setting.whole.results.rglob("*") if path.is_file())
    sizes = sorted({0, 1, 7, *(largest * part // 40 for part in range(1, 41)), largest - 1})
    sizes = setting.draw.sample(sizes, _QUICK) if setting.options.quick else sizes

    def one(launcher: Launcher, size: int) -> Verdict:
        world = setting.world(f"fsize-{size}")
        said = _run_limited(world, size)
        world.output.write_text(said.stdout + said.stderr)
        fault = said_clearly(world, said.returncode, hung=False, codes=(0, 1, 2))
        return setting.pool.judge(world, mended(launcher, world, WORDS, setting.whole, fault, f"{size} bytes"))

    return row("no file larger than 0 bytes, 1 byte, ...", setting.pool.map("file sizes", sizes, one), "RLIMIT_FSIZE")


def _run_limited(world: World, size: int) -> "subprocess.CompletedProcess[str]":
    code = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY)); "
        "sys.argv[0] = 'mml'; from mml.cli import main; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *WORDS],
        env=environment(world.env),
        cwd=world.root,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


# --- data and journals


def stopped_at(world: World, words: Sequence[str], number: int, act: Callable[[], object]) -> int:
    """Run a command, do something while it is held at an event, and return its exit code."""
    import json

    from chaos import watcher

    plan = world.plan(kill_at=number, signum=signal.SIGSTOP)
    env = environment(world.env) | {watcher.VARIABLE: json.dumps(plan._asdict())}
    with world.output.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "mml", *words], env=env, cwd=world.root, stdout=output, stderr=output
        )
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        act()
        os.kill(child.pid, signal.SIGCONT)
        return child.wait()
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode


def _gone_data(setting: Setting) -> Row:
    """Remove a task while a run needs it, and put it back."""

    def one(launcher: Launcher, number: int) -> Verdict:
        world = setting.world(f"data-{number}")
        task, aside = world.data / "tasks" / "bees", world.root / "bees"
        code = stopped_at(world, WORDS, number, lambda: task.rename(aside))
        fault = said_clearly(world, code, hung=False, codes=(0, 1, 2))
        if aside.exists():
            aside.rename(task)
        return setting.pool.judge(world, mended(launcher, world, WORDS, setting.whole, fault, f"gone at {number}"))

    return row("a task removed while running", setting.pool.map("data", setting.points(12), one))


def _interrupted(launcher: Launcher, world: World, number: int) -> Path | None:
    """Kill a run at an event, and return its journal if it has one of several lines."""
    launcher.run(world, WORDS, world.plan(kill_at=number))
    runs = run_folders(world.results)
    journal = runs[0] / "journal.jsonl" if runs else None
    return journal if journal and journal.exists() and journal.read_bytes().count(b"\n") > 1 else None


def _line_of_the_end(setting: Setting, number: int) -> bytes | None:
    """Return the last line of the journal of a run that is killed at an event; None when it is its first."""
    with setting.servers.one() as launcher:
        world = setting.world(f"probe-{number}")
        journal = _interrupted(launcher, world, number)
        data = journal.read_bytes() if journal else b""
        shutil.rmtree(world.root)
    return data[data.rstrip(b"\n").rfind(b"\n") + 1 :] or None


def _places(setting: Setting, count: int) -> list[tuple[int, bytes]]:
    """Return events at which a kill leaves a journal of several lines, with the last line of that."""
    numbers = list(range(1, len(setting.events) + 1))
    setting.draw.shuffle(numbers)
    found: list[tuple[int, bytes]] = []
    for number in numbers:
        if len(found) < count and (line := _line_of_the_end(setting, number)):
            found.append((number, line))
    return found


def _torn_journals(setting: Setting) -> Row:
    """Cut the last line of the journal at every byte."""
    cuts = [
        (number, left)
        for number, line in _places(setting, 1 if setting.options.quick else 2)
        for left in range(1, len(line) + 1)
    ]
    cuts = setting.draw.sample(cuts, min(_QUICK, len(cuts))) if setting.options.quick else cuts

    def one(launcher: Launcher, cut: tuple[int, int]) -> Verdict:
        number, left = cut
        world = setting.world(f"torn-{number}-{left}")
        journal = _interrupted(launcher, world, number)
        assert journal is not None, "the same kill leaves the same journal"
        journal.write_bytes(journal.read_bytes()[:-left])
        return setting.pool.judge(world, mended(launcher, world, WORDS, setting.whole, "", f"{left} bytes cut off"))

    return row("journal cut at every byte of its last line", setting.pool.map("torn journals", cuts, one))


def _damaged_journals(setting: Setting) -> Row:
    """Change a byte of a line before the last; the run is refused, and goes on with the journal of a backup."""
    chosen = setting.points(200)
    seeds = {number: setting.draw.random() for number in chosen}

    def one(launcher: Launcher, number: int) -> Verdict | None:
        world = setting.world(f"damaged-{number}")
        path = _interrupted(launcher, world, number)
        if path is None:
            return None
        good = path.read_bytes()
        place = int(seeds[number] * good.rstrip(b"\n").rfind(b"\n"))
        bad = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        path.write_bytes(bad)
        ended = launcher.run(world, ["continue", path.parent.name])
        fault = said_clearly(world, ended.code, ended.hung)
        said = world.output.read_text(errors="replace")
        fault = fault or ("" if "is damaged" in said and str(path) in said else f"it does not name the damage: {said}")
        fault = fault or ("" if path.read_bytes() == bad else "it wrote into the damaged journal")
        path.write_bytes(good)
        return setting.pool.judge(world, mended(launcher, world, WORDS, setting.whole, fault, f"byte {place}"))

    found = [verdict for verdict in setting.pool.map("damaged", chosen, one) if verdict is not None]
    return row("journal damaged before its last line", found, "then restored")


# --- clocks


def clock_library(folder: Path) -> Path | None:
    """Return a library that puts the clock of a process back, None where there is no compiler."""
    if shutil.which("gcc") is None:
        return None
    (folder / "clock.c").write_text(_CLOCK)
    library = folder / "clock.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(folder / "clock.c"), "-ldl"], check=True)
    return library


def _clocks(setting: Setting) -> Iterator[Row]:
    """Continue with a clock that is behind the one that the run was started with."""
    library = clock_library(setting.options.folder)
    if library is None:
        return
    shifts = {"an hour": -3600, "three years": -3 * 365 * 86400}
    names = list(shifts)[-1:] if setting.options.quick else list(shifts)
    points = [(name, number) for name in names for number in setting.points(6)]

    def one(launcher: Launcher, point: tuple[str, int]) -> Verdict:
        name, number = point
        world = setting.world(f"clock-{name.replace(' ', '_')}-{number}")
        launcher.run(world, WORDS, world.plan(kill_at=number))
        back = {"LD_PRELOAD": str(library), "MML_CHAOS_CLOCK": str(shifts[name])}
        words = next_words(world, WORDS)
        if words is None:  # it was over before it was killed
            return setting.pool.judge(world, mended(launcher, world, WORDS, setting.whole, "", "over"))
        said = _run_with(world, words, back)
        fault = "" if said.returncode == 0 else f"it ended with {said.returncode}: {said.stderr[-500:]}"
        return setting.pool.judge(world, mended(launcher, world, WORDS, setting.whole, fault, f"{name} back, {number}"))

    verdicts = setting.pool.map("clocks", points, one)
    yield row("clock set back before continuing", verdicts, f"by {' and '.join(names)}")


def _run_with(world: World, words: Sequence[str], more: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mml", *words],
        env=environment(world.env) | dict(more),
        cwd=world.root,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
