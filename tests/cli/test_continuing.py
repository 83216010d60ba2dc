import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mml.continuing import (
    Difference,
    by_option,
    changed_leaves,
    differences,
    find_continue,
    is_where,
    merge_overrides,
    pick_run,
    read_overrides,
    read_stored,
    refusal,
)
from mml.core.scripts.exceptions import ContinueError
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import run_folders
from tests.cli.conftest import Mml, Said
from tests.support.toy_scheduler import only_run

TRAPPED = ("toy", "mode.trap=end1:error")


def snapshot(folder: Path) -> dict[Path, bytes]:
    """Return the bytes and times of all files of a folder."""
    return {
        path: path.read_bytes() + str(path.stat().st_mtime_ns).encode() for path in folder.rglob("*") if path.is_file()
    }


def release(run: Path) -> None:
    """Spring the trap of a run, so that it can go on."""
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("trap: end1:error", "trap: null"))


def refused(said: Said, folder: Path, before: dict[Path, bytes]) -> str:
    assert said.code == 2, said.err
    assert snapshot(folder) == before
    return said.err


@pytest.fixture
def run(toy: Mml, tmp_path: Path) -> Path:
    """Return the folder of a run that failed in its second step."""
    assert toy(*TRAPPED).code == 1
    return only_run(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "run"),
    [
        ([], None),
        (["seed=1"], None),
        (["continue=null"], None),
        (["continue=latest"], "latest"),
        (["seed=1", "continue='p/r'"], "p/r"),
        (["++continue=2026"], "2026"),
    ],
)
def test_the_run_to_continue_is_found_among_overrides(overrides: list[str], run: str | None) -> None:
    assert find_continue(overrides) == run


@pytest.mark.parametrize("overrides", [["continue=a,b"], ["continue=[a]"], ["continue=a", "continue=b"]])
def test_several_runs_are_refused(overrides: list[str]) -> None:
    with pytest.raises(ContinueError, match="one run can be continued"):
        find_continue(overrides)


@pytest.mark.parametrize(
    ("key", "may"),
    [
        ("trainer.devices", True),
        ("trainer.accelerator", True),
        ("sampling.num_workers", True),
        ("logging.level", True),
        ("sys.allow_gpu", True),
        ("runner._target_", True),
        ("data_dir", True),
        ("trainer.max_epochs", False),
        ("sampling.batch_size", False),
        ("seed", False),
        ("loggings.level", False),
    ],
)
def test_what_says_where_a_run_goes_on_may_change(key: str, may: bool) -> None:
    assert is_where(key) is may


def test_of_two_overrides_for_one_key_the_later_stays() -> None:
    stored, asked = ["mode=train", "+a=1", "optimizer=sgd", "b=[1,2]"], ["optimizer=adamw", "++a=2", "~b"]
    assert merge_overrides(stored, asked) == ["mode=train", "optimizer=adamw", "++a=2", "~b"]


def test_configs_are_compared_leaf_by_leaf() -> None:
    has = {"a": {"b": 1, "c": [1, 2]}, "d": {}, "same": None}
    asked = {"a": {"b": 2, "c": [1, 3]}, "d": {"e": 1}, "same": None}
    assert [(change.key, change.has, change.asked) for change in differences(has, asked)[:2]] == [
        ("a.b", 1, 2),
        ("a.c", [1, 2], [1, 3]),
    ]
    assert sorted(change.key for change in differences(has, asked)) == ["a.b", "a.c", "d", "d.e"]


