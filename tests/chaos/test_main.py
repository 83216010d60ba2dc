"""`python -m chaos`: what it refuses, what it prints and writes, and its exit code."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from chaos import __main__ as command
from chaos.table import BEGIN, END, Options, Row

GOOD = Row("nothing at all", 5, 5, 0, 0)


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    """Offer two modules that return what is in the dict, and `asked`, the options that they were given."""
    rows = {"calm": [GOOD], "wild": [GOOD]}
    monkeypatch.setattr(command, "MODULES", {"calm": "nothing", "wild": "everything"})
    for name in rows:
        module = ModuleType(f"chaos.{name}")
        module.__spec__ = sys.__spec__ or command.__spec__
        module.run = lambda options, name=name: leave(options) or rows[name]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"chaos.{name}", module)
    return rows


def leave(options: Options) -> None:
    (options.folder / "trace").write_text(repr(options[:3]))


def test_unknown_modules_are_refused_with_the_nearest(
    modules: dict[str, list[Row]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(["clam"])
    assert refused.value.code == 2
    assert "Did you mean 'calm'?" in capsys.readouterr().err


@pytest.mark.parametrize("points", ["0", "-1", "many"])
def test_counts_are_counts(points: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--points", points])
    assert "at least 1" in capsys.readouterr().err


def test_all_modules_run_and_leave_nothing_when_nothing_is_lost(
    modules: dict[str, list[Row]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--folder", str(tmp_path / "work"), "--seed", "8"]) == 0
    shown = capsys.readouterr().out
    assert "nox -s chaos -- calm --seed 8" in shown and "nox -s chaos -- wild --seed 8" in shown
    assert list((tmp_path / "work").iterdir()) == []


def test_a_loss_is_exit_code_one_and_stays_to_be_looked_at(
    modules: dict[str, list[Row]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    modules["wild"] = [GOOD, GOOD._replace(survived=4)]
    assert command.main(["--folder", str(tmp_path), "--points", "7", "--quick"]) == 1
    assert "1 of the rows above show a loss" in capsys.readouterr().out
    (trace,) = tmp_path.rglob("trace")
    assert trace.parent.name == "wild" and trace.read_text() == "(3, 7, True)"


def test_only_what_is_named_runs_and_its_table_is_written(modules: dict[str, list[Row]], tmp_path: Path) -> None:
    document = tmp_path / "doc.md"
    document.write_text(f"{BEGIN}\n{END}\n")
    assert command.main(["wild", "--folder", str(tmp_path), "--write", "--document", str(document)]) == 0
    text = document.read_text()
    assert "nox -s chaos -- wild --seed 3" in text and "| nothing at all | 5 | 5 |" in text
    assert "calm" not in text


def test_help_names_every_module(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in command.MODULES)
