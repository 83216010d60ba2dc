"""`mml continue RUN --fork key=value`, as it is typed."""

import shlex
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mml.core.scripts.exceptions import ContinueError
from mml.core.scripts.run_folder import read_overrides, read_stored
from mml.forking import find_fork
from tests.cli.conftest import Mml, Said
from tests.support.stages import STAGES_MODE, newest, run_stages, taken_over
from tests.support.toy_scheduler import runs_of


@pytest.fixture
def stages(mml: Mml, tmp_path: Path) -> Mml:
    """Call `mml` in this process, with the mode `stages`."""
    folder = tmp_path / "configs" / "mode"
    folder.mkdir(parents=True)
    (folder / "stages.yaml").write_text(STAGES_MODE)
    return lambda *words: mml(*words, "--config-dir", str(folder.parent))


@pytest.fixture
def run(stages: Mml, tmp_path: Path) -> Path:
    """Return the folder of a finished run."""
    assert stages("stages", "optimizer.lr=0.5").code == 0
    return newest(tmp_path)


def table(said: Said) -> list[list[str]]:
    """Return the rows of the table of steps: step, taken over or not."""
    return [line.split()[:2] for line in said.err.splitlines() if line.split()[1:2] in (["yes"], ["no"])]


@pytest.mark.parametrize(
    ("overrides", "run"),
    [([], None), (["fork=null"], None), (["fork=latest", "seed=1"], "latest"), (["++fork='p/r'"], "p/r")],
)
def test_the_run_to_fork_is_found_among_overrides(overrides: list[str], run: str | None) -> None:
    assert find_fork(overrides) == run


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["fork=a,b"], "one run can be forked"),
        (["fork=a", "fork=b"], "one run can be forked"),
        (["fork="], "one run can be forked"),
        (["fork=a", "continue=a"], "either continued or forked"),
    ],
)
def test_several_runs_are_refused(overrides: list[str], reason: str) -> None:
    with pytest.raises(ContinueError, match=reason):
        find_fork(overrides)


def test_a_fork_is_a_new_run_that_takes_over_what_does_not_depend_on_the_change(
    stages: Mml, run: Path, tmp_path: Path
) -> None:
    said = stages("continue", run.name, "--fork", "mode.use=2")
    assert said.code == 0, said.err
    assert table(said) == [
        ["make(0)", "yes"],
        ["use(0)", "no"],
        ["make(1)", "yes"],
        ["use(1)", "no"],
        ["total(0)", "no"],
        ["total(1)", "no"],
    ]
    fork = newest(tmp_path)
    assert taken_over(fork) == [0, 2]
    stored = read_stored(fork)
    assert (stored.mode.use, stored.optimizer.lr, stored.fork, stored["continue"]) == (
        2,
        0.5,
        f"default/{run.name}",
        None,
    )
    assert read_overrides(fork) == ["mode=stages", "optimizer.lr=0.5", "mode.use=2"]


@pytest.mark.parametrize(
    "words",
    [
        ["continue", "--fork", "<RUN>", "mode.use=2"],
        ["continue", "mode.use=2", "<RUN>", "--fork"],
        ["continue", "default/<RUN>", "--fork", "mode.use=2"],
        ["continue", "--fork", "mode.use=2"],
        ["continue", "latest", "--fork", "mode.use=2"],
        ["stages", "fork=<RUN>", "mode.use=2"],
        ["fork=latest", "mode.use=2"],
        ["continue", "<RUN>", "--fork", "mode.use=2", "proj=default", "out_dir=results"],
    ],
)
def test_a_fork_is_asked_for_in_many_ways(stages: Mml, run: Path, words: list[str]) -> None:
    said = stages(*[word.replace("<RUN>", run.name) for word in words], "--cfg", "job")
    assert said.code == 0, said.err
    cfg = OmegaConf.create(said.out)
    assert (cfg.fork, cfg.mode.use, cfg.optimizer.lr) == (f"default/{run.name}", 2, 0.5)


def test_without_changes_everything_is_taken_over(stages: Mml, run: Path, tmp_path: Path) -> None:
    said = stages("continue", "--fork")
    assert said.code == 0, said.err
    assert "takes over 6 of 6 steps" in said.err
    assert "Changed since" not in said.err
    assert taken_over(newest(tmp_path)) == list(range(6))


