import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from omegaconf import DictConfig, OmegaConf

from mml.config_loading import compose
from mml.core.data_loading.task_description import TaskDescription, load_description
from mml.core.data_preparation import registry
from mml.core.data_preparation.publish import Workbench
from mml.core.data_preparation.task_creator import TaskCreator
from mml.core.scripts.create_scheduler import CreateScheduler
from mml.core.scripts.exceptions import (
    Interrupted,
    MMLMisconfigurationException,
    RunLockedError,
    TaskDataError,
    TaskNameError,
    UnknownNameError,
)
from mml.core.scripts.journal import Done, read_events
from mml.testing import SchedulerContract
from tests.conftest import MmlCli
from tests.core.data_preparation.make_sources import class_folders, idx_folder, write_image

Create = Callable[..., CreateScheduler]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "source", {"cat": 10, "dog": 10})


@pytest.fixture
def create(tmp_path: Path) -> Create:
    """Return a function that makes a scheduler of overrides, with data and results below `tmp_path`."""

    def make(*overrides: str, run: str | None = None) -> CreateScheduler:
        cfg: DictConfig = compose(
            ["mode=create", f"data_dir={tmp_path / 'data'}", f"out_dir={tmp_path / 'out'}", *overrides]
        )
        cfg.logging.progress = False
        cfg["continue"] = run
        return CreateScheduler(cfg)

    return make


@pytest.fixture
def own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_DATASET_CREATORS", "_TASKCREATORS", "_TASK_TO_DSET"):
        monkeypatch.setattr(registry, name, getattr(registry, name).copy())
    for name in ("_TASKCREATORS", "_TASK_TO_DSET"):
        monkeypatch.setattr(f"mml.core.scripts.create_scheduler.{name}", getattr(registry, name))


def task_of(tmp_path: Path, name: str = "pets") -> TaskDescription:
    return load_description(tmp_path / "data" / "tasks" / name / "task.json")


def left_of(tmp_path: Path, name: str = "pets") -> list[str]:
    """Return what is left where a task is made."""
    return sorted(path.name for path in (tmp_path / "data" / "tasks" / ".creating" / name).iterdir())


def runs_of(tmp_path: Path) -> list[str]:
    folder = tmp_path / "out" / "default" / "runs"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_tasks_are_made_independently_of_one_another(create: Create) -> None:
    scheduler = create("task=[digits,fashion_mnist]")
    assert [step.needs for step in scheduler.plan()] == [[], []]
    scheduler.begin_step(scheduler.plan()[1])
    scheduler.prepare("fashion_mnist")
    assert scheduler.steps_from(2)[0].needs == [1]


class TestCreateKeepsThePromisesOfSchedulers(SchedulerContract):
    overrides: ClassVar[tuple[str, ...]] = ("mode=create", "task=pets", "mode.overwrite=true")

    def config(self, data_dir: Path, out_dir: Path, **changes: Any) -> DictConfig:
        return super().config(data_dir, out_dir, **{"mode.source": str(data_dir.parent / "source"), **changes})

    def prepare(self, data_dir: Path) -> None:
        class_folders(data_dir.parent / "source", {"cat": 4, "dog": 4})


