"""What steps change in task structs is found, recorded with the step, and there again in a continued run."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_struct import StructChange, StructState
from mml.core.scripts.exceptions import JournalError, MMLError, ReuseError, UnknownNameError
from mml.core.scripts.journal import Done, Planned, read_events
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.struct_tracker import StructTracker
from tests.support.tasks import make_task
from tests.support.toy_scheduler import Toy, only_run, runs_of, toy_config

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("a", "b"):
        make_task(folder, name, per_class=1)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def fm(data: Path, results: Path) -> MMLFileManager:
    return MMLFileManager(data, results / "default")


@pytest.fixture
def tracker(fm: MMLFileManager) -> StructTracker:
    return StructTracker(fm)


def model(folder: Path, fold: int = 0, **fields: Any) -> ModelStorage:
    return ModelStorage(task="a", fold=fold, parameters=folder / f"{fold}.safetensors", created=NOW, **fields)


def again(fm: MMLFileManager, *changes: dict[str, StructChange]) -> StructTracker:
    """Return a tracker to which changes were replayed, by way of the journal's JSON."""
    tracker = StructTracker(fm)
    for change in changes:
        tracker.replay(msgspec.json.decode(msgspec.json.encode(change)))
    return tracker


def test_same_struct_is_returned_each_time(tracker: StructTracker) -> None:
    assert tracker.get("a") is tracker.get("a")
    assert tracker.get("a") is not tracker.get("b")


def test_unknown_task_is_refused(tracker: StructTracker) -> None:
    with pytest.raises(UnknownNameError, match="Unknown task 'c'"):
        tracker.get("c")


def test_step_that_changes_nothing_has_no_changes(tracker: StructTracker) -> None:
    tracker.get("b")
    tracker.begin_step()
    tracker.get("a")
    assert tracker.end_step() == {}


@pytest.mark.parametrize("held", [True, False], ids=["got before the step", "got in the step"])
def test_new_path_is_a_change_by_its_place_below_the_results(tracker: StructTracker, results: Path, held: bool) -> None:
    struct = tracker.get("a") if held else None
    tracker.begin_step()
    struct = struct or tracker.get("a")
    struct.paths["x"] = results / "default" / "x.npy"
    assert tracker.end_step() == {"a": StructChange(paths={"x": "default/x.npy"})}


def test_changes_of_two_structs_in_one_step_are_both_found(tracker: StructTracker, results: Path) -> None:
    tracker.begin_step()
    for name in ("a", "b"):
        tracker.get(name).paths[name] = results / name
    assert tracker.end_step() == {name: StructChange(paths={name: name}) for name in ("a", "b")}


def test_each_step_has_its_own_changes(tracker: StructTracker, results: Path) -> None:
    struct = tracker.get("a")
    found = []
    for key in ("x", "y"):
        tracker.begin_step()
        struct.paths[key] = results / key
        found.append(tracker.end_step())
    assert found == [{"a": StructChange(paths={key: key})} for key in ("x", "y")]


def test_changed_and_removed_paths_are_found(tracker: StructTracker, results: Path) -> None:
    struct = tracker.get("a")
    struct.paths.update({"kept": results / "1", "changed": results / "2", "removed": results / "3"})
    tracker.begin_step()
    struct.paths["changed"] = results / "4"
    del struct.paths["removed"]
    assert tracker.end_step() == {"a": StructChange(paths={"changed": "4"}, removed=["removed"])}


def test_path_given_as_text_counts_as_a_path(tracker: StructTracker, results: Path) -> None:
    tracker.begin_step()
    tracker.get("a").paths["x"] = str(results / "x")  # type: ignore[assignment] # what a plugin may do
    assert tracker.end_step() == {"a": StructChange(paths={"x": "x"})}


def _append(struct: Any, folder: Path) -> None:
    struct.models.append(model(folder, 2))


def _replace(struct: Any, folder: Path) -> None:
    struct.models[0] = model(folder, 3)


def _clear(struct: Any, folder: Path) -> None:
    struct.models.clear()


def _reassign(struct: Any, folder: Path) -> None:
    struct.models = [struct.models[1], struct.models[0]]


def _predict(struct: Any, folder: Path) -> None:
    struct.models[1].predictions["test"] = folder / "test.parquet"


def _measure(struct: Any, folder: Path) -> None:
    struct.models[0].metrics.append({"split": "test", "auroc": 0.75, "per_class": [0.5, 1.0]})


def _measure_deep(struct: Any, folder: Path) -> None:
    struct.models[0].metrics[0]["split"] = "val"


