import gc
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mml.config_loading import make_hydra
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.hydra_app import expand_continue, named_mode, parse_flags
from tests.cli.conftest import Mml
from tests.conftest import MmlCli
from tests.support.toy_scheduler import only_run


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_words_and_flags_may_stand_in_any_order() -> None:
    flags = parse_flags(["train", "--multirun", "seed=1,2", "--config-name", "other", "proj=p"])
    assert flags.overrides == ["train", "seed=1,2", "proj=p"]
    assert flags.multirun
    assert flags.config_name == "other"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--multrun"], "Unknown flag '--multrun'. Did you mean '--multirun'"),
        (["--cfg"], "Argument --cfg/-c: expected one argument. See `mml --help`."),
        (["--cfg", "jobs"], "invalid choice: 'jobs'"),
    ],
)
def test_flags_that_can_not_be_read_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(MMLMisconfigurationException) as caught:
        parse_flags(words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ([], ["continue='latest'"]),
        (["my-run", "a=1"], ["continue='my-run'", "a=1"]),
        (["a=1"], ["continue='latest'", "a=1"]),
    ],
)
def test_the_verb_continue_stands_for_an_override(words: list[str], overrides: list[str]) -> None:
    assert expand_continue(words) == overrides


def test_continue_without_a_name_means_the_only_run_that_waits(toy: Mml, tmp_path: Path) -> None:
    assert toy("toy", "mode.trap=begin1:error", "proj=other").code == 1
    run = only_run(tmp_path, "other").name
    assert expand_continue(["seed=1"]) == [f"continue='other/{run}'", "seed=1"]
    assert expand_continue(["proj=other"]) == [f"continue='other/{run}'", "proj=other"]
    assert expand_continue(["proj=default"]) == ["continue='latest'", "proj=default"]
    assert expand_continue([f"out_dir='{tmp_path}/results'"])[0] == f"continue='other/{run}'"
    assert expand_continue(["out_dir=nowhere"])[0] == "continue='latest'"
    assert expand_continue(["seed=1"], "fork") == ["fork='latest'", "seed=1"]


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ([], []),
        (["info", "a=1"], ["mode=info", "a=1"]),
        (["info", "mode=info", "a=1"], ["mode=info", "a=1"]),
        (["mode=info", "a=1"], ["mode=info", "a=1"]),
        (["~a"], ["~a"]),
    ],
)
def test_a_first_word_is_the_mode(words: list[str], overrides: list[str]) -> None:
    assert named_mode(words, make_hydra().config_loader) == overrides


def test_a_first_word_that_is_no_mode_is_compared_with_modes_and_verbs() -> None:
    with pytest.raises(UnknownNameError, match="Unknown mode 'ifno'. Did you mean 'info'"):
        named_mode(["ifno"], make_hydra().config_loader)
    with pytest.raises(UnknownNameError, match="Did you mean 'continue'"):
        named_mode(["contnue"], make_hydra().config_loader)


@pytest.mark.parametrize("first", ["toy", "mode=toy"])
def test_a_mode_is_run_by_either_form_and_leaves_only_its_run(toy: Mml, tmp_path: Path, first: str) -> None:
    said = toy(first, "mode.n=1", "proj=p")
    assert said.code == 0, said.err
    run = only_run(tmp_path, "p")
    assert OmegaConf.load(run / "config.yaml").mode.n == 1
    assert OmegaConf.load(run / "overrides.yaml") == ["mode=toy", "mode.n=1", "proj=p"]
    assert {path.name for path in tmp_path.iterdir()} == {"configs", "results"}
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"p"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=1"], "Which mode? Say it first"),
        (["-m", "seed=1,2"], "Which mode? Say it first"),
        (["info", "mode=clean"], "Two modes are asked for: 'info' and 'mode=clean'"),
        (["info", "--cfg", "job", "--multirun"], "--multirun and --cfg can't be asked for at once"),
        (["info", "--resolve"], "--resolve belongs to --cfg"),
        (["info", "-p", "seed"], "--package belongs to --cfg"),
        (["--experimental-rerun", "x"], "use `mml continue <run>`"),
        (["info", "--config-dir", "gone"], "There is no config folder"),
        (["info", "mode.scheduler=null"], "The mode names no scheduler"),
        (["--config-name", "gone"], "Cannot find primary config 'gone'. Check that it's in your config search path."),
        (["info", "search_space=optimizer"], "search_space=optimizer names values to try: add --multirun."),
        (["info", "mode.subroutines=[taks]"], "Unknown subroutine 'taks'. Did you mean 'tasks'"),
        (["info", "mode.scheduler._target_=no_such_1.X"], "'no_such_1.X', which a `_target_` of the config names"),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_is_made(
    mml: Mml, tmp_path: Path, words: list[str], said: str
) -> None:
    answer = mml(*words)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert everything(tmp_path) == set()


