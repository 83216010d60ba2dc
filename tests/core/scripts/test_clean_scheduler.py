import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mml.config_loading import compose
from mml.core.data_loading import claims
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_preparation.publish import Workbench
from mml.core.scripts.clean_scheduler import CleanScheduler
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.portable_paths import PathRoots
from tests.conftest import MmlCli
from tests.support.caches import make_cache
from tests.support.tasks import make_task
from tests.support.toy_scheduler import Toy, only_run, runs_of, start_child, toy_config

Clean = Callable[..., str]


@pytest.fixture
def clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Clean:
    """Run the mode with data and results below `tmp_path` and return what it prints."""

    def call(*overrides: str) -> str:
        capsys.readouterr()
        MMLFileManager.clear_instance()
        scheduler(tmp_path, *overrides).run()
        return capsys.readouterr().out

    return call


def scheduler(root: Path, *overrides: str) -> CleanScheduler:
    folders = [f"data_dir={root / 'data'}", f"out_dir={root / 'results'}"]
    return CleanScheduler(compose(["mode=clean", *folders, *overrides]))


def write(root: Path, name: str, owner: str | None = claims.NO_OWNER, text: str = "x") -> Path:
    """Write a file of the project as a run would; with owner None as somebody else would."""
    path = root / "results" / "default" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if owner is not None:
        assert claims.claim(path, owner)
    path.write_text(text)
    return path


def write_model(root: Path, task: str, number: int = 1) -> tuple[Path, Path]:
    """Store weights and the record that refers to them; return both files."""
    weights = write(root, f"PARAMETERS/{task}/model_{number:04}.safetensors")
    record = write(root, f"MODELS/{task}/model_{number:04}.json")
    model = ModelStorage(task=task, fold=0, parameters=weights, created=datetime(2026, 11, 20, tzinfo=UTC))
    model.store(record, PathRoots(root / "results", root / "data"))
    return weights, record


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_alone_it_shows_what_there_is_and_removes_nothing(clean: Clean, tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, f"PREDICTIONS/digits/test_{number:04}.json", text="x" * 700)
    write(tmp_path, "PLOTS/digits/curve_0001.png")
    Toy(toy_config(tmp_path, mode__n=1)).run()
    make_cache(tmp_path / "data", "stripes")
    before = files_below(tmp_path)
    out = clean()
    shown = {row[0]: row[1:] for line in out.splitlines() if len(row := re.split(r"\s{2,}", line.strip())) == 3}
    assert shown["predictions"] == ["2", "1.4 kB"]
    assert shown["plots"][0] == "2"
    assert {"runs_finished", "cache", "toy_all"} <= set(shown)
    assert "Nothing was removed. To remove, name kinds: mml clean mode.kinds=[<kind>,<kind>]" in out
    assert files_below(tmp_path) == before


def test_looking_at_an_empty_project_makes_no_folder(clean: Clean, tmp_path: Path) -> None:
    assert f"There is nothing to clean in {tmp_path / 'results' / 'default'}" in clean()
    assert list(tmp_path.iterdir()) == []


def test_the_command_proposed_keeps_project_and_tasks(clean: Clean, tmp_path: Path) -> None:
    for name in ("stripes", "dots"):
        make_task(tmp_path / "data", name)
    path = write(tmp_path, "PLOTS/stripes/curve_0001.png")
    path.parents[2].rename(tmp_path / "results" / "other")
    assert "mml clean task=stripes proj=other mode.kinds=" in clean("proj=other", "task=stripes")
    assert "mml clean task=[stripes,dots] proj=other" in clean("proj=other", "task=[stripes,dots]")


def test_the_kinds_asked_for_go_and_all_else_stays(clean: Clean, tmp_path: Path) -> None:
    gone = [write(tmp_path, name) for name in ("PREDICTIONS/digits/test_0001.json", "PLOTS/digits/curve_0001.png")]
    kept = [
        write(tmp_path, name) for name in ("METRICS/digits/test_0001.json", "PARAMETERS/digits/model_0001.safetensors")
    ]
    out = clean("mode.kinds=[predictions,plots]", "mode.yes=true")
    assert "Removed 2 files, 2 B." in out
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)
    assert not gone[0].parents[1].exists()


