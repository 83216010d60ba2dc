"""What every mode inherits: subroutines, pivot, plan, structs and file manager."""

import functools
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import MMLMisconfigurationException, PlanError, TaskNameError, UnknownNameError
from mml.core.scripts.plugins import HOOKS
from mml.core.scripts.resources import Resources
from tests.support.tasks import make_task
from tests.support.toy_scheduler import Toy, toy_config


class Mode(AbstractBaseScheduler):
    """The least that a mode has to be."""

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, ["train", "test", "predict"])
        self.calls: list[Any] = []

    def create_routine(self) -> None:
        self.commands.append(self.act)
        self.params.append(["by hand"])
        self.add_step(self.act, "by add_step")

    def act(self, *params: Any) -> None:
        self.calls.append([*params, self.step_seed])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("a", "b"):
        make_task(folder, name, per_class=1)
    return folder


@pytest.fixture
def root(tmp_path: Path, data: Path) -> Path:
    (tmp_path / "data").symlink_to(data)
    return tmp_path


def config(root: Path, **changes: Any) -> DictConfig:
    return toy_config(root, **{"mode__subroutines": ["train"]} | changes)


# --- what a config asks for


@pytest.mark.parametrize(
    ("asked", "subroutines"),
    [
        (["predict", "train"], ["train", "predict"]),
        (["test", "test"], ["test"]),
        ("test", ["test"]),
        ([], []),
        (None, []),
    ],
)
def test_subroutines_run_in_their_own_order(root: Path, asked: Any, subroutines: list[str]) -> None:
    assert Mode(config(root, mode__subroutines=asked)).subroutines == subroutines


def test_mode_without_subroutines_has_none(root: Path) -> None:
    cfg = config(root)
    del cfg.mode["subroutines"]
    assert Mode(cfg).subroutines == []


def test_unknown_subroutine_is_refused_with_the_nearest(root: Path) -> None:
    with pytest.raises(UnknownNameError, match="Unknown subroutine 'tests'. Did you mean 'test'?"):
        Mode(config(root, mode__subroutines=["train", "tests"]))


@pytest.mark.parametrize(
    ("tasks", "pivot", "expected"),
    [(["a", "b"], None, "a"), (["a", "b"], "b", "b"), ([], None, None), ("b", None, "b"), (None, None, None)],
)
def test_pivot_is_the_first_task_unless_named(root: Path, tasks: Any, pivot: str | None, expected: str | None) -> None:
    assert Mode(config(root, task_list=tasks, pivot={"name": pivot})).pivot == expected


def test_config_without_pivot_is_fine(root: Path) -> None:
    assert Mode(config(root, task_list=["a"])).pivot == "a"


