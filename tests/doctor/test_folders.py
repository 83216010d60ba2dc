import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mml.doctor import folders
from mml.doctor.folders import check_folder, check_fsync, check_links, check_space, filesystem, fsync_verdict
from mml.doctor.verdicts import Level, Settings, Verdict

CHILD = """
import sys
from pathlib import Path
from mml.doctor import folders
from mml.doctor.verdicts import Settings
place = Path(sys.argv[1])
print(*getattr(folders, sys.argv[2])(*sys.argv[3:], Settings(place, place)), sep="|")
"""


def both(path: Path) -> Settings:
    return Settings(path, path)


def judged_on(mount: str, folder: Path, check: str, *args: str) -> str:
    """Return the verdict on a file system that is mounted on `folder` in a world of its own."""
    inner = f'mount {mount} "$0" && exec "$@"'
    flags = ["-m"] if os.geteuid() == 0 else ["-rm"]
    command = ["unshare", *flags, "sh", "-c", inner, str(folder), sys.executable, "-c", CHILD, str(folder), check]
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    done = subprocess.run([*command, *args], capture_output=True, text=True, check=False)
    if done.returncode and ("unshare" in done.stderr or "mount" in done.stderr):
        pytest.skip("this system allows no mounts")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("which", ["data", "results"])
def test_a_good_folder_is_fine_and_left_as_it_was(tmp_path: Path, which: str) -> None:
    verdict = check_folder(which, both(tmp_path))
    assert verdict.level is Level.OK, verdict
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_tried_where_it_will_be(tmp_path: Path) -> None:
    verdict = check_folder("data", both(tmp_path / "a" / "b"))
    assert verdict.level is Level.OK
    assert "made when it is needed" in verdict.what
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "below"])
def test_a_file_in_the_place_of_the_folder_is_a_problem(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    verdict = check_folder("results", both(tmp_path / "file" / below))
    assert verdict.level is Level.PROBLEM
    assert f"{tmp_path / 'file'} is a file, where a folder has to be" in verdict.what
    assert "MML_RESULTS_PATH" in verdict.fix
    assert "out_dir=" in verdict.fix


def test_a_link_to_nothing_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert "a link to nothing" in check_folder("data", both(tmp_path / "link")).what


def test_no_folder_at_all_is_a_problem() -> None:
    nothing = Settings(None, None)
    assert check_folder("data", nothing).level is Level.PROBLEM
    others = (check_space("data", nothing), check_fsync(nothing), check_links(nothing))
    assert [verdict.level for verdict in others] == [Level.WARNING] * 3


def test_a_folder_that_is_read_only_is_a_problem(tmp_path: Path) -> None:
    said = judged_on("-t tmpfs -o ro none", tmp_path, "check_folder", "data")
    assert said.startswith("problem|")
    assert "can't be written: Read-only file system" in said
    assert "MML_DATA_PATH" in said
    assert f"you are user {os.getuid()}" in said or "you are user 0" in said


def test_little_space_is_a_problem_and_memory_is_named(tmp_path: Path) -> None:
    said = judged_on("-t tmpfs -o size=1m none", tmp_path, "check_space", "results")
    assert said.startswith("problem|1.0 MB free on tmpfs|")
    assert "mml clean" in said


def test_few_file_entries_are_a_warning(tmp_path: Path) -> None:
    said = judged_on("-t tmpfs -o size=7g,nr_inodes=500 none", tmp_path, "check_space", "data")
    assert said.startswith("warning|7.5 GB free on tmpfs, but room for only 49")


def test_a_folder_in_memory_is_a_warning(tmp_path: Path) -> None:
    said = judged_on("-t tmpfs -o size=7g none", tmp_path, "check_space", "data")
    assert said.startswith("warning|7.5 GB free on tmpfs: it lies in memory")


def test_space_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_LITTLE", 0)
    verdict = check_space("data", both(tmp_path / "later"))
    assert " free on " in verdict.what


def test_space_that_gets_short_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_LITTLE", 10**18)
    assert check_space("data", both(tmp_path)).level is Level.WARNING


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    verdict = check_folder("results", both(tmp_path))
    assert verdict.level is Level.PROBLEM
    assert f"it has no locks ({os.strerror(code)})" in verdict.what


def test_locks_that_keep_nobody_out_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # here only: the other process asks the system
    assert "keep nobody out" in check_folder("results", both(tmp_path)).what


def test_several_faults_are_named_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoRename(type(tmp_path)):  # type: ignore[misc] # the class of paths of this system
        def replace(self, target: object) -> None:
            raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(folders, "Path", NoRename)
    monkeypatch.setattr(folders, "_try_case", lambda folder: "Case is case")
    assert f"{tmp_path}: not here; Case is case" in check_folder("data", both(tmp_path)).what


def test_a_disk_that_takes_one_name_twice_is_a_problem(tmp_path: Path) -> None:
    class Careless(type(tmp_path)):  # type: ignore[misc] # the class of paths of this system
        def open(self, mode: str) -> object:
            return super().open(mode.replace("x", "w"))

    assert "numbered alike" in folders._try_exclusive(Careless(tmp_path))


def test_upper_and_lower_case_are_told_apart_or_it_is_said(tmp_path: Path) -> None:
    assert folders._try_case(tmp_path) == ""
    (tmp_path / "case").touch()
    assert "upper and lower case" in folders._try_case(tmp_path)


def test_hard_links_are_tried(tmp_path: Path) -> None:
    assert check_links(both(tmp_path)).level is Level.OK


def test_a_disk_without_hard_links_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    verdict = check_links(both(tmp_path))
    assert verdict.level is Level.WARNING
    assert "no hard links (Operation not permitted)" in verdict.what


def test_the_speed_of_the_disk_is_tried(tmp_path: Path) -> None:
    assert check_fsync(both(tmp_path)).what
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seconds", "level"), [(0.0003, Level.OK), (0.3, Level.WARNING)])
def test_a_slow_disk_is_a_warning(seconds: float, level: Level) -> None:
    verdict: Verdict = fsync_verdict(seconds)
    assert verdict.level is level
    assert ("out_dir=" in verdict.fix) is (level is Level.WARNING)


def test_the_file_system_is_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    inner = tmp_path / "a b"
    inner.mkdir()
    escaped = str(inner).replace(" ", "\\040")
    mounts.write_text(f"x / ext4 rw 0 0\nx {escaped} nfs4 rw 0 0\nx /nowhere xfs rw 0 0\nodd\n")
    assert filesystem(inner / "c", mounts) == "nfs4"
    assert filesystem(tmp_path, mounts) == "ext4"
    assert filesystem(tmp_path, tmp_path / "none") == "unknown disk"