def test_a_reference_differs_when_its_value_does_and_it_is_written_otherwise() -> None:
    base = OmegaConf.create({"workers": 1, "own": "${workers}", "lr": "${rate}", "rate": 0.1, "hydra": {"x": 1}})
    other = OmegaConf.create({"workers": 2, "own": "${workers}", "lr": 0.1, "rate": 0.1, "hydra": {"x": 2}})
    assert changed_leaves(base, other) == [Difference("workers", 1, 2)]
    moved = OmegaConf.create({"workers": 1, "own": 7, "lr": "${rate}", "rate": 0.1})
    assert changed_leaves(base, moved) == [Difference("own", 1, 7)]
    nowhere = OmegaConf.create({"workers": "${gone}"})
    assert changed_leaves(nowhere, OmegaConf.create({"workers": "${gone_too}"})) == [
        Difference("workers", "${gone}", "${gone_too}")
    ]


def test_keys_of_a_group_whose_option_changes_are_said_by_the_option() -> None:
    changes = [Difference("optimizer.lr", 1, 2), Difference("optimizer.betas", 1, 2), Difference("seed", 1, 2)]
    option = Difference("optimizer", "sgd", "adamw")
    assert by_option(changes, [option]) == [option, changes[2]]


def test_a_refusal_is_a_table_of_what_the_run_has_and_what_was_asked_for() -> None:
    changes = [Difference("a.long.key", True, None), Difference("b", "x" * 99, [1])]
    text = refusal("r", [*changes, *(Difference(f"k{number}", 0, 1) for number in range(20))]).splitlines()
    assert text[0] == "Run 'r' can only be continued as it is; it was not touched."
    assert text[1].split() == ["key", "run", "has", "you", "asked", "for"]
    assert text[2].split() == ["a.long.key", "true", "null"]
    assert text[3].split() == ["b", "x" * 57 + "...", "[1]"]
    assert text[-2].strip() == "... and 10 more"


def test_records_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ContinueError, match=r"config.yaml can't be read: .*No such file"):
        read_stored(tmp_path)
    (tmp_path / "config.yaml").write_text("just words")
    with pytest.raises(ContinueError, match="config.yaml holds no config"):
        read_stored(tmp_path)
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(ContinueError, match="config.yaml can't be read"):
        read_stored(tmp_path)
    (tmp_path / "overrides.yaml").write_text("a: 1")
    with pytest.raises(ContinueError, match="overrides.yaml holds no list"):
        read_overrides(tmp_path)


def test_a_run_goes_on_where_it_stopped_with_the_config_it_has(toy: Mml, mml: Mml, run: Path) -> None:
    release(run)
    said = mml("continue")
    assert said.code == 0, said.err
    assert "step 2/3" in said.out + said.err
    assert "step 1/3" not in said.out + said.err
    assert "finished" in (run / "journal.jsonl").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["continue", "<RUN>"],
        ["continue", "default/<RUN>"],
        ["continue", "<RUN>", "proj=default", "out_dir=results"],
        ["continue=<RUN>"],
        ["continue", "latest"],
    ],
)
def test_a_run_is_named_in_many_ways(mml: Mml, run: Path, words: list[str]) -> None:
    said = mml(*[word.replace("<RUN>", run.name) for word in words], "--cfg", "job", "-p", "continue")
    assert (said.code, said.out.strip()) == (0, run.name), said.err


def test_the_same_values_again_are_no_change(toy: Mml, run: Path) -> None:
    release(run)
    (run / "overrides.yaml").write_text("- mode=toy\n")
    assert toy("toy", "seed=42", "optimizer=adamw", "continue=latest").code == 0


def test_where_a_run_goes_on_may_change_and_nothing_else_does(toy: Mml, run: Path) -> None:
    changes = ["trainer.devices=7", "sampling.num_workers=3", "logging.level=DEBUG", "sys.num_workers=5", "data_dir=/d"]
    shown = toy("continue", *changes, "--cfg", "job")
    assert shown.code == 0, shown.err
    cfg = OmegaConf.create(shown.out)
    assert (cfg.trainer.devices, cfg.sampling.num_workers, cfg.data_dir) == (7, 3, "/d")
    assert (cfg.logging.level, cfg.sys.num_workers) == ("DEBUG", 5)
    stored = read_stored(run)
    for key in ("mode", "seed", "optimizer", "out_dir"):
        assert cfg[key] == stored[key]