@pytest.mark.parametrize(
    "name",
    ["PLOTS/digits/notes.txt", "PLOTS/digits/holiday_2024.png", "PLOTS/mine.png", "notes.md", "runs/readme.txt"],
)
def test_files_of_somebody_else_stay(clean: Clean, tmp_path: Path, name: str) -> None:
    write(tmp_path, "PLOTS/digits/curve_0001.png")
    foreign = write(tmp_path, name, owner=None)
    every = ",".join(scheduler(tmp_path)._all_kinds())
    clean(f"mode.kinds=[{every}]", "mode.yes=true")
    assert files_below(tmp_path) == {foreign}


def test_links_out_of_the_project_are_not_followed(clean: Clean, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "digits" / "model_0001.safetensors"
    outside.parent.mkdir(parents=True)
    outside.touch()
    project = tmp_path / "results" / "default"
    project.mkdir(parents=True)
    (project / "PARAMETERS").symlink_to(tmp_path / "outside")
    assert "There is nothing of kind parameters." in clean("mode.kinds=[parameters]", "mode.yes=true")
    assert outside.exists()
    assert (project / "PARAMETERS").is_symlink()


def test_files_of_a_running_run_stay(clean: Clean, tmp_path: Path) -> None:
    Toy(toy_config(tmp_path, mode__n=2)).run()
    with start_child(toy_config(tmp_path, mode__trap="begin2:wait")) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running = runs_of(tmp_path)[-1]
        out = clean("mode.kinds=[toy_all,toy_scrap,runs_finished,runs_crashed]", "mode.yes=true")
        assert f"stays: {running.name}." in out
        assert (running / "temp" / "scrap.txt").exists()
        assert len(list((tmp_path / "results" / "default" / "TOY").glob("all_*.txt"))) == 2
        assert runs_of(tmp_path) == [running]
        child.communicate("\n")
        assert child.returncode == 0


def test_a_run_that_starts_after_the_look_keeps_its_files(tmp_path: Path) -> None:
    with start_child(toy_config(tmp_path, mode__trap="begin1:SIGKILL")) as child:
        child.communicate()
    run = only_run(tmp_path)
    cleaner = scheduler(tmp_path, "mode.kinds=[toy_all,runs_crashed]", "mode.yes=true")
    cleaner.look()
    with start_child(toy_config(tmp_path, mode__trap="begin1:wait", **{"continue": run.name})) as child:
        assert child.stdout is not None
        child.stdout.readline()
        for kind in cleaner.kinds:
            cleaner.remove_kind(kind)
        assert len(list((tmp_path / "results" / "default" / "TOY").glob("all_*.txt"))) == 1
        child.kill()
        child.communicate()
    assert run.exists()


def test_what_killed_runs_left_goes_too(clean: Clean, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "default" / "PLOTS" / "digits"
    folder.mkdir(parents=True)
    claims.claim(folder / "curve_0001.png", "gone_run")
    (folder / ".curve_0001.png.a1b2c3d4.tmp").touch()
    (row,) = (line for line in clean().splitlines() if line.startswith("plots"))
    assert row.split() == ["plots", "0", "0", "B", "2"]
    clean("mode.kinds=[plots]", "mode.yes=true")
    assert list((tmp_path / "results" / "default").iterdir()) == []


def test_a_task_limits_the_removal_to_itself(clean: Clean, tmp_path: Path) -> None:
    for name in ("stripes", "dots"):
        make_task(tmp_path / "data", name)
        Toy(toy_config(tmp_path, task_list=[name], mode__n=1)).run()
    both = toy_config(tmp_path, task_list=["stripes", "dots"], mode__n=1)
    Toy(both).run()
    clean("task=dots", "mode.kinds=[toy,toy_all,runs_finished]", "mode.yes=true")
    project = tmp_path / "results" / "default"
    assert len(list((project / "TOY" / "stripes").glob("*.txt"))) == 2
    assert not (project / "TOY" / "dots").exists()
    assert len(list((project / "TOY").glob("all_*.txt"))) == 3
    assert len(runs_of(tmp_path)) == 2


def test_results_of_a_task_that_is_gone_can_be_removed(clean: Clean, tmp_path: Path) -> None:
    file = write(tmp_path, "PLOTS/gone/curve_0001.png")
    clean("task=gone", "mode.kinds=[plots]", "mode.yes=true")
    assert not file.exists()


def test_an_unknown_task_is_refused_with_the_nearest_names(tmp_path: Path) -> None:
    write(tmp_path, "PLOTS/stripes/curve_0001.png")
    with pytest.raises(UnknownNameError, match="Unknown task 'strips'. Did you mean 'stripes'?"):
        scheduler(tmp_path, "task=strips").run()


def test_an_unknown_kind_is_refused_with_the_nearest_names(tmp_path: Path) -> None:
    file = write(tmp_path, "PLOTS/digits/curve_0001.png")
    with pytest.raises(UnknownNameError, match="'plot'. Did you mean 'plots'?"):
        scheduler(tmp_path, "mode.kinds=[plots,plot]", "mode.yes=true").run()
    assert file.exists()


def test_where_nobody_can_answer_it_refuses_and_removes_nothing(mml_cli: MmlCli, tmp_path: Path) -> None:
    file = write(tmp_path, "PLOTS/digits/curve_0001.png")
    refused = mml_cli("clean", "mode.kinds=[plots]")
    assert refused.returncode == 2
    assert "mode.yes=true" in refused.stderr
    assert file.exists()
    agreed = mml_cli("clean", "mode.kinds=[plots]", "mode.yes=true")
    assert agreed.returncode == 0, agreed.stderr
    assert not file.exists()


def test_without_standard_input_nobody_can_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(MMLMisconfigurationException, match="mode.yes=true"):
        scheduler(tmp_path, "mode.kinds=[plots]").run()


@pytest.mark.parametrize(
    ("answer", "removed"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False), ("\x04", False)]
)
def test_at_a_terminal_it_asks_and_does_as_it_is_told(tmp_path: Path, answer: str, removed: bool) -> None:
    file = write(tmp_path, "PLOTS/digits/curve_0001.png")
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "mml", "clean", "mode.kinds=[plots]"]
    os.write(master, answer.encode())
    with subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as child:
        out, _ = child.communicate()
    os.close(terminal)
    os.close(master)
    assert child.returncode == 0
    assert "Remove 1 file, 1 B (plots)? [y/N]" in out
    assert ("Nothing was removed." in out) is not removed
    assert file.exists() is not removed


