"""A run folder belongs to one living process, and to nobody when that is dead."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import RunLockedError
from mml.core.scripts.run_lock import LOCK_FILE, RunLock, is_held, read_owner

HOLD = """
import sys
from pathlib import Path
from mml.core.scripts.run_lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""
# Holds the lock, forks a process as a data loader does, and is killed; the fork lives on.
FORK = """
import os, sys
from pathlib import Path
from mml.core.scripts.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.readline()
    os._exit(0)
os.wait()
"""


def start(code: str, folder: Path, said: str) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == f"{said}\n"
    return child


def states(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    files = [folder, *folder.iterdir()]
    found = ((path, path.stat()) for path in files)
    return {
        str(path): (stat.st_mtime_ns, stat.st_ctime_ns, path.read_bytes() if path.is_file() else b"")
        for path, stat in found
    }


def test_lock_says_who_holds_it(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        owner = read_owner(tmp_path / LOCK_FILE)
        assert owner is not None
        assert (owner.pid, owner.host, owner.command) == (os.getpid(), socket.gethostname(), sys.argv)
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    for _ in range(2):
        lock.acquire()
        lock.release()
        lock.release()
    assert not is_held(tmp_path)


def test_second_process_is_refused_with_all_that_finds_the_first(tmp_path: Path) -> None:
    with start(HOLD, tmp_path, "held") as child:
        before = states(tmp_path)
        with pytest.raises(RunLockedError) as caught:
            RunLock(tmp_path).acquire()
        assert is_held(tmp_path)
        assert states(tmp_path) == before
        child.communicate("go\n")
    message = str(caught.value)
    assert message.startswith(f"Run {tmp_path.name} is running: process {child.pid} of ")
    assert f" on {socket.gethostname()}, started 20" in message
    assert f": -c {tmp_path}. Wait for it, or stop that process." in message


def test_refusal_without_a_readable_owner_says_so(tmp_path: Path) -> None:
    with start(HOLD, tmp_path, "held") as child:
        (tmp_path / LOCK_FILE).write_bytes(b"")
        with pytest.raises(RunLockedError, match="a process that did not write itself into"):
            RunLock(tmp_path).acquire()
        child.communicate("go\n")


def test_lock_dies_with_its_process(tmp_path: Path) -> None:
    with start(HOLD, tmp_path, "held") as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not is_held(tmp_path)
    with RunLock(tmp_path):
        assert is_held(tmp_path)


def test_lock_dies_with_its_process_though_a_fork_of_it_lives_on(tmp_path: Path) -> None:
    with start(FORK, tmp_path, "forked") as child:
        assert is_held(tmp_path)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not is_held(tmp_path)
        child.communicate("go\n")  # the fork ends, too


def test_looking_at_a_lock_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert states(tmp_path).keys() == {str(tmp_path)}
    with RunLock(tmp_path):
        pass
    before = states(tmp_path)
    assert not is_held(tmp_path)
    assert states(tmp_path) == before
    assert read_owner(tmp_path / LOCK_FILE) is not None


def test_lock_that_can_not_be_opened_is_not_held(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    assert not is_held(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}'])
def test_damaged_owner_is_no_owner(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LOCK_FILE).write_bytes(content)
    assert read_owner(tmp_path / LOCK_FILE) is None


def test_missing_owner_is_no_owner(tmp_path: Path) -> None:
    assert read_owner(tmp_path / LOCK_FILE) is None


def test_user_without_a_name_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987654)
    with RunLock(tmp_path):
        owner = read_owner(tmp_path / LOCK_FILE)
    assert owner is not None
    assert owner.user == "987654"
