"""A worker sees the driver's modules, lives in a folder that is locked, and prints into its log alone."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.lock_probe import probe
from mml.runners.base import WorkerSetup
from mml.runners.hosting import hosted, see_modules


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "journal.jsonl").touch()
    return tmp_path


def test_folder_is_locked_as_long_as_the_worker_lives(run: Path) -> None:
    with hosted(WorkerSetup(str(run), {}), "host-1") as folder:
        assert folder == run / "workers" / "host-1"
        assert probe(folder / "run.lock")
    assert not probe(folder / "run.lock")


def test_all_that_is_printed_goes_to_the_log_and_afterwards_no_more(run: Path) -> None:
    code = f"""
        import os, sys
        from mml.runners.base import WorkerSetup
        from mml.runners.hosting import hosted
        print("before", flush=True)
        with hosted(WorkerSetup({str(run)!r}, {{}}), "w"):
            print("python")
            os.write(1, b"library\\n")
            os.write(2, b"error\\n")
        print("after")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "before\nafter\n"
    # In the order of printing: nobody has to wait for the end of a step to see what it prints.
    assert (run / "workers" / "w" / "exp.log").read_text() == "python\nlibrary\nerror\n"


def test_worker_that_does_not_see_the_run_folder_says_so(tmp_path: Path) -> None:
    setup = WorkerSetup(str(tmp_path / "elsewhere"), {})
    with pytest.raises(MMLMisconfigurationException, match=r"w does not see the run folder .*elsewhere.*out_dir="):
        hosted(setup, "w").__enter__()
    assert list(tmp_path.iterdir()) == []


def test_modules_of_the_driver_are_seen_after_those_of_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    first = sys.path[0]
    before = sys.path.count(first)
    see_modules(WorkerSetup("", {}, search_path=[first, "/of/the/driver"], directory=str(tmp_path)))
    assert sys.path[0] == first
    assert sys.path[-1] == "/of/the/driver"
    assert sys.path.count(first) == before
    assert Path.cwd() == tmp_path


def test_folder_that_the_machine_does_not_have_is_no_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    see_modules(WorkerSetup("", {}, directory=str(tmp_path / "gone")))
    assert Path(os.getcwd()) == tmp_path  # noqa: PTH109 # what the system says