def _score(struct: Any, folder: Path) -> None:
    struct.models[1].performance = float("nan")


@pytest.mark.parametrize(
    "change",
    [_append, _replace, _clear, _reassign, _predict, _measure, _measure_deep, _score],
    ids=lambda f: f.__name__,
)
def test_any_change_of_models_is_there_again_after_a_replay(
    fm: MMLFileManager, tracker: StructTracker, results: Path, change: Callable[[Any, Path], None]
) -> None:
    tracker.begin_step()
    tracker.get("a").models += [model(results, 0, metrics=[{"split": "train"}]), model(results, 1)]
    first = tracker.end_step()
    tracker.begin_step()
    change(tracker.get("a"), results)
    second = tracker.end_step()
    assert second
    assert repr(again(fm, first, second).get("a").models) == repr(tracker.get("a").models)


def test_models_before_the_first_changed_one_are_not_recorded_again(tracker: StructTracker, results: Path) -> None:
    struct = tracker.get("a")
    struct.models += [model(results, fold) for fold in range(3)]
    tracker.begin_step()
    struct.models[2].performance = 0.5
    change = tracker.end_step()["a"]
    assert (change.keep, [record["fold"] for record in change.models]) == (2, [2])


def test_numbers_of_numpy_in_metrics_are_recorded_as_numbers(
    fm: MMLFileManager, tracker: StructTracker, results: Path
) -> None:
    import numpy as np

    tracker.begin_step()
    record = model(results, metrics=[{"split": "test", "a": np.float64(0.5), "b": np.float32(0.25), "c": np.int64(3)}])
    tracker.get("a").models.append(record)
    metrics = again(fm, tracker.end_step()).get("a").models[0].metrics
    assert metrics == [{"split": "test", "a": 0.5, "b": 0.25, "c": 3}]


def test_model_that_can_not_be_recorded_is_refused_by_name(tracker: StructTracker, results: Path) -> None:
    tracker.begin_step()
    tracker.get("a").models.append(model(results, metrics=[{"split": object()}]))
    with pytest.raises(
        MMLError, match="model of task 'a', fold 0, can't be kept: value <object object .* of type object is no JSON"
    ):
        tracker.end_step()


def test_replayed_changes_are_applied_in_order(fm: MMLFileManager, results: Path) -> None:
    changes = [StructChange(paths={"x": "1"}), StructChange(removed=["x"]), StructChange(paths={"x": "2"})]
    tracker = again(fm, *({"a": change} for change in changes))
    assert tracker.get("a").paths == {"x": results / "2"}
    assert tracker.get("b").paths == {}


def test_replay_reaches_structs_that_are_loaded_already(tracker: StructTracker, results: Path) -> None:
    struct = tracker.get("a")
    tracker.replay({"a": {"paths": {"x": "1"}}})
    assert struct.paths == {"x": results / "1"}


def test_records_hold_in_a_moved_results_folder(data: Path, fm: MMLFileManager, tracker: StructTracker) -> None:
    tracker.begin_step()
    tracker.get("a").paths["x"] = fm.proj_path / "x.npy"
    tracker.get("a").paths["image"] = fm.task_path("a") / "images" / "1.png"
    tracker.get("a").models.append(model(fm.proj_path))
    changes = tracker.end_step()
    MMLFileManager.clear_instance()
    moved = MMLFileManager(data, fm.results_root.with_name("moved") / "default")
    struct = again(moved, changes).get("a")
    assert struct.paths == {"x": moved.proj_path / "x.npy", "image": data / "tasks" / "a" / "images" / "1.png"}
    assert struct.models[0].parameters == moved.proj_path / "0.safetensors"


def test_continued_run_has_the_structs_of_an_uninterrupted_one(tmp_path: Path, data: Path) -> None:
    (tmp_path / "data").symlink_to(data)
    with pytest.raises(ValueError, match="boom"):
        Toy(toy_config(tmp_path, task_list=["a", "b"], mode__trap="half2:error")).run()
    shutil.move(tmp_path / "results", tmp_path / "moved")
    cfg = toy_config(tmp_path, task_list=["a", "b"], out_dir=str(tmp_path / "moved"))
    cfg["continue"] = next((tmp_path / "moved/default/runs").iterdir()).name
    scheduler = Toy(cfg)
    scheduler.run()
    for name in ("a", "b"):
        struct = scheduler.get_struct(name)
        assert [record.fold for record in struct.models] == [0, 1, 2]
        assert set(struct.paths) == {"toy_0", "toy_1", "toy_2"}
        assert all(path.is_file() for path in struct.paths.values())


