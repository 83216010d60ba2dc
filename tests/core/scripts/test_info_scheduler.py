import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mml import __version__
from mml.config_loading import compose
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_attributes import TaskType
from mml.core.data_loading.task_description import load_description, store_description
from mml.core.scripts import info_scheduler
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.info_scheduler import InfoScheduler
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.portable_paths import PathRoots
from tests.conftest import MmlCli
from tests.support.tasks import make_task
from tests.support.toy_scheduler import Toy, runs_of, start_child, toy_config

CREATED = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)

Info = Callable[..., str]


@pytest.fixture
def info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Info:
    """Run the mode with data and results below `tmp_path` and return what it prints."""

    def call(*overrides: str) -> str:
        capsys.readouterr()
        MMLFileManager.clear_instance()
        scheduler(tmp_path, *overrides).run()
        return capsys.readouterr().out

    return call


def scheduler(root: Path, *overrides: str) -> InfoScheduler:
    return InfoScheduler(compose([f"data_dir={root / 'data'}", f"out_dir={root / 'results'}", *overrides]))


def document(text: str) -> dict[str, Any]:
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded


def store_model(root: Path, task: str, number: int = 1, **fields: Any) -> Path:
    """Store a model record as a training would, and return its file."""
    project = root / "results" / "default"
    path = project / "MODELS" / task / f"model_{number:04}.json"
    weights = project / "PARAMETERS" / task / f"model_{number:04}.safetensors"
    known = {"task": task, "fold": 0, "parameters": weights, "created": CREATED + timedelta(minutes=number)}
    ModelStorage(**{**known, **fields}).store(path, PathRoots(root / "results", root / "data"))
    return path


def change_task(root: Path, name: str, **fields: Any) -> None:
    path = root / "data" / "tasks" / name / "task.json"
    description = load_description(path)
    for field, value in fields.items():
        setattr(description, field, value)
    store_description(description, path)


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and path.name != ".index.json"}


def test_with_no_task_it_says_what_to_type(info: Info, tmp_path: Path) -> None:
    out = info()
    assert f"There is no task yet in {tmp_path / 'data' / 'tasks'}" in out
    assert "mml create task=digits" in out
    assert "mode.source=<folder>" in out
    assert "model yet" not in out


def test_looking_leaves_no_trace(info: Info, tmp_path: Path) -> None:
    info()
    assert list(tmp_path.iterdir()) == []
    make_task(tmp_path / "data", "stripes")
    before = files_below(tmp_path)
    info()
    assert files_below(tmp_path) == before