def test_another_option_of_a_group_is_a_change(stages: Mml, run: Path, tmp_path: Path) -> None:
    said = stages("continue", run.name, "--fork", "optimizer=sgd")
    assert said.code == 0, said.err
    stored = read_stored(newest(tmp_path))
    assert (stored.optimizer._target_, stored.optimizer.lr) == ("torch.optim.SGD", 0.5)
    assert taken_over(newest(tmp_path)) == []


def test_keys_are_added_and_taken_away(stages: Mml, run: Path, tmp_path: Path) -> None:
    assert stages("continue", run.name, "--fork", "+mode.more=1", "~arch.width", "~tune").code == 0
    stored = read_stored(newest(tmp_path))
    assert (stored.mode.more, "width" in stored.arch, "tune" in stored) == (1, False, False)


def test_what_the_config_tree_says_today_does_not_count(stages: Mml, run: Path, tmp_path: Path) -> None:
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("seed: 42", "seed: 43"))
    assert stages("continue", run.name, "--fork", "mode.use=2").code == 0
    assert read_stored(newest(tmp_path)).seed == 43


def test_the_newest_run_is_forked_in_any_state_without_a_name(stages: Mml, run: Path, tmp_path: Path) -> None:
    assert stages("stages", "mode.trap=use1:error").code == 1
    failed = newest(tmp_path)
    (failed.parent / "9999-01-01_00-00-00_stages").mkdir()  # killed before it had a config
    assert stages("continue", "--fork", "mode.trap=null").code == 0
    assert read_stored(newest(tmp_path)).fork == f"default/{failed.name}"
    assert taken_over(newest(tmp_path)) == [0, 1, 2]


def test_a_fork_of_a_fork_and_a_fork_that_is_continued(stages: Mml, run: Path, tmp_path: Path) -> None:
    assert stages("continue", "--fork", "mode.use=2", "mode.trap=total0:error").code == 1
    fork = newest(tmp_path)
    config = fork / "config.yaml"
    config.write_text(config.read_text().replace("trap: total0:error", "trap: null"))
    said = stages("continue", fork.name)
    assert said.code == 0, said.err
    assert "takes over" not in said.err
    assert stages("continue", fork.name, "--fork", "mode.sum=2", "mode.trap=null").code == 0
    assert taken_over(newest(tmp_path)) == [0, 1, 2, 3]


def test_a_fork_may_go_to_another_project(stages: Mml, run: Path, tmp_path: Path) -> None:
    said = stages("continue", run.name, "--fork", "mode.use=2", "proj=other")
    assert said.code == 0, said.err
    assert taken_over(newest(tmp_path, "other")) == [0, 2]
    assert len(runs_of(tmp_path)) == 1
    back = stages("continue", f"other/{newest(tmp_path, 'other').name}", "--fork", "mode.use=3")
    assert back.code == 0, back.err
    assert taken_over(newest(tmp_path, "other")) == [0, 2]
    away = stages(
        "continue", f"other/{newest(tmp_path, 'other').name}", "--fork", "proj=third", "--cfg", "job", "-p", "proj"
    )
    assert away.out.strip() == "third"


def test_a_run_is_found_in_whatever_project_it_is(stages: Mml, run: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "results" / "default", tmp_path / "results" / "named")
    said = stages("continue", run.name, "--fork", "--cfg", "job")
    cfg = OmegaConf.create(said.out)
    assert (cfg.fork, cfg.proj) == (f"named/{run.name}", "named")
    shutil.copytree(tmp_path / "results" / "named", tmp_path / "results" / "twin")
    said = stages("continue", run.name, "--fork")
    assert (said.code, f"named/{run.name}, twin/{run.name}" in said.err) == (2, True)