def test_run_goes_on_with_another_runner_without_the_settings_of_the_first(toy: Mml, tmp_path: Path) -> None:
    started = ["runner=local", "runner.workers=2", "+runner.resources.work={cpus: 1}"]
    toy("toy", "mode.trap=end1:error", *started, "proj=moved")
    shown = toy("continue", "proj=moved", "runner=serial", "--cfg", "job")
    assert shown.code == 0, shown.err
    assert OmegaConf.create(shown.out).runner == {"_target_": "mml.runners.serial.SerialRunner"}
    kept = toy("continue", "proj=moved", "runner.workers=1", "--cfg", "job")
    assert (OmegaConf.create(kept.out).runner.workers, OmegaConf.create(kept.out).runner.resources) == (
        1,
        {"work": {"cpus": 1}},
    )
    assert toy("continue", "proj=moved", "runner=serial", "mode.trap=null").code == 2


def test_what_code_would_say_today_does_not_count_against_the_stored_config(mml: Mml, run: Path) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("seed: 42", "seed: 43"))
    shown = mml("continue", "--cfg", "job", "-p", "seed")
    assert shown.out.strip() == "43"


def test_a_where_key_may_be_added_and_taken_away(toy: Mml, run: Path) -> None:
    shown = toy("continue", "+sys.nice=19", "~logging.tensorboard", "--cfg", "job")
    cfg = OmegaConf.create(shown.out)
    assert cfg.sys.nice == 19
    assert "tensorboard" not in cfg.logging


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (["continue", "latest", "seed=3"], ["seed  42       3"]),
        (
            ["toy", "continue=latest", "mode.n=9", "mode.trap=null"],
            ["mode.n     3           9", "mode.trap  end1:error  null"],
        ),
        (["info", "continue=latest"], ["mode  toy      info"]),
        (["continue", "optimizer=sgd"], ["optimizer  adamw    sgd"]),
        (["continue", "search_space=optimizer"], ["search_space  none     optimizer"]),
        (["continue", "tasks=starter"], ["tasks      none     starter", "task_list  []"]),
        (["continue", "+mode.more=1"], ["mode.more  <nothing>  1"]),
    ],
)
def test_a_change_of_what_a_run_is_gets_refused_with_a_table(
    toy: Mml, run: Path, words: list[str], rows: list[str]
) -> None:
    before = snapshot(run)
    said = refused(toy(*words), run, before)
    for row in rows:
        assert row in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["continue", "--multirun"], "--multirun does not go with `continue`"),
        (["toy", "-m", "seed=1,2", "continue=latest"], "--multirun does not go with `continue`"),
        (["continue", "--config-name", "other"], "--config-name does not go with `continue`"),
        (["continue", "hydra.mode=MULTIRUN"], "hydra.mode=MULTIRUN does not go with `continue`"),
        (["continue", "hydra.sweep.dir=here"], "hydra.sweep.dir=here does not go with `continue`"),
        (["continue", "hydra/launcher=basic"], "hydra/launcher=basic does not go with `continue`"),
        (["continue", "trainr.devices=2"], "Unknown config key 'trainr.devices'"),
        (["continue", "optimizer=sdg"], "Unknown option of 'optimizer' 'sdg'"),
        (["continue", "latest", "again"], "'again' is no setting"),
        (["continue", "nothing_like_it"], "There is no run 'nothing_like_it' in"),
        (["continue", "other/<RUN>"], "There is no run"),
        (["continue", "default/<RUN>", "proj=other"], "name two projects"),
        (["continue", "../runs/<RUN>"], "can't be the name of a run"),
        (["continue="], "'continue='"),
    ],
)
def test_what_can_not_be_continued_is_refused_and_the_run_stays_as_it_is(
    toy: Mml, run: Path, words: list[str], reason: str
) -> None:
    before = snapshot(run)
    assert reason in refused(toy(*[word.replace("<RUN>", run.name) for word in words]), run, before)


