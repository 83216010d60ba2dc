"""What was started with a Ray ends with the driver, however that ends."""

import os
import subprocess
import sys
from pathlib import Path

from mml.runners.ray_guard import MARK, Guard, main, marked
from tests.support.ray_cluster import until

DRIVER = """
import os, subprocess, sys
from pathlib import Path
from mml.runners.ray_guard import MARK, Guard
guard = Guard(Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], env={**os.environ, MARK: sys.argv[1]})
print(child.pid, flush=True)
sys.stdin.read()
"""


def driver(folder: Path) -> "subprocess.Popen[str]":
    folder.mkdir()
    (folder / "log").touch()
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_driver_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    with driver(folder) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert list(marked(str(folder))) == [child]
        process.kill()
    until(lambda: not folder.exists())
    assert list(marked(str(folder))) == []


def test_guard_ends_at_once_when_it_is_told_to(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(300)"], env={**os.environ, MARK: str(folder)}
    )
    until(lambda: list(marked(str(folder))) == [child.pid])
    # Their parent has to have a look at them before they are gone.
    guard = Guard(folder)
    guard.tell()
    assert child.wait() < 0
    guard._child.wait()
    assert not folder.exists()


def test_process_that_has_written_its_name_over_its_environment_is_known(tmp_path: Path) -> None:
    code = """
import sys, time
from ray._raylet import setproctitle
log = open(sys.argv[1], "w")
setproctitle("ray::Agent")
time.sleep(300)
"""
    (tmp_path / "ray").mkdir()
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "ray" / "log")])
    until(lambda: list(marked(str(tmp_path / "ray"))) == [child.pid])
    Guard(tmp_path / "ray").end()
    assert child.wait() < 0


def test_guard_does_not_wait_for_a_fork_of_the_driver(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()
    guard = Guard(folder)
    read, write = os.pipe()
    if (fork := os.fork()) == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        guard.end()
        assert not folder.exists()
    finally:
        os.close(write)
        os.waitpid(fork, 0)
        os.close(read)


def test_guard_of_an_ended_ray_only_removes_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()
    Guard(folder).end()
    assert not folder.exists()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from mml.runners.ray_guard import main; sys.exit(main(sys.argv[1]))",
            "/no",
        ],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0
    assert callable(main)