def test_the_config_is_shown_instead_of_run(mml: Mml, tmp_path: Path) -> None:
    said = mml("info", "task=a", "--cfg", "job")
    assert said.code == 0
    cfg = OmegaConf.create(said.out)
    assert (cfg.task_list, cfg.out_dir) == (["a"], str(tmp_path / "results"))
    assert mml("--cfg", "job", "-p", "mode.id").out.strip() == "info"
    assert "sweep" in mml("info", "--cfg", "hydra").out
    assert everything(tmp_path) == set()


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("searchpath", "pkg://mml_configs"),
        ("defaults", "optimizer/adamw"),
        ("defaults-tree", "mode: info"),
        ("plugins", "BasicSweeper"),
        ("config", "seed: 42"),
    ],
)
def test_hydras_information_is_shown(mml_cli: MmlCli, what: str, expected: str) -> None:
    said = mml_cli("info", "--info", what)
    assert said.returncode == 0, said.stderr
    assert expected in said.stdout


def test_hydras_own_help_is_shown(mml_cli: MmlCli) -> None:
    assert "--hydra-help" in mml_cli("--hydra-help").stdout


def test_another_root_config_may_choose_the_mode(mml: Mml, toy_configs: Path, tmp_path: Path) -> None:
    root = "defaults:\n  - config\n  - override mode: toy\n  - _self_\n\nproj: mine\nmode:\n  n: 2\n"
    (toy_configs / "mine.yaml").write_text(root)
    said = mml("--config-dir", str(toy_configs), "--config-name", "mine")
    assert said.code == 0, said.err
    assert OmegaConf.load(only_run(tmp_path, "mine") / "config.yaml").mode.n == 2


def test_a_tree_of_ones_own_may_stand_in_for_that_of_mml(mml: Mml, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "config.yaml").write_text("answer: 42\n")
    assert mml("--config-path", "tree", "--cfg", "job").out == "answer: 42\n"


def test_a_failing_step_is_told_with_the_command_that_continues_as_the_last_line(toy: Mml, tmp_path: Path) -> None:
    said = toy("toy", "mode.trap=end1:error")
    run = only_run(tmp_path)
    assert said.code == 1
    lines = said.err.splitlines()
    assert "Error: ValueError: boom" in lines
    assert f"The traceback is in {next((run / 'errors').iterdir())}" in lines
    assert lines[-1] == f"mml continue {run.name}"
    assert "Traceback" not in said.err


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_a_run_with_its_own_code_and_the_command_that_continues(
    mml_cli: MmlCli, toy_configs: Path, tmp_path: Path, name: str, code: int
) -> None:
    checkout = str(Path(__file__).parents[2])
    said = mml_cli("toy", f"mode.trap=end1:{name}", "--config-dir", str(toy_configs), env={"PYTHONPATH": checkout})
    assert said.returncode == code, said.stderr
    assert said.stderr.splitlines()[-1].startswith("mml continue ")
    assert f"Interrupted ({name})." in said.stderr


def test_an_error_outside_of_any_run_brings_its_traceback(mml: Mml, toy_configs: Path) -> None:
    (toy_configs / "mode" / "buggy.yaml").write_text("scheduler:\n  _target_: tests.cli.test_hydra_app.Buggy\n")
    said = mml("buggy", "--config-dir", str(toy_configs))
    assert said.code == 1
    assert "ZeroDivisionError" in said.err


class Buggy:
    def __init__(self, cfg: object) -> None:
        raise ZeroDivisionError


class Telling:
    """A scheduler that tells what it was given."""

    def __init__(self, cfg: object, more: int = 0) -> None:
        self.cfg, self.more = cfg, more

    def run(self) -> None:
        Path("told.json").write_text(
            json.dumps([type(self.cfg).__name__, "hydra" in self.cfg, self.more, gc.isenabled()])
        )


def test_a_scheduler_gets_the_config_and_what_else_the_mode_says(mml: Mml, toy_configs: Path) -> None:
    (toy_configs / "mode" / "tell.yaml").write_text(
        "scheduler:\n  _target_: tests.cli.test_hydra_app.Telling\n  more: 7\n"
    )
    assert mml("tell", "--config-dir", str(toy_configs)).code == 0
    assert json.loads(Path("told.json").read_text()) == ["DictConfig", False, 7, True]
    assert gc.isenabled()
