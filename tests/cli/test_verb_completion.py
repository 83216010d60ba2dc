"""What TAB offers on a line of a verb with flags of its own."""

from pathlib import Path

import pytest

from mml.core.scripts.run_labels import set_label
from mml.verb_completion import verb_words
from tests.cli.conftest import Mml
from tests.packaging.test_startup_imports import imported
from tests.support.runs import NAME, make_run


@pytest.fixture(autouse=True)
def root(tmp_path: Path) -> Path:
    make_run(tmp_path / "results")
    set_label(tmp_path / "results" / "default", NAME, "best")
    set_label(tmp_path / "results" / "default", "other", "two words")
    return tmp_path / "results"


def offered(line: str) -> list[str]:
    *words, word = line.split(" ")
    return verb_words(tuple(words), word)


RUNS = sorted([NAME, "best", "latest"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("runs ", ["diff", "gc", "label", "list", "log", "rm", "show"]),
        ("runs s", ["show"]),
        ("runs --st", ["--state"]),
        ("runs list --st", ["--state"]),
        ("runs --state cr", ["crashed"]),
        ("runs --state=f", ["--state=failed", "--state=finished"]),
        ("runs state=f", ["state=failed", "state=finished"]),
        ("runs --sort me", ["metric"]),
        ("runs proj=", ["proj=default"]),
        ("runs --project ", ["default"]),
        ("runs text", []),
        ("runs list ", []),
        ("runs show ", RUNS),
        ("runs show b", ["best"]),
        ("runs show --js", ["--json"]),
        ("runs show --json ", RUNS),
        ("runs show best ", []),
        ("runs diff best ", RUNS),
        ("runs diff best latest ", []),
        ("runs rm a b c ", RUNS),
        ("runs label best ", []),
        ("runs gc --d", ["--dry-run"]),
        ("runs gc ", []),
        ("status ", RUNS),
        ("status --w", ["--watch"]),
        ("status best ", []),
        ("doctor --", ["--help", "--json"]),
        ("doctor out", ["out_dir="]),
    ],
)
def test_what_may_follow_is_offered(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_workers_are_those_of_the_run(root: Path) -> None:
    assert offered(f"runs log {NAME} --worker=") == []
    for name in ("box-1", "box-2"):
        (root / "default" / "runs" / NAME / "workers" / name).mkdir(parents=True)
    (root / "default" / "runs" / NAME / "workers" / "followed.json").touch()
    assert offered(f"runs log {NAME} --worker b") == ["box-1", "box-2"]
    assert offered("runs log --worker=") == ["--worker=box-1", "--worker=box-2"]
    assert offered("runs log nowhere --worker=") == []


def test_runs_are_those_of_the_folder_on_the_line(root: Path, tmp_path: Path) -> None:
    root.rename(tmp_path / "moved")
    assert offered("runs show ") == ["latest"]
    assert offered("runs show out_dir=moved ") == RUNS
    assert offered(f"status --out-dir={tmp_path}/moved ") == RUNS


def test_the_shell_gets_it_line_by_line_and_without_what_hydra_offers(
    mml: Mml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_LINE", "mml runs show ")
    assert mml("-sc", "query=bash").out.split() == RUNS


def test_tab_loads_nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "mml runs show ")
    assert "torch" not in imported("-m", "mml", "-sc", "query=bash")