def test_a_task_is_created_told_and_found(
    create: Create, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scheduler = create("task=pets", f"mode.source={source}")
    scheduler.run()
    assert len(task_of(tmp_path).train_samples) == 16
    assert scheduler.fm.task_index.names() == ["pets"]
    assert left_of(tmp_path) == ["run.lock"]
    assert "Next: mml train task=pets" in capsys.readouterr().out.splitlines()


def test_without_subroutine_nothing_is_planned(create: Create, source: Path) -> None:
    assert create("task=pets", f"mode.source={source}", "mode.subroutines=[]").plan() == []


def test_what_the_user_chose_is_done(create: Create, source: Path, tmp_path: Path) -> None:
    options = ["mode.folds=2", "mode.test_fraction=0", "mode.copy=reference", "mode.description=Pets of mine"]
    create("task=pets", f"mode.source={source}", *options).run()
    task = task_of(tmp_path)
    assert ([len(fold) for fold in task.train_folds], task.test_samples) == ([10, 10], {})
    assert task.description == "Pets of mine"
    assert str(task.train_samples["cat-000"]["image"]) == str(source / "cat" / "000.png")


def test_the_seed_decides_on_folds_and_test_split(create: Create, source: Path, tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((1, 1, 2)):
        create(f"task=pets_{number}", f"mode.source={source}", f"seed={seed}").run()
        found.append(task_of(tmp_path, f"pets_{number}").train_folds)
    assert found[0] == found[1] != found[2]


def test_a_source_within_reach_of_the_users_home_or_folder_is_found(
    create: Create, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert create("task=pets", "mode.source=~/source").source == source
    monkeypatch.chdir(tmp_path)
    scheduler = create("task=pets", "mode.source=source")
    assert scheduler.cfg.mode.source == str(source)


def test_folders_of_mml_itself_are_no_class(create: Create, tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 10, "dog": 10, "data/downloads": 3, "out": 2})
    create("task=pets", f"mode.source={tmp_path}").run()
    assert list(task_of(tmp_path).idx_to_class.values()) == ["cat", "dog"]


def test_several_tasks_of_their_own_are_created_at_once(create: Create, tmp_path: Path, own_registries: None) -> None:
    for name in ("one", "two"):
        folder = class_folders(tmp_path / name, {"a": 8, "b": 8})
        registry.register_dsetcreator(name)(lambda folder=folder: folder)
        registry.register_taskcreator(name, name)(registry.create_creator_func(folder_task, name=name))
    create("task=[one,two,one]").run()
    assert (task_of(tmp_path, "one").name, task_of(tmp_path, "two").name) == ("one", "two")


def folder_task(dset_path: Path, name: str) -> TaskCreator:
    creator = TaskCreator(dset_path, name)
    rows = [
        {"sample_id": f"{folder.name}{path.stem}", "image": path, "class": "ab".index(folder.name)}
        for folder in dset_path.iterdir()
        for path in folder.iterdir()
    ]
    creator.find_data(train_iterator=rows, idx_to_class={0: "a", 1: "b"})
    return creator


def test_a_source_takes_the_place_of_the_data_set(create: Create, tmp_path: Path) -> None:
    folder = idx_folder(tmp_path / "idx", train=40, test=10, classes=10)
    create("task=fashion_mnist", f"mode.source={folder}").run()
    assert task_of(tmp_path, "fashion_mnist").idx_to_class[0] == "T-shirt/top"


def test_a_creator_that_returns_nothing_is_refused_by_name(create: Create, own_registries: None) -> None:
    registry.register_taskcreator("pets")(lambda: None)  # type: ignore[arg-type, return-value] # what is tested
    with pytest.raises(TaskDataError, match=r"task 'pets', .*lambda.* has to return its TaskCreator"):
        create("task=pets").run()


def test_a_creator_that_is_gone_when_a_run_continues_is_missed(create: Create, own_registries: None) -> None:
    registry.register_taskcreator("pets")(lambda: TaskCreator(None, "pets"))
    scheduler = create("task=pets")
    scheduler.create_routine()
    registry._TASKCREATORS.clear()
    with pytest.raises(UnknownNameError, match="task to create 'pets'"):
        scheduler.create("pets", "token")


@pytest.mark.parametrize(
    ("overrides", "error", "reason"),
    [
        ((), MMLMisconfigurationException, "Which task"),
        (("task=digit",), UnknownNameError, r"'digit'\. Did you mean 'digits'.*mode\.source="),
        (("task=[a,b]", "mode.source=."), MMLMisconfigurationException, "source of one task, not of a, b"),
        (("task=digits", "mode.source=."), MMLMisconfigurationException, "brings its own images"),
        (("task=fashion_mnist", "mode.format=csv"), MMLMisconfigurationException, "have a form already"),
        (("task=pets", "mode.source=nowhere"), MMLMisconfigurationException, "nowhere does not exist"),
        (("task=pets+small", "mode.source=."), TaskNameError, "variant"),
        (("task=a/b", "mode.source=."), TaskNameError, "can't be the name"),
        (("task='my pets'", "mode.source=."), TaskNameError, "my_pets"),
        (("task=TASK_NAME", "mode.source=."), TaskNameError, "token"),
        (("task=digits", "mode.subroutines=[crate]"), UnknownNameError, "create"),
        (("task=digits", "mode.copy=link"), UnknownNameError, "hardlink"),
        (("task=digits", "mode.folds=0"), MMLMisconfigurationException, "at least 2"),
    ],
)
def test_what_can_not_be_created_is_refused_before_a_run_begins(
    create: Create, tmp_path: Path, overrides: tuple[str, ...], error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        create(*overrides).run()
    assert runs_of(tmp_path) == []
    assert not (tmp_path / "data").exists()


def test_an_existing_task_is_refused_before_a_run_begins(create: Create, source: Path, tmp_path: Path) -> None:
    create("task=pets", f"mode.source={source}").run()
    before = (tmp_path / "data/tasks/pets/task.json").stat()
    with pytest.raises(MMLMisconfigurationException, match=r"exists already.*mode\.overwrite=true"):
        create("task=pets", f"mode.source={source}").run()
    assert len(runs_of(tmp_path)) == 1
    assert (tmp_path / "data/tasks/pets/task.json").stat() == before


def fork(create: Create, run: str, *overrides: str) -> list[bool]:
    """Fork a run; return for each step of the new one whether it was taken over."""
    scheduler = create(*overrides)
    OmegaConf.update(scheduler.cfg, "fork", f"default/{run}")
    scheduler.run()
    folder = max((scheduler.fm.proj_path / "runs").iterdir(), key=lambda path: path.stat().st_ctime_ns)
    events, _ = read_events(folder / "journal.jsonl")
    done = {event.step: bool(event.source) for event in events if isinstance(event, Done)}
    return [done[position] for position in sorted(done)]


def test_a_fork_takes_over_the_tasks_that_are_there(create: Create, source: Path, tmp_path: Path) -> None:
    create("task=pets", f"mode.source={source}").run()
    (run,) = runs_of(tmp_path)
    before = (tmp_path / "data/tasks/pets/task.json").stat()
    assert fork(create, run, "task=pets", f"mode.source={source}") == [True, True]
    assert (tmp_path / "data/tasks/pets/task.json").stat() == before
    shutil.rmtree(tmp_path / "data/tasks/pets")
    assert fork(create, run, "task=pets", f"mode.source={source}") == [True, False]
    assert task_of(tmp_path).name == "pets"


def test_a_fork_with_other_settings_creates_the_task_if_it_may(create: Create, source: Path, tmp_path: Path) -> None:
    create("task=pets", f"mode.source={source}").run()
    (run,) = runs_of(tmp_path)
    with pytest.raises(MMLMisconfigurationException, match=r"exists already.*mode\.overwrite=true"):
        fork(create, run, "task=pets", f"mode.source={source}", "mode.folds=3")
    again = fork(create, run, "task=pets", f"mode.source={source}", "mode.folds=3", "mode.overwrite=true")
    assert again == [False, False]
    assert len(task_of(tmp_path).train_folds) == 3


def test_an_existing_task_is_replaced_when_told(create: Create, source: Path, tmp_path: Path) -> None:
    create("task=pets", f"mode.source={source}").run()
    shutil.rmtree(source / "dog")
    class_folders(source, {"fish": 5})
    create("task=pets", f"mode.source={source}", "mode.overwrite=true").run()
    assert list(task_of(tmp_path).idx_to_class.values()) == ["cat", "fish"]
    assert left_of(tmp_path) == ["run.lock"]


def test_an_error_leaves_nothing_and_an_existing_task_stays(create: Create, source: Path, tmp_path: Path) -> None:
    create("task=pets", f"mode.source={source}").run()
    (source / "cat" / "003.png").write_bytes(b"")
    with pytest.raises(TaskDataError, match=r"1 image of 20 for task 'pets' .*cat/003\.png \(the file is empty\)"):
        create("task=pets", f"mode.source={source}", "mode.overwrite=true").run()
    assert left_of(tmp_path) == ["run.lock"]
    assert len(task_of(tmp_path).train_samples) == 16


def test_a_failed_creation_goes_on_once_the_images_are_mended(create: Create, source: Path, tmp_path: Path) -> None:
    (source / "cat" / "003.png").write_bytes(b"")
    with pytest.raises(TaskDataError):
        create("task=pets", f"mode.source={source}").run()
    write_image(source / "cat" / "003.png")
    create("task=pets", f"mode.source={source}", run=runs_of(tmp_path)[0]).run()
    assert "cat-003" in {**task_of(tmp_path).train_samples, **task_of(tmp_path).test_samples}


def test_an_interrupted_creation_goes_on_and_is_nowhere_until_then(
    create: Create, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise Interrupted(15)

    scheduler = create("task=pets", f"mode.source={source}")
    monkeypatch.setattr(Workbench, "publish", stop)
    with pytest.raises(Interrupted):
        scheduler.run()
    monkeypatch.undo()
    (run,) = runs_of(tmp_path)
    (made, _) = left_of(tmp_path)
    assert made.startswith(run)
    assert not (tmp_path / "data" / "tasks" / "pets").exists()
    stamp = (tmp_path / "data/tasks/.creating/pets" / made / "images/0/cat-000.png").stat().st_mtime_ns
    create("task=pets", f"mode.source={source}", run=run).run()
    assert (tmp_path / "data/tasks/pets/images/0/cat-000.png").stat().st_mtime_ns == stamp
    assert left_of(tmp_path) == ["run.lock"]


def test_what_another_run_left_is_told_and_left_alone(
    create: Create, source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data/tasks/.creating/pets/other").mkdir(parents=True)
    with caplog.at_level("INFO"):
        create("task=pets", f"mode.source={source}").run()
    assert left_of(tmp_path) == ["other", "run.lock"]
    assert any(
        message.startswith("An interrupted creation left") and "pets/other" in message for message in caplog.messages
    )


def test_a_task_that_came_up_while_a_run_was_interrupted_is_not_overwritten(
    create: Create, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise Interrupted(15)

    monkeypatch.setattr(Workbench, "publish", stop)
    with pytest.raises(Interrupted):
        create("task=pets", f"mode.source={source}").run()
    monkeypatch.undo()
    first = runs_of(tmp_path)[0]
    create("task=pets", f"mode.source={source}", "mode.folds=2").run()
    with pytest.raises(MMLMisconfigurationException, match="exists already"):
        create("task=pets", f"mode.source={source}", run=first).run()
    assert len(task_of(tmp_path).train_folds) == 2
    assert left_of(tmp_path) == ["run.lock"]


def test_two_creations_of_one_task_keep_out_of_each_others_way(create: Create, source: Path, tmp_path: Path) -> None:
    scheduler = create("task=pets", f"mode.source={source}")
    held = Workbench(tmp_path / "data" / "tasks", "pets").locked()
    with held, pytest.raises(RunLockedError, match="Task 'pets' is being created by process"):
        scheduler.run()


def test_a_data_folder_that_can_not_be_written_is_explained(create: Create, source: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(TaskDataError, match=r"data folder can't be written.*data_dir="):
        create("task=pets", f"mode.source={source}").run()


def test_the_command_line_creates_refuses_and_says_how_it_ends(mml_cli: MmlCli, source: Path, tmp_path: Path) -> None:
    folders = [f"data_dir={tmp_path / 'data'}", f"out_dir={tmp_path / 'out'}"]
    done = mml_cli("create", "task=pets", "mode.source=source", *folders)
    assert done.returncode == 0
    assert "Next: mml train task=pets" in done.stdout.splitlines()
    again = mml_cli("create", "task=pets", "mode.source=source", *folders)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    code = "import sys, mml.core.scripts.create_scheduler; print({m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    heavy = {"torch", "torchvision", "lightning", "sklearn", "optuna", "pandas", "matplotlib"}
    assert [name for name in heavy if f"'{name}'" in done.stdout] == []