def test_nothing_is_asked_when_there_is_nothing(clean: Clean, tmp_path: Path) -> None:
    write(tmp_path, "PLOTS/digits/curve_0001.png")
    assert "There is nothing of kind predictions, metrics." in clean(
        "mode.kinds=[predictions,metrics]", "mode.yes=true"
    )


def test_weights_that_records_refer_to_are_pointed_out(clean: Clean, tmp_path: Path) -> None:
    write_model(tmp_path, "digits")
    noted = "the records of 1 model refer to these files, and stay. Add models to mode.kinds"
    assert noted in clean("mode.kinds=[parameters]", "mode.yes=true")
    write_model(tmp_path, "other")
    assert "refer to these files" not in clean("mode.kinds=[parameters,models]", "mode.yes=true")


def test_the_number_of_weights_stays_taken_while_a_record_refers_to_them(clean: Clean, tmp_path: Path) -> None:
    weights, record = write_model(tmp_path, "digits")
    clean("mode.kinds=[parameters]", "mode.yes=true")
    assert not weights.exists()
    assert not claims.claim(weights, "a_new_run")
    assert "parameters" not in clean()
    clean("mode.kinds=[models]", "mode.yes=true")
    assert not record.exists()
    clean("mode.kinds=[parameters]", "mode.yes=true")
    assert not weights.parent.exists()