def test_a_near_miss_is_told_the_run_it_may_mean(mml: Mml, run: Path) -> None:
    assert f"Did you mean '{run.name}'?" in mml("continue", run.name[:-1]).err


def test_what_refers_to_a_changed_place_changes_with_it(toy: Mml, toy_configs: Path, tmp_path: Path) -> None:
    mode = toy_configs / "mode" / "toy.yaml"
    mode.write_text(mode.read_text() + "workers: ${sys.num_workers}\n")
    assert toy(*TRAPPED).code == 1
    shown = toy("continue", "sys.num_workers=3", "--cfg", "job", "-p", "mode.workers")
    assert shown.out.strip() == "3", shown.err


def test_a_run_that_was_killed_before_it_wrote_its_config_is_passed_over(mml: Mml, run: Path) -> None:
    early = run.with_name(f"{run.name}_9")
    early.mkdir()
    assert mml("continue", "--cfg", "job", "-p", "continue").out.strip() == run.name
    assert "killed before it had written its config" in mml("continue", early.name).err


def test_a_finished_run_is_refused_by_name_and_passed_over_by_latest(toy: Mml, mml: Mml, run: Path) -> None:
    assert toy("toy").code == 0
    done = run_folders(run.parent.parent)[-1]
    before = snapshot(done)
    said = refused(mml("continue", done.name), done, before)
    assert f"Run '{done.name}' of project 'default' is finished" in said
    assert f"mml continue {run.name}" in said
    assert mml("continue", "--cfg", "job", "-p", "continue").out.strip() == run.name


def test_without_anything_to_continue_the_newest_run_is_named(toy: Mml, mml: Mml, tmp_path: Path) -> None:
    assert "There is no run in" in mml("continue").err
    assert toy("toy").code == 0
    said = mml("continue")
    assert said.code == 2
    assert f"the newest is finished: {only_run(tmp_path).name}" in said.err


def test_runs_of_other_projects_are_offered_when_this_one_has_none(mml: Mml, run: Path) -> None:
    said = mml("continue", "proj=other")
    assert (
        f"There is no run in {run.parents[2] / 'other' / 'runs'}. What can be continued: mml continue {run.name}."
        in said.err
    )
    shutil.move(run.parents[1], run.parents[2] / "named")
    assert f"mml continue {run.name} proj=named." in mml("continue", "latest").err


def test_a_results_folder_that_moved_is_continued_where_it_is(mml: Mml, run: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "results", tmp_path / "moved")
    shutil.move(tmp_path / "moved" / "default", tmp_path / "moved" / "renamed")
    cfg = OmegaConf.create(mml("continue", "out_dir=moved", "proj=renamed", "--cfg", "job").out)
    assert (cfg.out_dir, cfg.proj) == (str(tmp_path / "moved"), "renamed")


def test_a_running_run_is_refused_with_its_owner(mml: Mml, run: Path) -> None:
    release(run)
    with RunLock(run):
        before = snapshot(run)
        said = refused(mml("continue", run.name), run, before)
    assert "is running: process" in said


def test_a_damaged_run_is_refused_with_the_reason(mml: Mml, run: Path) -> None:
    journal = run / "journal.jsonl"
    journal.write_text("no json\n" + journal.read_text())
    before = snapshot(run)
    assert "journal.jsonl" in refused(mml("continue", run.name), run, before)
    with pytest.raises(ContinueError, match="newest is damaged"):
        pick_run("latest", run.parents[1])


def test_overrides_that_do_not_compose_any_more_are_the_runs_not_the_users(mml: Mml, run: Path) -> None:
    before = snapshot(run)
    said = refused(mml("continue", "logging.level=DEBUG"), run, before)  # the config folder of the run is not given
    assert f"The overrides of run '{run.name}' can't be composed any more" in said