def test_a_run_that_a_program_started_can_be_forked_as_well(stages: Mml, tmp_path: Path) -> None:
    run_stages(tmp_path, optimizer__lr=0.5)
    assert stages("continue", "--fork", "mode.use=2").code == 0
    stored = read_stored(newest(tmp_path))
    assert (stored.mode.use, stored.optimizer.lr, stored.seed) == (2, 0.5, 1)
    assert taken_over(newest(tmp_path)) == [0, 2]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["continue", "nothing_like_it", "--fork"], "There is no run 'nothing_like_it' in"),
        (["continue", "<RUN>x", "--fork"], "Did you mean '<RUN>'?"),
        (["continue", "other/<RUN>", "--fork"], "There is no run to fork in"),
        (["continue", "../<RUN>", "--fork"], "can't be the name of a run"),
        (["continue", "--fork", "proj=other"], "There is no run to fork in"),
        (["continue", "<RUN>", "--fork", "mode=info"], "nothing of it is of use to mode info"),
        (["info", "fork=<RUN>"], "nothing of it is of use to mode info"),
        (["continue", "<RUN>", "--fork", "optimizer.learning=1"], "Unknown config key"),
        (["continue", "<RUN>", "--fork", "optimizer=sdg"], "Unknown option of 'optimizer' 'sdg'"),
        (["continue", "<RUN>", "--fork", "seed=1,2"], "seed=1,2"),
        (["continue", "<RUN>", "--fork", "--multirun"], "--multirun does not go with `continue`"),
        (["continue", "<RUN>", "--fork", "again"], "'again' is no setting"),
        (["stages", "--fork"], "--fork belongs to `continue`"),
        (["continue=<RUN>", "fork=<RUN>"], "either continued or forked"),
    ],
)
def test_what_can_not_be_forked_is_refused_and_no_run_is_made(
    stages: Mml, run: Path, tmp_path: Path, words: list[str], reason: str
) -> None:
    said = stages(*[word.replace("<RUN>", run.name) for word in words])
    assert (said.code, reason.replace("<RUN>", run.name) in said.err) == (2, True), said.err
    assert runs_of(tmp_path) == [run]


def test_a_run_whose_records_are_damaged_is_refused(stages: Mml, mml: Mml, run: Path, tmp_path: Path) -> None:
    said = mml("continue", run.name, "--fork", "seed=3")  # the config folder of the run is not given
    assert f"The overrides of run '{run.name}' can't be composed any more" in said.err or "Unknown option" in said.err
    (run / "overrides.yaml").unlink()
    assert "overrides.yaml can't be read" in stages("continue", run.name, "--fork").err
    journal = run / "journal.jsonl"
    journal.write_text("no json\n" + journal.read_text())
    said = stages("continue", run.name, "--fork")
    assert (said.code, f"Run '{run.name}' can't be forked" in said.err) == (2, True)
    assert runs_of(tmp_path) == [run]


def test_the_refusal_of_a_change_offers_the_fork_ready_to_be_pasted(stages: Mml, tmp_path: Path) -> None:
    assert stages("stages", "mode.trap=use1:error", "proj=mine").code == 1
    run = newest(tmp_path, "mine")
    words = ["mode.use=2", "task=[]", "trainer.devices=2"]
    said = stages("continue", run.name, "proj=mine", *words)
    assert said.code == 2
    command = said.err.splitlines()[-1]
    assert command == f"mml continue {run.name} proj=mine --fork mode.use=2 'task=[]' trainer.devices=2"
    pasted = stages(*shlex.split(command)[1:], "mode.trap=null")
    assert pasted.code == 0, pasted.err
    assert taken_over(newest(tmp_path, "mine")) == [0, 2]


def test_no_fork_is_offered_for_another_mode(stages: Mml, tmp_path: Path) -> None:
    assert stages("stages", "mode.trap=use1:error").code == 1
    said = stages("continue", "latest", "mode=info")
    assert (said.code, "--fork" in said.err) == (2, False)


def test_the_refusal_of_a_finished_run_says_how_to_fork_it(stages: Mml, run: Path) -> None:
    said = stages("continue", run.name)
    assert f"mml continue {run.name} --fork key=value" in said.err


def test_nothing_of_the_run_that_is_forked_is_touched(stages: Mml, run: Path) -> None:
    def seen() -> dict[Path, tuple[int, int]]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in [run, *run.rglob("*")]}

    before = seen()
    assert stages("continue", "--fork", "mode.use=2").code == 0
    assert seen() == before