def test_a_damaged_model_record_refers_to_nothing(clean: Clean, tmp_path: Path) -> None:
    weights, record = write_model(tmp_path, "digits")
    record.write_text("{")
    assert "refer to these files" not in clean("mode.kinds=[parameters]", "mode.yes=true")
    assert not weights.exists()


def test_runs_that_could_be_continued_are_pointed_out(clean: Clean, tmp_path: Path) -> None:
    with start_child(toy_config(tmp_path, mode__trap="begin1:SIGKILL")) as child:
        child.communicate()
    run = only_run(tmp_path)
    noted = f"can't be continued when this is gone: {run.name}"
    assert noted in clean("mode.kinds=[toy_all]", "mode.yes=true")
    assert not claims.claim(tmp_path / "results" / "default" / "TOY" / "all_0001.txt", "a_new_run")
    assert noted in clean("mode.kinds=[runs_crashed,toy_all]", "mode.yes=true")
    assert not run.exists()
    assert claims.claim(tmp_path / "results" / "default" / "TOY" / "all_0001.txt", "a_new_run")


def test_stale_creations_and_the_cache_go_by_kind(clean: Clean, tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "data", "stripes")
    bench = Workbench(tmp_path / "data" / "tasks", "digits")
    with bench.locked():
        (bench.begin("some_run-0123abcd") / "half.png").touch()
    assert "Removed 1 file" in clean("mode.kinds=[creations]", "mode.yes=true")
    assert not bench.folder.exists()
    assert cache.exists()
    clean("mode.kinds=[cache]", "mode.yes=true")
    assert not cache.exists()
    assert (tmp_path / "data" / "tasks" / "stripes" / "task.json").exists()


def test_the_cache_of_a_task_in_use_stays(clean: Clean, tmp_path: Path) -> None:
    cache = make_cache(tmp_path / "data", "stripes")
    config = toy_config(tmp_path, proj="other", task_list=["stripes"], mode__trap="begin0:wait")
    with start_child(config) as child:
        assert child.stdout is not None
        child.stdout.readline()
        clean("mode.kinds=[cache]", "mode.yes=true")
        assert cache.exists()
        child.kill()
        child.communicate()


def test_what_could_not_be_removed_is_told_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Toy(toy_config(tmp_path, mode__n=1)).run()
    (only_run(tmp_path) / "notes.txt").write_text("mine")
    with pytest.raises(MMLError, match=r"1 thing could not be removed:\nRun .* stays: not mml's are notes.txt"):
        scheduler(tmp_path, "mode.kinds=[runs_finished,toy_all]", "mode.yes=true").run()
    assert "Removed 1 file" in capsys.readouterr().out


def test_what_the_system_refuses_is_told_with_its_reason(tmp_path: Path) -> None:
    file = write(tmp_path, "PLOTS/digits/curve_0001.png")
    cleaner = scheduler(tmp_path, "mode.kinds=[plots]", "mode.yes=true")
    cleaner.look()
    file.unlink()
    file.parent.joinpath(".claims", file.name).unlink()
    file.parent.joinpath(".claims").rmdir()
    file.parent.rmdir()
    file.parent.touch()  # a file stands where a folder was
    cleaner.remove_kind("plots")
    assert cleaner.stays == [f"{file}: Not a directory."]


@pytest.mark.parametrize(("subroutines", "shown", "removed"), [("[show]", True, False), ("[remove]", False, True)])
def test_subroutines_show_and_remove_by_themselves(
    clean: Clean, tmp_path: Path, subroutines: str, shown: bool, removed: bool
) -> None:
    file = write(tmp_path, "PLOTS/digits/curve_0001.png")
    out = clean(f"mode.subroutines={subroutines}", "mode.kinds=[plots]", "mode.yes=true")
    assert ("Project default in" in out) is shown
    assert file.exists() is not removed


def test_one_kind_may_be_given_without_brackets(clean: Clean, tmp_path: Path) -> None:
    file = write(tmp_path, "PLOTS/digits/curve_0001.png")
    clean("mode.kinds=plots", "mode.yes=true")
    assert not file.exists()