# --- what reuse attached


class Reusing(Toy):
    """Looks at what reuse found, for tasks of the list and another one, in the plan, a hook and a step."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.found: dict[str, str] = {}

    def create_routine(self) -> None:
        self.add_step(self.work, int(self.get_struct("a").paths["toy"].read_text().split()[0]))
        self.add_step(self.look)

    def work(self, number: int) -> None:
        self.mark(f"begin{number}")
        self.get_struct("b")
        if self.cfg.mode.trap == "in work":
            raise ValueError("boom")

    def look(self) -> None:
        self.found = {name: self.get_struct(name).paths["toy"].name for name in ("a", "b")}
        self.found["all"] = self.fm.global_reusables["toy_all"].name
        if self.cfg.mode.trap == "in look":
            raise ValueError("boom")

    def before_finishing_hook(self) -> None:
        self.return_value = self.found


@pytest.fixture
def source(tmp_path: Path, data: Path) -> Path:
    """A root with a project `source` that has one file of each kind."""
    (tmp_path / "data").symlink_to(data)
    Toy(toy_config(tmp_path, proj="source", task_list=["a", "b"], mode__n=1)).run()
    return tmp_path


def reusing(root: Path, **changes: Any) -> Reusing:
    return Reusing(toy_config(root, task_list=["a"], reuse={"toy": "source", "toy_all": "source"}, **changes))


def test_reused_files_are_attached_to_structs(source: Path) -> None:
    assert reusing(source).run() == {"a": "toy_0001.txt", "b": "toy_0001.txt", "all": "all_0001.txt"}


def test_continued_run_goes_on_with_what_reuse_found_at_its_start(source: Path) -> None:
    with pytest.raises(ValueError, match="boom"):
        reusing(source, mode__trap="in look").run()
    Toy(toy_config(source, proj="source", task_list=["a", "b"], mode__n=2)).run()
    value = reusing(source, **{"continue": only_run(source).name}).run()
    assert value == {"a": "toy_0001.txt", "b": "toy_0001.txt", "all": "all_0001.txt"}


def test_new_run_finds_the_newer_files(source: Path) -> None:
    reusing(source).run()
    Toy(toy_config(source, proj="source", task_list=["a", "b"], mode__n=1)).run()
    assert reusing(source).run() == {"a": "toy_0002.txt", "b": "toy_0002.txt", "all": "all_0002.txt"}
    assert len(runs_of(source)) == 2


def test_what_reuse_attaches_to_a_task_outside_of_the_list_is_recorded_with_the_step_that_loads_it(
    source: Path,
) -> None:
    with pytest.raises(ValueError, match="boom"):
        reusing(source, mode__trap="in look").run()
    events = read_events(only_run(source) / "journal.jsonl")[0]
    (planned,) = (event for event in events if isinstance(event, Planned))
    (done,) = (event for event in events if isinstance(event, Done))
    assert set(planned.tasks) == {"a"}
    assert done.tasks["b"]["paths"] == {"toy": "source/TOY/b/toy_0001.txt"}


def test_what_a_hook_changes_is_not_taken_for_what_reuse_attached(source: Path) -> None:
    class Hooked(Reusing):
        def after_preparation_hook(self) -> None:
            self.get_struct("a").paths["more"] = self.fm.proj_path / "more"

    cfg = toy_config(source, task_list=["a"], reuse={"toy": "source", "toy_all": "source"})
    Hooked(cfg).run()
    (planned,) = (event for event in read_events(only_run(source) / "journal.jsonl")[0] if isinstance(event, Planned))
    assert planned.tasks["a"]["paths"] == {"toy": "source/TOY/a/toy_0001.txt"}


def test_recorded_file_is_attached_though_reuse_finds_nothing_any_more(source: Path, data: Path) -> None:
    MMLFileManager.clear_instance()
    fm = MMLFileManager(data, source / "results" / "new", reuse_cfg={"toy": "source"})
    changes = StructTracker(fm).initial_changes(["a"])
    found = source / "results/source/TOY/a/toy_0001.txt"
    found.unlink()
    assert again(fm, changes).get("a").paths == {"toy": found}
    with pytest.raises(ReuseError):
        StructTracker(fm).get("a")


@pytest.mark.parametrize("change", [5, {"paths": 3}, {"models": {}}, {"keep": "all"}])
def test_a_change_that_no_run_can_have_recorded_is_damage(tracker: StructTracker, change: Any) -> None:
    with pytest.raises(JournalError, match="damaged in what it says of task 'a'"):
        tracker.replay({"a": change})


# --- steps that fail


def test_changes_of_a_step_that_failed_are_undone(tracker: StructTracker, fm: MMLFileManager, results: Path) -> None:
    struct = tracker.get("a")
    struct.paths["kept"] = results / "kept"
    struct.models.append(model(results, performance=0.5))
    tracker.begin_step()
    struct.paths |= {"kept": results / "other", "new": results / "new"}
    struct.models[0].performance = 9.0
    struct.models.append(model(results, 1))
    tracker.get("b").paths["new"] = results / "new"
    tracker.abandon_step()
    assert tracker.get("a") is struct
    assert struct.paths == {"kept": results / "kept"}
    assert [(found.fold, found.performance) for found in struct.models] == [(0, 0.5)]
    assert tracker.get("b").paths == {}


def test_step_after_one_that_failed_has_its_own_changes_alone(tracker: StructTracker, results: Path) -> None:
    for number in range(2):
        tracker.begin_step()
        tracker.get("a").paths[f"step{number}"] = results / str(number)
        if number == 0:
            tracker.abandon_step()
    assert tracker.end_step()["a"].paths == {"step1": "1"}


@pytest.mark.parametrize("nonsense", [{"paths": None}, {"models": 3}, {"paths": {"a": 3}}, {"models": [None]}])
def test_nonsense_that_a_step_left_is_undone_too(
    tracker: StructTracker, results: Path, nonsense: dict[str, Any]
) -> None:
    tracker.begin_step()
    struct = tracker.get("a")
    for name, value in nonsense.items():
        setattr(struct, name, value)
    with pytest.raises((TypeError, AttributeError, ValueError)):
        tracker.end_step()
    tracker.abandon_step()
    assert (struct.paths, struct.models) == ({}, [])
    tracker.begin_step()
    assert tracker.end_step() == {}


def test_what_reuse_found_in_a_step_that_failed_is_recorded_with_the_next(fm: MMLFileManager, data: Path) -> None:
    Toy(
        toy_config(data.parent / "x", data_dir=str(data), out_dir=str(fm.results_root), task_list=["a"], mode__n=1)
    ).run()
    MMLFileManager.clear_instance()
    again = MMLFileManager(data, fm.results_root / "second", reuse_cfg={"toy": "default"})
    tracker = StructTracker(again)
    tracker.begin_step()
    tracker.get("a").paths["spoilt"] = data
    tracker.abandon_step()
    assert list(tracker.get("a").paths) == ["toy"]
    tracker.begin_step()
    tracker.get("a")
    assert list(tracker.end_step()["a"].paths) == ["toy"]


# --- what each step sees


def seen(**paths: str) -> StructState:
    return StructState(paths, [])


def test_each_step_sees_what_the_viewer_says_and_changes_are_relative_to_that(
    tracker: StructTracker, results: Path
) -> None:
    views = {"a": seen(x="default/1.txt")}
    held = tracker.get("a")
    tracker.watch(views.get)
    tracker.begin_step()
    assert held.paths == {"x": results / "default/1.txt"}
    held.paths["y"] = results / "default/2.txt"
    assert tracker.end_step() == {"a": StructChange(paths={"y": "default/2.txt"})}
    views.clear()
    tracker.begin_step()
    assert tracker.get("a") is held
    assert held.paths == {}
    assert tracker.end_step() == {}


def test_struct_that_is_loaded_in_a_step_is_shown_there(tracker: StructTracker, results: Path) -> None:
    tracker.watch({"b": seen(x="default/1.txt")}.get)
    tracker.begin_step()
    assert tracker.get("b").paths == {"x": results / "default/1.txt"}
    tracker.get("b").paths.clear()
    tracker.abandon_step()
    assert tracker.get("b").paths == {"x": results / "default/1.txt"}


def test_afterwards_all_is_shown(tracker: StructTracker, results: Path) -> None:
    struct, other = tracker.get("a"), tracker.get("b")
    tracker.watch({"a": seen(x="default/1.txt")}.get)
    tracker.begin_step()
    tracker.end_step()
    tracker.watch(None)
    tracker.show({"a": seen(z="default/9.txt")}.get)
    assert struct.paths == {"z": results / "default/9.txt"}
    assert other.paths == {}
    tracker.begin_step()
    assert struct.paths == {"z": results / "default/9.txt"}