def test_tasks_are_shown_with_type_counts_and_sizes(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes", classes=3, per_class=10, size=(12, 20), unlabeled=2)
    row = next(line for line in info().splitlines() if "stripes" in line)
    assert re.split(r"\s{2,}", row.strip()) == ["stripes", "classification", "30", "15", "2", "3", "12 x 20", "-"]


def test_json_holds_all_that_is_known_of_a_task(info: Info, tmp_path: Path) -> None:
    folder = make_task(tmp_path / "data", "stripes", classes=3, per_class=10, unlabeled=2)
    out = document(info("mode.format=json"))
    assert (out["mml"], out["project"]) == (__version__, "default")
    assert (out["data"], out["results"]) == (str(tmp_path / "data"), str(tmp_path / "results"))
    (task,) = out["tasks"]
    counts = {"num_classes": 3, "num_train": 30, "num_test": 15, "num_unlabeled": 2, "num_folds": 5}
    assert {key: task[key] for key in counts} == counts
    assert task["idx_to_class"] == {"0": "class_0", "1": "class_1", "2": "class_2"}
    assert task["sizes"] == {"min_height": 16, "max_height": 16, "min_width": 16, "max_width": 16}
    assert len(task["means"]) == len(task["stds"]) == 3
    assert task["folder"] == str(folder)
    assert task["cached"] == []
    assert "train_samples" not in task


def test_json_is_the_only_thing_on_stdout_of_a_real_process(mml_cli: MmlCli, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    done = mml_cli("info", "mode.format=json", "mode.sample_grid=true", f"data_dir={tmp_path / 'data'}")
    assert done.returncode == 0, done.stderr
    assert set(document(done.stdout)) >= {"tasks", "models", "runs", "grids"}


def test_a_real_process_imports_nothing_heavy(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    command = [sys.executable, "-X", "importtime", "-m", "mml", "info", f"data_dir={tmp_path / 'data'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "stripes" in done.stdout
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "mml" in loaded
    heavy = {"torch", "lightning", "optuna", "numpy", "pandas", "sklearn", "matplotlib", "PIL", "torchvision"}
    assert loaded & heavy == set()


def test_a_damaged_task_is_named_beside_the_others(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    (tmp_path / "data" / "tasks" / "broken").mkdir()
    (tmp_path / "data" / "tasks" / "broken" / "task.json").write_text("{")
    out = info()
    assert "stripes" in out
    assert "broken/task.json can't be read" in out
    broken, _ = document(info("mode.format=json"))["tasks"]
    assert broken["name"] == "broken"
    assert "can't be read" in broken["error"]


def test_decoded_forms_of_a_task_are_counted(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    for digest in ("0123456789ab", "ba9876543210"):
        folder = tmp_path / "data" / "cache" / f"stripes-{digest}"
        folder.mkdir(parents=True)
        (folder / "images.npy").write_bytes(b"x" * 1500)
    assert "2 (3.0 kB)" in info()
    cached = document(info("mode.format=json"))["tasks"][0]["cached"]
    assert [entry["size"] for entry in cached] == [1500, 1500]


def test_models_are_shown_with_performance_metrics_and_file(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    metrics = [{"split": "val", "epoch": 3, "accuracy": 0.5}, {"split": "test", "accuracy": 0.9721, "loss": 0.1}]
    file = store_model(tmp_path, "stripes", fold=2, performance=0.98765, training_time=245.0, metrics=metrics)
    out = info("mode.subroutines=[models]")
    for text in (
        "stripes",
        "0.9877",
        "test: accuracy 0.9721, loss 0.1",
        "4 min 05 s",
        "MODELS/stripes/model_0001.json",
    ):
        assert text in out
    (model,) = document(info("mode.format=json"))["models"]
    assert model["file"] == str(file)
    assert model["parameters"] == str(tmp_path / "results/default/PARAMETERS/stripes/model_0001.safetensors")
    assert (model["fold"], model["training_time"], model["metrics"]) == (2, 245.0, metrics)
    assert datetime.fromisoformat(model["created"]) == CREATED + timedelta(minutes=1)


def test_models_stand_in_the_order_of_their_making(info: Info, tmp_path: Path) -> None:
    for number, minutes in ((1, 30), (2, 10), (3, 20)):
        store_model(tmp_path, "stripes", number, created=CREATED + timedelta(minutes=minutes))
    models = document(info("mode.format=json"))["models"]
    assert [Path(model["file"]).stem for model in models] == ["model_0002", "model_0003", "model_0001"]


def test_a_figure_that_is_no_number_becomes_null(info: Info, tmp_path: Path) -> None:
    store_model(tmp_path, "stripes", performance=float("nan"))
    assert document(info("mode.format=json"))["models"][0]["performance"] is None


def test_a_damaged_model_record_is_named_beside_the_others(info: Info, tmp_path: Path) -> None:
    store_model(tmp_path, "stripes")
    store_model(tmp_path, "stripes", 2).write_text('{"task": "stripes"}')
    out = info()
    assert "MODELS/stripes/model_0001.json" in out
    assert "model_0002.json is damaged" in out
    assert [("error" in model) for model in document(info("mode.format=json"))["models"]].count(True) == 1


def test_foreign_files_among_the_models_disturb_nothing(info: Info, tmp_path: Path) -> None:
    file = store_model(tmp_path, "stripes")
    file.with_name("notes.json").write_text("mine")
    assert len(document(info("mode.format=json"))["models"]) == 1


def test_runs_are_shown_with_state_steps_and_return_value(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    Toy(toy_config(tmp_path, task_list=["stripes"], mode__n=2)).run()
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(tmp_path, mode__n=3, mode__trap="begin1:error")).run()
    out = info()
    assert "finished" in out
    assert "2/2" in out
    assert "ValueError: boom" in out
    finished, failed = document(info("mode.format=json"))["runs"]
    assert (finished["state"], finished["mode"], finished["tasks"]) == ("finished", "toy", ["stripes"])
    assert (finished["steps_done"], finished["steps_total"]) == (2, 2)
    assert set(finished["return_value"]) == {"steps", "models"}
    assert (failed["state"], failed["steps_done"], failed["steps_total"]) == ("failed", 1, 3)
    assert finished["path"] == str(runs_of(tmp_path)[0])
    assert datetime.fromisoformat(finished["created"]).tzinfo is not None


def test_a_running_run_is_told_from_a_killed_one(info: Info, tmp_path: Path) -> None:
    with start_child(toy_config(tmp_path, mode__trap="begin1:wait")) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "waiting\n"
        assert document(info("mode.format=json"))["runs"][0]["state"] == "running"
        child.kill()
        child.communicate()
    assert document(info("mode.format=json"))["runs"][0]["state"] == "crashed"


def test_the_newest_runs_can_be_asked_for(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    for tasks in (["stripes"], [], ["stripes"], []):
        Toy(toy_config(tmp_path, task_list=tasks, mode__n=1)).run()
    names = [run.name for run in runs_of(tmp_path)]
    newest = document(info("mode.format=json", "mode.newest_runs=2"))["runs"]
    assert [run["name"] for run in newest] == names[-2:]
    of_task = document(info("mode.format=json", "mode.newest_runs=1", "task=stripes"))["runs"]
    assert [run["tasks"] for run in of_task] == [["stripes"]]
    assert of_task[0]["name"] == names[2]


def test_a_task_limits_everything_to_itself(info: Info, tmp_path: Path) -> None:
    for name in ("stripes", "dots"):
        make_task(tmp_path / "data", name)
        store_model(tmp_path, name)
        Toy(toy_config(tmp_path, task_list=[name], mode__n=1)).run()
    out = document(info("mode.format=json", "task=dots", "mode.sample_grid=true"))
    assert [task["name"] for task in out["tasks"]] == ["dots"]
    assert [model["task"] for model in out["models"]] == ["dots"]
    assert [run["tasks"] for run in out["runs"]] == [["dots"]]
    assert [grid["task"] for grid in out["grids"]] == ["dots"]


def test_an_unknown_task_is_refused_with_the_nearest_names(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    with pytest.raises(UnknownNameError, match="Unknown task 'strips'. Did you mean 'stripes'?"):
        scheduler(tmp_path, "task=strips").run()


@pytest.mark.parametrize("name", ["trained", "run_with"])
def test_results_of_a_task_that_is_gone_can_be_asked_for(info: Info, tmp_path: Path, name: str) -> None:
    store_model(tmp_path, "trained")
    folder = make_task(tmp_path / "data", "run_with")
    Toy(toy_config(tmp_path, task_list=["run_with"], mode__n=1)).run()
    (folder / "task.json").unlink()
    out = document(info("mode.format=json", f"task={name}"))
    assert out["tasks"] == []
    assert len(out["models"]) + len(out["runs"]) == 1


def test_other_projects_are_named(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    Toy(toy_config(tmp_path, proj="elsewhere", mode__n=1)).run()
    assert "Other projects: elsewhere. Show one: mml info proj=elsewhere" in info()
    assert "Other projects" not in info("mode.subroutines=[tasks]")
    assert "Other projects" not in info("proj=elsewhere")


def test_only_the_sections_asked_for_are_shown(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    out = document(info("mode.format=json", "mode.subroutines=[runs]"))
    assert "runs" in out
    assert not {"tasks", "models", "grids"} & set(out)
    assert "There is no run yet in project default." in info("mode.subroutines=[runs]")
    assert "mml train task=stripes" in info("mode.subroutines=[tasks,models]")


@pytest.mark.parametrize("asked", ["mode.sample_grid=true", "mode.subroutines=[grid]"])
def test_a_grid_shows_images_of_every_class(info: Info, tmp_path: Path, asked: str) -> None:
    make_task(tmp_path / "data", "stripes", classes=3)
    out = document(info(asked, "mode.format=json", "mode.grid_columns=4", "mode.grid_pixels=20"))
    (grid,) = out["grids"]
    assert (grid["task"], grid["rows"], grid["rows_left_out"], grid["unreadable"]) == ("stripes", 3, 0, [])
    file = Path(grid["file"])
    assert file.is_relative_to(tmp_path / "results" / "default")
    with Image.open(file) as image:
        assert image.format == "PNG"
        assert image.height == 4 + 3 * 24
    assert str(file.with_stem("sample_grid_0002")) in info(asked)


def test_each_grid_is_a_file_of_its_own(info: Info, tmp_path: Path) -> None:
    for name in ("stripes", "dots"):
        make_task(tmp_path / "data", name)
    grids = [grid for _ in range(2) for grid in document(info("mode.subroutines=[grid]", "mode.format=json"))["grids"]]
    assert len({grid["file"] for grid in grids}) == 4
    assert all(Path(grid["file"]).is_file() for grid in grids)


def test_images_that_cannot_be_read_are_named(info: Info, tmp_path: Path) -> None:
    folder = make_task(tmp_path / "data", "stripes", classes=2, per_class=5)
    (folder / "images" / "train_0000.png").write_bytes(b"")
    out = info("mode.subroutines=[grid]")
    assert "1 image can't be read, crossed out in red" in out
    assert "train_0000.png" in out


def test_of_very_many_classes_the_first_are_drawn(info: Info, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task(tmp_path / "data", "stripes", classes=4, per_class=2)
    monkeypatch.setattr(info_scheduler, "MOST_ROWS", 3)
    assert "It shows the first 3 rows; 1 more are left out." in info("mode.subroutines=[grid]")


@pytest.mark.parametrize(
    ("task_type", "labels"),
    [
        (TaskType.CLASSIFICATION, ["class_0", "class_1", "class_2"]),
        (TaskType.MULTILABEL_CLASSIFICATION, ["class_0", "class_1", "class_2"]),
        (TaskType.REGRESSION, ["", "", "", ""]),
        (TaskType.SEMANTIC_SEGMENTATION, ["", "", "", ""]),
    ],
)
def test_rows_are_classes_where_there_are_some(tmp_path: Path, task_type: TaskType, labels: list[str]) -> None:
    make_task(tmp_path / "data", "stripes", classes=3, task_type=task_type, unlabeled=1)
    rows = info_scheduler.grid_rows(scheduler(tmp_path).get_struct("stripes"))
    assert [label for label, _ in rows] == labels
    assert all(path.is_file() for _, paths in rows for path in paths)
    shown = {path.stem for _, paths in rows for path in paths}
    assert len(shown) == 30 + (not labels[0])
    assert not [name for name in shown if name.startswith("test")]


def test_a_class_that_has_no_name_is_drawn_by_its_number(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes", classes=2)
    change_task(tmp_path, "stripes", idx_to_class={0: "zero"})
    rows = info_scheduler.grid_rows(scheduler(tmp_path).get_struct("stripes"))
    assert [label for label, _ in rows] == ["zero", "1"]


def test_a_task_without_images_has_an_empty_grid(info: Info, tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    change_task(tmp_path, "stripes", train_samples={}, train_folds=[], unlabeled_samples={})
    (grid,) = document(info("mode.subroutines=[grid]", "mode.format=json"))["grids"]
    with Image.open(grid["file"]) as image:
        assert (np.asarray(image)[:, -8:] == 255).all()


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("mode.format=jsn", "Unknown mode.format 'jsn'. Did you mean 'json'?"),
        ("mode.newest_runs=0", "mode.newest_runs=0 .* at least 1"),
        ("mode.newest_runs=all", "mode.newest_runs=all .* null for all"),
        ("mode.grid_columns=0", "mode.grid_columns=0 .* from 1 to 100"),
        ("mode.grid_pixels=wide", "mode.grid_pixels=wide .* from 8 to 512"),
        ("mode.subroutines=[task]", "Unknown subroutine 'task'. Did you mean 'tasks'?"),
    ],
)
def test_wrong_values_are_refused_with_what_would_do(tmp_path: Path, override: str, named: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=named):
        scheduler(tmp_path, override).run()


def test_an_unreadable_data_folder_is_no_reason_to_fail(info: Info, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert "There is no task yet" in info()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
