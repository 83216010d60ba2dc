"""The watcher sees, from outside, what a process does to files, and sends its signal before the event chosen."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.launchers import CHECKOUT, SITE
from chaos.watcher import VARIABLE, Plan

EVERY_KIND = """
import os, shutil, tempfile
from pathlib import Path
folder = Path("watched")
(folder / "sub").mkdir()
(folder / "text").write_text("1")
(folder / "text").read_text()
os.rename(folder / "text", folder / "sub" / "text")
os.link(folder / "sub" / "text", folder / "again")
os.symlink("nowhere", folder / "link")
os.chmod(folder / "again", 0o600)
os.truncate(folder / "again", 0)
handle = os.open(folder / "again", os.O_WRONLY)
os.write(handle, b"2"); os.ftruncate(handle, 1); os.fdatasync(handle); os.fsync(handle); os.close(handle)
os.unlink(folder / "link")
shutil.rmtree(folder / "sub")
Path("elsewhere").write_text("unseen")
"""


def watched(tmp_path: Path, code: str, **plan: int | str) -> "subprocess.CompletedProcess[str]":
    """Run code in a new process that is watched from its start."""
    (tmp_path / "watched").mkdir()
    full = Plan([str(tmp_path / "watched")], **plan)  # type: ignore[arg-type]
    env = os.environ | {"PYTHONPATH": f"{SITE}:{CHECKOUT}", VARIABLE: json.dumps(full._asdict())}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )


def events(tmp_path: Path, code: str) -> list[str]:
    """Return the events of code, with names of files relative to the watched folder."""
    child = watched(tmp_path, code, note=str(tmp_path / "note"))
    assert (child.stderr, child.returncode) == ("", 0)
    return (tmp_path / "note").read_text().replace(f"{tmp_path}/watched/", "").splitlines()


def test_every_change_is_an_event_and_reading_is_none(tmp_path: Path) -> None:
    assert events(tmp_path, EVERY_KIND) == [
        "mkdir sub",
        "open text",
        "opened text",
        "rename text sub/text",
        "link sub/text again",
        "symlink link",
        "chmod again",
        "truncate again",
        "open again",
        "opened again",
        "write again",
        "truncate again",
        "fdatasync again",
        "fsync again",
        "remove link",
        "remove sub/text",
        "rmdir sub",
    ]


@pytest.mark.parametrize(
    ("number", "left"),
    [
        (1, set()),
        (2, {"sub"}),
        (3, {"sub", "text"}),
        (5, {"sub", "sub/text"}),
        (15, {"again", "link", "sub", "sub/text"}),
    ],
)
def test_the_signal_comes_before_the_event(tmp_path: Path, number: int, left: set[str]) -> None:
    child = watched(tmp_path, EVERY_KIND, kill_at=number)
    assert child.returncode == -signal.SIGKILL
    folder = tmp_path / "watched"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == left


def test_any_signal_can_be_sent(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(7)); open('watched/x', 'w')"
    assert watched(tmp_path, code, kill_at=1, signum=signal.SIGTERM).returncode == 7


def test_a_file_that_was_just_opened_is_empty(tmp_path: Path) -> None:
    watched(tmp_path, "from pathlib import Path; Path('watched/x').write_text('1')", kill_at=2)
    assert (tmp_path / "watched" / "x").read_text() == ""


def test_children_and_what_they_start_are_not_watched(tmp_path: Path) -> None:
    code = """
import os, subprocess, sys
if not os.fork():
    open("watched/of_a_fork", "w")
    os._exit(0)
os.wait()
subprocess.run([sys.executable, "-c", "open('watched/of_a_child', 'w')"], check=True)
open("watched/own", "w")
"""
    assert events(tmp_path, code) == ["open own", "opened own"]
    assert len(list((tmp_path / "watched").iterdir())) == 3


def test_threads_are_watched_each_for_itself(tmp_path: Path) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda i: open(f"watched/{i}", "w").close(), range(50)))
"""
    found = events(tmp_path, code)
    assert sorted(found) == sorted(f"{what} {i}" for what in ("open", "opened") for i in range(50))


def test_without_a_plan_a_process_is_left_alone(tmp_path: Path) -> None:
    code = "import os, sys; assert 'chaos.watcher' not in sys.modules; assert 'wrapped' not in repr(os.write)"
    env = os.environ | {"PYTHONPATH": f"{SITE}:{CHECKOUT}"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True)


FULL = """
import os
from pathlib import Path
folder = Path("watched")
for name, work in {
    "mkdir": lambda: (folder / "new").mkdir(),
    "open": lambda: (folder / "new.txt").open("w"),
    "write": lambda: os.write(handle, b"x"),
    "fsync": lambda: os.fsync(handle),
    "rename": lambda: (folder / "old.txt").rename(folder / "older.txt"),
    "remove": lambda: (folder / "older.txt").unlink(),
    "read": lambda: (folder / "kept.txt").read_text(),
}.items():
    if name == "mkdir":
        handle = os.open(folder / "kept.txt", os.O_RDWR)
    try:
        work()
        print(name, "done")
    except OSError as error:
        print(name, error.strerror)
"""


@pytest.mark.parametrize(
    ("number", "refused"),
    [(errno.ENOSPC, {"mkdir", "open", "write"}), (errno.EIO, {"mkdir", "open", "write", "fsync", "rename", "remove"})],
)
def test_from_an_event_on_the_disk_refuses_what_it_would(tmp_path: Path, number: int, refused: set[str]) -> None:
    (tmp_path / "watched").mkdir()
    for name in ("old.txt", "older.txt", "kept.txt"):
        (tmp_path / "watched" / name).touch()
    # Two events of the opened file come first.
    plan = Plan([str(tmp_path / "watched")], kill_at=3, error=number)
    env = {**os.environ, "PYTHONPATH": f"{SITE}:{CHECKOUT}", VARIABLE: json.dumps(plan._asdict())}
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert {name for name, text in said.items() if text == os.strerror(number)} == refused
    assert {text for name, text in said.items() if name not in refused} == {"done"}