def test_pivot_that_is_no_task_of_the_run_is_refused(root: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown pivot\.name 'c'. Known: a, b. The pivot has to be a task"):
        Mode(config(root, task_list=["a", "b"], pivot={"name": "c"}))


@pytest.mark.parametrize("name", ["../x", "a/b", "a b", "", "TASK_NAME"])
def test_task_that_can_be_no_folder_is_refused(root: Path, name: str) -> None:
    with pytest.raises(TaskNameError):
        Mode(config(root, task_list=[name]))


def test_task_that_does_not_exist_is_refused_before_anything_is_made(root: Path) -> None:
    scheduler = Mode(config(root, task_list=["a", "c"]))
    with pytest.raises(UnknownNameError, match="Unknown task 'c'"):
        scheduler.run()
    assert not (root / "results").exists()


def test_mode_that_makes_its_tasks_does_not_need_them(root: Path) -> None:
    class Making(Mode):
        needs_tasks = False

    assert len(Making(config(root, task_list=["c"])).plan()) == 2


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
def test_seed_is_a_whole_number_of_32_bits(root: Path, seed: int) -> None:
    assert Mode(config(root, seed=seed)).seed == seed


@pytest.mark.parametrize("seed", [None, -1, 2**32, 0.5, "abc", True])
def test_other_seed_is_refused(root: Path, seed: Any) -> None:
    with pytest.raises(
        MMLMisconfigurationException, match=f"seed={seed} can't be a seed: give a whole number from 0 to"
    ):
        Mode(config(root, seed=seed))


@pytest.mark.parametrize("proj", ["", ".", "..", ".hidden", "a/b", "a\\b", "a#1", "a\0", "x" * 101])
def test_project_that_can_be_no_folder_is_refused(root: Path, proj: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match="can't be the name of a project"):
        Mode(config(root, proj=proj))


@pytest.mark.parametrize("proj", ["default", "my work", "2024", "data:x", "é", "v1.5"])
def test_project_is_a_folder_of_the_results(root: Path, proj: str) -> None:
    assert Mode(config(root, proj=proj)).fm.proj_path == root / "results" / proj


def test_home_is_understood_in_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    fm = Mode(config(root, data_dir="~/data", out_dir="~/out")).fm
    assert (fm.data_path, fm.results_root) == (root / "data", root / "out")


def test_file_manager_is_that_of_the_newest_scheduler(root: Path) -> None:
    first, second = Mode(config(root)), Mode(config(root, proj="b"))
    assert MMLFileManager.instance() is second.fm is not first.fm


def test_reuse_and_clean_up_of_the_config_reach_the_file_manager(root: Path) -> None:
    Toy(toy_config(root, mode__n=1)).run()
    scheduler = Mode(config(root, reuse={"toy_all": "default", "clean_up": {"toy": True, "toy_sum": False}}))
    assert scheduler.fm.kinds_to_remove == ["toy"]
    assert scheduler.fm.global_reusables == {"toy_all": root / "results/default/TOY/all_0001.txt"}


def test_config_without_reuse_is_fine(root: Path) -> None:
    cfg = config(root)
    del cfg["reuse"]
    assert not Mode(cfg).fm.reuses


def test_making_a_scheduler_makes_no_file(root: Path) -> None:
    Mode(config(root, task_list=["a"])).plan()
    assert {path.name for path in root.iterdir()} == {"data"}


def test_plugins_are_told_of_a_new_scheduler(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(HOOKS, "after_scheduler_init", [told.append])
    scheduler = Mode(config(root))
    assert told == [scheduler]


def test_progress_follows_the_config(root: Path) -> None:
    assert Mode(config(root)).progress._enabled is False
    cfg = config(root)
    del cfg["logging"]
    assert Mode(cfg).progress._enabled is True


# --- the plan


def test_steps_are_called_in_order_with_their_params(root: Path) -> None:
    scheduler = Mode(config(root))
    scheduler.run()
    assert [call[:-1] for call in scheduler.calls] == [["by hand"], ["by add_step"]]
    assert scheduler.calls[0][-1] != scheduler.calls[1][-1]


def test_plan_is_made_afresh_each_time(root: Path) -> None:
    scheduler = Mode(config(root))
    assert scheduler.plan() == scheduler.plan()
    assert len(scheduler.commands) == 2


def test_steps_of_other_runs_with_the_same_seed_have_the_same_seeds(root: Path) -> None:
    schedulers = [Mode(config(root, seed=seed)) for seed in (1, 1, 2)]
    for scheduler in schedulers:
        scheduler.run()
    assert schedulers[0].calls == schedulers[1].calls != schedulers[2].calls


def test_step_with_a_param_that_can_not_be_journaled_is_refused_where_it_is_added(root: Path) -> None:
    scheduler = Mode(config(root))
    with pytest.raises(PlanError, match="param 0 of step 1, act, can't be journaled"):
        scheduler.add_step(scheduler.act, object())
    assert scheduler.commands == []


def test_step_by_hand_with_such_a_param_is_refused_before_anything_is_made(root: Path) -> None:
    class Wrong(Mode):
        def create_routine(self) -> None:
            self.commands.append(self.act)
            self.params.append([(1, 2)])

    with pytest.raises(PlanError, match="can't be journaled"):
        Wrong(config(root)).run()
    assert not (root / "results").exists()


def test_command_without_params_is_refused(root: Path) -> None:
    class Wrong(Mode):
        def create_routine(self) -> None:
            self.commands.append(self.act)

    with pytest.raises(PlanError, match="The plan has 1 commands, but 0 lists of params; each needs one"):
        Wrong(config(root)).plan()


@pytest.mark.parametrize("command", [lambda: None, functools.partial(print), 3], ids=["lambda", "partial", "number"])
def test_command_that_the_journal_could_not_name_is_refused(root: Path, command: Any) -> None:
    scheduler = Mode(config(root))
    with pytest.raises(PlanError, match="can't be a step: commands are methods of the scheduler"):
        scheduler.add_step(command, 1)


def test_mode_without_steps_runs(root: Path) -> None:
    class Empty(Mode):
        def create_routine(self) -> None:
            pass

    assert Empty(config(root)).run() is None


def test_mode_without_routine_can_not_be_made(root: Path) -> None:
    with pytest.raises(TypeError, match="create_routine"):
        AbstractBaseScheduler(config(root), [])  # type: ignore[abstract]


def test_scheduler_can_run_again_as_a_new_run(root: Path) -> None:
    scheduler = Mode(config(root))
    scheduler.run()
    scheduler.run()
    assert len(list((root / "results/default/runs").iterdir())) == 2


def test_steps_come_after_those_whose_positions_they_name(root: Path) -> None:
    class Tree(Mode):
        def create_routine(self) -> None:
            first, second = self.add_step(self.act, 1), self.add_step(self.act, 2, after=())
            assert (first, second) == (0, 1)
            self.add_step(self.act, 3, after=[second, first])
            self.commands.append(self.act)
            self.params.append([4])

    scheduler = Tree(config(root))
    assert [step.record.after for step in scheduler.plan()] == [None, [], [0, 1], None]
    assert [step.needs for step in scheduler.plan()] == [[], [], [0, 1], [2]]


def test_step_after_one_that_is_not_planned_yet_is_refused(root: Path) -> None:
    scheduler = Mode(config(root))
    with pytest.raises(PlanError, match=r"Step 1, act, can't come after \[0\]"):
        scheduler.add_step(scheduler.act, 1, after=[0])
    assert scheduler.commands == []


def test_steps_come_after_names_and_say_what_they_need(root: Path) -> None:
    class Named(Mode):
        def create_routine(self) -> None:
            self.add_step(self.act, 1, after=["last"], resources={"cpus": 2, "memory": "1GB"})
            self.add_step(self.act, 2, after=(), name="last")

    first, second = (step.record for step in Named(config(root)).plan())
    assert (first.after, first.resources) == ([1], Resources(cpus=2, memory=10**9))
    assert (second.after, second.name) == ([], "last")


def test_plan_in_which_steps_wait_for_one_another_is_refused(root: Path) -> None:
    class Circle(Mode):
        def create_routine(self) -> None:
            self.add_step(self.act, 1, after=["b"], name="a")
            self.add_step(self.act, 2, after=["a"], name="b")

    with pytest.raises(PlanError, match="wait for one another"):
        Circle(config(root)).plan()


def test_resources_that_can_not_be_any_are_refused(root: Path) -> None:
    scheduler = Mode(config(root))
    with pytest.raises(UnknownNameError, match=r"resource of step 1, act 'cpu'.*Did you mean 'cpus'"):
        scheduler.add_step(scheduler.act, 1, resources={"cpu": 1})
    assert scheduler.commands == []


# --- help for steps


def test_struct_of_a_task_is_handed_out(root: Path) -> None:
    scheduler = Mode(config(root, task_list=["a"]))
    assert scheduler.get_struct("a").name == "a"
    assert scheduler.get_struct("a") is scheduler.get_struct("a")
    with pytest.raises(UnknownNameError):
        scheduler.get_struct("nothing")


def test_text_is_highlighted_by_quotes(root: Path) -> None:
    assert Mode(config(root)).highlight_text("a b") == "'a b'"


def test_interpolations_in_reuse_are_resolved(root: Path) -> None:
    Toy(toy_config(root, mode__n=1)).run()
    cfg = OmegaConf.merge(config(root, proj="b"), {"source": "default", "reuse": {"toy_all": "${source}"}})
    assert isinstance(cfg, DictConfig)
    assert set(Mode(cfg).fm.global_reusables) == {"toy_all"}
