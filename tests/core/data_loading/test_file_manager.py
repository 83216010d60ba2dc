"""The file manager: every path of a run, reuse of other projects, and removal of what is its own."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mml.core.data_loading import claims
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.exceptions import MMLError, PathTemplateError, ReuseError, UnknownNameError
from mml.core.scripts.model_storage import ModelStorage
from mml.core.scripts.portable_paths import PathRoots
from tests.support.tasks import make_task

RUN = "2026-11-20_07-30-00_toy"


class Fim:
    pass


@pytest.fixture(autouse=True)
def own_templates() -> Iterator[None]:
    """Declare templates for this module, and forget them and others that a test declares."""
    before = dict(MMLFileManager._templates)
    MMLFileManager.add_assignment_path(Fim, "fims", "PROJ_PATH/FIMS/TASK_NAME/fim.npy", True, True)
    MMLFileManager.add_assignment_path(None, "one", "PROJ_PATH/one.json", False, MMLFileManager.GLOBAL_REUSABLE)
    MMLFileManager.add_assignment_path(None, "many", "PROJ_PATH/many.json", True, MMLFileManager.GLOBAL_REUSABLE)
    MMLFileManager.add_assignment_path(None, "scraps", "TEMP_PATH/SCRAPS/scrap.txt", True)
    MMLFileManager.add_assignment_path(None, "folders", "PROJ_PATH/FOLDERS/TASK_NAME/folder", True)
    yield
    MMLFileManager._templates.clear()
    MMLFileManager._templates.update(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("pets", "digits"):
        make_task(folder, name, per_class=1)
    return folder


def manager(tmp_path: Path, project: str = "new", data: Path | None = None, **options: Any) -> MMLFileManager:
    MMLFileManager.clear_instance()
    made: MMLFileManager = MMLFileManager(data or tmp_path / "data", tmp_path / "results" / project, **options)
    return made


@pytest.fixture
def fm(tmp_path: Path) -> MMLFileManager:
    return manager(tmp_path)


def write(fm: MMLFileManager, key: str, text: str = "x", **names: Any) -> Path:
    path = fm.construct_saving_path(None, key, **names)
    path.write_text(text)
    return path


# --- places


def test_there_is_one_manager(fm: MMLFileManager) -> None:
    assert MMLFileManager.instance() is fm
    with pytest.raises(RuntimeError, match="MMLFileManager exists already"):
        MMLFileManager(fm.data_path, fm.proj_path)


def test_folders_lie_where_they_should_and_are_not_made(fm: MMLFileManager, tmp_path: Path) -> None:
    assert fm.data_path == tmp_path / "data"
    assert fm.proj_path == tmp_path / "results" / "new"
    assert fm.results_root == tmp_path / "results"
    assert fm.roots == PathRoots(tmp_path / "results", tmp_path / "data")
    assert fm.task_path("pets") == tmp_path / "data" / "tasks" / "pets"
    assert list(tmp_path.iterdir()) == []


def test_relative_folders_count_from_where_the_manager_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fm: MMLFileManager = MMLFileManager(Path("data"), Path("results/new"))
    monkeypatch.chdir("/")
    assert (fm.data_path, fm.proj_path) == (tmp_path / "data", tmp_path / "results" / "new")


def test_a_file_is_of_the_run_that_made_it(fm: MMLFileManager, tmp_path: Path) -> None:
    fm.open_run(tmp_path / "one")
    path = write(fm, "fims", task_name="pets")
    assert fm.owns(path)
    fm.open_run(tmp_path / "two")
    assert not fm.owns(path)
    assert not fm.owns(tmp_path / "nothing")


def test_download_folder_is_made(fm: MMLFileManager, tmp_path: Path) -> None:
    for _ in range(2):
        assert fm.get_download_path("pets") == tmp_path / "data" / "downloads" / "pets"
    assert fm.get_download_path("pets").is_dir()


def test_temporary_files_are_those_of_the_run_or_of_the_project_without_one(fm: MMLFileManager, tmp_path: Path) -> None:
    assert fm.temp_path == fm.proj_path / "temp"
    fm.open_run(fm.proj_path / "runs" / RUN)
    assert fm.temp_path == fm.proj_path / "runs" / RUN / "temp"
    assert manager(tmp_path, log_path=tmp_path / "log").temp_path == tmp_path / "log" / "temp"


# --- templates


def test_core_kinds_are_declared() -> None:
    assert {
        "parameters",
        "pipeline",
        "models",
        "predictions",
        "metrics",
        "plots",
        "sample_grid",
        "temp",
        "checkpoints",
    } <= MMLFileManager.templates().keys()


def test_new_kind_is_declared_before_there_is_a_manager(tmp_path: Path) -> None:
    MMLFileManager.add_assignment_path(None, "notes", Path("PROJ_PATH") / "NOTES" / "note.txt")
    assert manager(tmp_path).construct_saving_path(None, "notes").name == "note_0001.txt"


def test_declaration_that_comes_too_late_is_refused(fm: MMLFileManager) -> None:
    with pytest.raises(PathTemplateError, match="key 'notes' comes too late: the file manager exists already"):
        MMLFileManager.add_assignment_path(None, "notes", "PROJ_PATH/note.txt")
    with pytest.raises(UnknownNameError):
        fm.construct_saving_path(None, "notes")


def test_same_declaration_again_is_fine_at_any_time(fm: MMLFileManager) -> None:
    MMLFileManager.add_assignment_path(Fim, "fims", "PROJ_PATH/FIMS/TASK_NAME/fim.npy", True, True)


@pytest.mark.parametrize(
    "other",
    [
        (Fim, "fims", "PROJ_PATH/OTHER/TASK_NAME/fim.npy", True, True),
        (Fim, "fims", "PROJ_PATH/FIMS/TASK_NAME/fim.npy", False, True),
        (Fim, "fims", "PROJ_PATH/FIMS/TASK_NAME/fim.npy", True, False),
        (None, "fims", "PROJ_PATH/FIMS/TASK_NAME/fim.npy", True, True),
    ],
)
def test_other_declaration_of_a_key_is_refused(other: tuple[Any, ...]) -> None:
    with pytest.raises(PathTemplateError, match="Key 'fims' has the path template 'PROJ_PATH/FIMS/.* already"):
        MMLFileManager.add_assignment_path(*other)


def test_wrong_template_is_refused_with_the_reason() -> None:
    with pytest.raises(PathTemplateError, match="of key 'wrong' is refused: it has to start with one of PROJ_PATH"):
        MMLFileManager.add_assignment_path(None, "wrong", "somewhere/x")
    assert "wrong" not in MMLFileManager.templates()


def test_list_of_templates_is_a_copy() -> None:
    MMLFileManager.templates().clear()
    assert "fims" in MMLFileManager.templates()


# --- constructing paths


def test_path_is_filled_numbered_and_free(fm: MMLFileManager) -> None:
    path = fm.construct_saving_path(Fim(), "fims", task_name="pets")
    assert path == fm.proj_path / "FIMS" / "pets" / "fim_0001.npy"
    assert path.parent.is_dir()
    assert not path.exists()
    assert fm.construct_saving_path(Fim(), "fims", task_name="pets").name == "fim_0002.npy"
    assert fm.construct_saving_path(Fim(), "fims", task_name="digits").name == "fim_0001.npy"


def test_file_name_is_filled_and_numbered_before_its_suffix(fm: MMLFileManager) -> None:
    path = fm.construct_saving_path(None, "predictions", task_name="pets", file_name="test.json")
    assert path == fm.proj_path / "PREDICTIONS" / "pets" / "test_0001.json"


def test_path_without_number_is_the_same_each_time(fm: MMLFileManager) -> None:
    assert fm.construct_saving_path({}, "one") == fm.construct_saving_path({}, "one") == fm.proj_path / "one.json"


def test_temporary_path_lies_in_the_run(fm: MMLFileManager) -> None:
    fm.open_run(fm.proj_path / "runs" / RUN)
    path = fm.construct_saving_path(None, "checkpoints", task_name="pets", file_name="best.ckpt")
    assert path == fm.proj_path / "runs" / RUN / "temp" / "CHECKPOINTS" / "pets" / "best.ckpt"
    assert path.parent.is_dir()


@pytest.mark.parametrize("obj", [Fim(), None, type("Special", (Fim,), {})()])
def test_objects_of_the_declared_class_are_taken(fm: MMLFileManager, obj: Any) -> None:
    assert fm.construct_saving_path(obj, "fims", task_name="pets")


@pytest.mark.parametrize("obj", ["text", 0, Fim])
def test_object_of_another_class_is_refused(fm: MMLFileManager, obj: Any) -> None:
    with pytest.raises(PathTemplateError, match=f"for key 'fims': it stores Fim objects, not {type(obj).__name__}"):
        fm.construct_saving_path(obj, "fims", task_name="pets")


@pytest.mark.parametrize(
    ("key", "names", "fault"),
    [
        ("fims", {}, "its path needs a task_name"),
        ("fims", {"task_name": ""}, "its path needs a task_name"),
        ("plots", {"task_name": "pets"}, "its path needs a file_name, e.g. 'values.csv'"),
        ("fims", {"task_name": "pets", "file_name": "x"}, "has no place for file_name='x'"),
        ("fims", {"task_name": "a/b"}, "task_name='a/b' can't be part of a path: it holds a separator"),
        ("fims", {"task_name": ".."}, r"task_name='\.\.' can't be part of a path: it is a name of the file system"),
        ("plots", {"task_name": "a", "file_name": "../x"}, "it holds a separator"),
        ("plots", {"task_name": "a", "file_name": "a\\b"}, "it holds a separator"),
        ("plots", {"task_name": "a", "file_name": "a\0b"}, "it holds a separator"),
        ("plots", {"task_name": "a", "file_name": ".claims"}, "or of mml itself"),
        ("plots", {"task_name": "my_FILE_NAME", "file_name": "x"}, "'FILE_NAME' is a token of path templates"),
        ("plots", {"task_name": "a", "file_name": "é" * 101}, "it is longer than 200 bytes"),
    ],
)
def test_request_that_would_end_in_a_wrong_path_is_refused(
    fm: MMLFileManager, key: str, names: dict[str, str], fault: str
) -> None:
    with pytest.raises(PathTemplateError, match=f"No path for key '{key}': .*{fault}"):
        fm.construct_saving_path(None, key, **names)
    assert not fm.proj_path.exists()


@pytest.mark.parametrize("names", [{"task_name": "é" * 100}, {"task_name": "\udce9"}, {"task_name": "a+tag?1"}])
def test_unusual_names_are_fine(fm: MMLFileManager, names: dict[str, str]) -> None:
    write(fm, "fims", **names)


def test_unknown_key_is_refused_with_the_nearest(fm: MMLFileManager) -> None:
    with pytest.raises(
        UnknownNameError, match="Unknown path key 'parameter'. Did you mean 'parameters'.*add_assignment_p"
    ):
        fm.construct_saving_path(None, "parameter", task_name="pets")


def test_task_name_where_there_is_no_place_for_it_is_ignored(fm: MMLFileManager) -> None:
    assert fm.construct_saving_path(None, "one", task_name="pets") == fm.proj_path / "one.json"


def test_foreign_files_disturb_nothing_and_stay(fm: MMLFileManager) -> None:
    folder = fm.proj_path / "FIMS" / "pets"
    folder.mkdir(parents=True)
    for name in ("fim_final.npy", "fim_12.npy", "fim.npy"):
        (folder / name).touch()
    (folder / "fim_0001.npy").mkdir()
    (folder / "fim_0002.npy").symlink_to("nowhere")
    before = {path.name for path in folder.iterdir()}
    assert write(fm, "fims", task_name="pets").name == "fim_0003.npy"
    assert {path.name for path in folder.iterdir()} == before | {"fim_0003.npy", ".claims"}


# --- what a run is told of, and may remove


class Told(list[tuple[str, str, bool]]):
    """Takes down what is announced: name, key, and whether the path was claimed by then."""

    def __call__(self, path: Path, key: str) -> None:
        self.append((path.name, key, claims.claim_owner(path) is not None))


def running(fm: MMLFileManager, name: str = RUN) -> Told:
    told = Told()
    fm.open_run(fm.proj_path / "runs" / name)
    fm.on_path = told
    return told


def test_new_paths_are_announced_before_they_are_claimed(fm: MMLFileManager) -> None:
    told = running(fm)
    write(fm, "fims", task_name="pets")
    write(fm, "one")
    write(fm, "temp", file_name="t")
    write(fm, "scraps")
    assert told == [
        ("fim_0001.npy", "fims", False),
        ("one.json", "one", False),
        ("t", "temp", False),
        ("scrap_0001.txt", "scraps", False),
    ]


def test_paths_of_files_that_stand_already_are_not_announced(fm: MMLFileManager) -> None:
    fm.proj_path.mkdir(parents=True)
    (fm.proj_path / "one.json").touch()
    told = running(fm)
    write(fm, "one")
    write(fm, "temp", file_name="t")
    told.clear()
    write(fm, "temp", file_name="t")
    assert told == []


def test_own_files_are_removed_and_their_numbers_free_again(fm: MMLFileManager) -> None:
    running(fm)
    for key, names in (("fims", {"task_name": "pets"}), ("one", {}), ("scraps", {}), ("temp", {"file_name": "t"})):
        path = write(fm, key, **names)
        fm.remove_own(path)
        fm.remove_own(path)
        assert not path.exists()
        assert claims.claim_owner(path) is None
    manager_again = fm.construct_saving_path(None, "fims", task_name="pets")
    assert manager_again.name == "fim_0002.npy"  # not handed out twice by one process


def test_own_folder_is_removed_with_all_that_is_in_it(fm: MMLFileManager) -> None:
    running(fm)
    folder = fm.construct_saving_path(None, "folders", task_name="pets")
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "x").touch()
    fm.remove_own(folder)
    assert not folder.exists()


def test_files_of_others_are_never_removed(fm: MMLFileManager) -> None:
    running(fm, "another_run")
    theirs = write(fm, "fims", task_name="pets")
    foreign = fm.proj_path / "FIMS" / "pets" / "fim_0007.npy"
    foreign.touch()
    running(fm)
    for path in (theirs, foreign, foreign.parent, fm.proj_path):
        fm.remove_own(path)
        fm.remove_half_written(path)
    assert theirs.exists()
    assert foreign.exists()


def test_file_that_another_run_has_taken_over_stays(fm: MMLFileManager) -> None:
    running(fm)
    path = fm.construct_saving_path(None, "one")  # announced, and the run is killed before it writes
    running(fm, "another_run")
    assert write(fm, "one", "theirs") == path
    running(fm)
    fm.remove_half_written(path)
    assert path.read_text() == "theirs"


def test_file_that_another_run_has_replaced_stays(fm: MMLFileManager) -> None:
    running(fm)
    path = write(fm, "one", "half")
    running(fm, "another_run")
    write(fm, "one", "theirs")
    running(fm)
    fm.remove_half_written(path)
    assert path.read_text() == "theirs"


def test_unfinished_writes_go_with_the_half_written_file(fm: MMLFileManager) -> None:
    running(fm)
    path = write(fm, "fims", task_name="pets")
    left = path.with_name(f".{path.name}.abcdefgh.tmp")
    foreign = path.with_name(".notes.txt.abcdefgh.tmp")
    for file in (left, foreign):
        file.touch()
    fm.remove_half_written(path)
    assert {file.name for file in path.parent.iterdir()} == {foreign.name}


@pytest.mark.parametrize("run", [RUN, "another_run"])
def test_killed_attempts_to_replace_a_file_go_when_its_run_tries_again(fm: MMLFileManager, run: str) -> None:
    running(fm)
    path = write(fm, "many", "as it was")
    left = path.with_name(f".{path.name}.abcdefgh.tmp")
    left.touch()
    running(fm, run)
    fm.prepare_replacement(path)
    assert left.exists() == (run != RUN)
    assert path.read_text() == "as it was"


def test_file_goes_though_the_kill_came_before_its_claim_had_an_owner(fm: MMLFileManager) -> None:
    running(fm)
    path = write(fm, "many")
    (path.parent / ".claims" / path.name).write_text("")
    fm.remove_half_written(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("how", ["half written", "cleaned up"])
def test_what_was_removed_is_durably_gone(fm: MMLFileManager, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    running(fm)
    fm.temp_path.mkdir(parents=True)
    kept, gone = write(fm, "many"), write(fm, "many")
    synced: list[Path] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()) or fsync(handle)
    )
    if how == "half written":
        fm.remove_half_written(gone)
    else:
        fm.remove_own(gone)
        assert synced == []
        fm.remove_temp()
    assert {gone.parent, gone.parent / ".claims"} <= set(synced)
    assert kept.exists()
    synced.clear()
    fm.remove_temp()
    assert synced == [fm.temp_path.parent]


def test_temporary_file_of_a_killed_step_is_durably_gone(fm: MMLFileManager, monkeypatch: pytest.MonkeyPatch) -> None:
    running(fm)
    path = write(fm, "temp", file_name="t")
    synced: list[Path] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(Path(f"/proc/self/fd/{handle}").readlink()) or fsync(handle)
    )
    fm.remove_half_written(path)
    assert synced == [path.parent]


def test_temporary_folder_goes_whole(fm: MMLFileManager) -> None:
    running(fm)
    write(fm, "temp", file_name="t")
    write(fm, "scraps")
    fm.remove_temp()
    fm.remove_temp()
    assert not fm.temp_path.exists()


def test_block_that_is_repeated_gets_its_paths_again(fm: MMLFileManager) -> None:
    running(fm)
    first = [write(fm, "many", "old"), write(fm, "fims", task_name="pets")]
    later = write(fm, "many", "of a step")
    again = manager(fm.results_root.parent)
    told = running(again)
    with again.repeating(first):
        path = again.construct_saving_path(None, "many")
        assert (path, path.exists()) == (first[0], False)
        assert again.construct_saving_path(None, "many").name == "many_0003.json"
    assert again.construct_saving_path(None, "fims", task_name="pets").name == "fim_0002.npy"
    assert later.read_text() == "of a step"
    assert [name for name, _, _ in told] == ["many_0001.json", "many_0003.json", "fim_0002.npy"]


def test_path_of_another_is_not_handed_out_again(fm: MMLFileManager) -> None:
    running(fm, "another_run")
    theirs = write(fm, "many")
    running(fm)
    with fm.repeating([theirs]):
        assert fm.construct_saving_path(None, "many").name == "many_0002.json"
    assert theirs.exists()


# --- structs and reuse


def store_model(fm: MMLFileManager, task: str, fold: int) -> Path:
    path = fm.construct_saving_path(None, "models", task_name=task)
    record = ModelStorage(
        task=task, fold=fold, parameters=fm.proj_path / f"{fold}.st", created=datetime(2026, 1, 1, tzinfo=UTC)
    )
    record.store(path, fm.roots)
    return path


@pytest.fixture
def old(tmp_path: Path) -> MMLFileManager:
    """The manager of a project `old` with files to reuse."""
    fm = manager(tmp_path, "old")
    for number in (1, 2):
        write(fm, "fims", f"fim {number}", task_name="pets")
        write(fm, "many", f"many {number}")
        store_model(fm, "pets", number)
    write(fm, "one", "one")
    return fm


def test_struct_is_that_of_the_installed_task(tmp_path: Path, data: Path) -> None:
    fm = manager(tmp_path, data=data)
    struct = fm.load_struct("pets")
    assert (struct.name, struct.folder, struct.num_classes) == ("pets", data / "tasks" / "pets", 3)
    assert struct.paths == {}
    assert fm.load_struct("pets") is not struct
    with pytest.raises(UnknownNameError, match="Unknown task 'pet'. Did you mean 'pets'?"):
        fm.load_struct("pet")


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize(("source", "text"), [("old", "fim 2"), ("old#1", "fim 1"), (["empty", "old"], "fim 2")])
def test_newest_or_numbered_file_of_the_first_project_that_has_one_is_reused(
    tmp_path: Path, data: Path, source: Any, text: str
) -> None:
    (tmp_path / "results" / "empty").mkdir()
    fm = manager(tmp_path, data=data, reuse_cfg={"fims": source})
    assert fm.reuses
    assert fm.load_struct("pets").paths["fims"].read_text() == text
    assert fm.load_struct("pets", with_reuse=False).paths == {}


@pytest.mark.usefixtures("old")
def test_models_of_all_projects_are_attached(tmp_path: Path, data: Path) -> None:
    store_model(manager(tmp_path, "older"), "pets", 7)
    fm = manager(tmp_path, data=data, reuse_cfg={"models": ["older", "old"]})
    models = fm.load_struct("pets").models
    assert [model.fold for model in models] == [7, 1, 2]
    assert models[0].parameters == tmp_path / "results" / "older" / "7.st"
    one = manager(tmp_path, data=data, reuse_cfg={"models": "old#2"})
    assert [model.fold for model in one.load_struct("pets").models] == [2]


def test_damaged_model_is_named(tmp_path: Path, data: Path, old: MMLFileManager) -> None:
    path = next((old.proj_path / "MODELS" / "pets").glob("*.json"))
    path.write_text(json.dumps({"task": "pets"}))
    fm = manager(tmp_path, data=data, reuse_cfg={"models": "old"})
    with pytest.raises(MMLError, match=f"Model record {path} is damaged"):
        fm.load_struct("pets")


@pytest.mark.usefixtures("old")
def test_task_without_a_file_to_reuse_is_told(tmp_path: Path, data: Path) -> None:
    fm = manager(tmp_path, data=data, reuse_cfg={"fims": "old"})
    with pytest.raises(ReuseError, match=r"reuse\.fims=old: there is no file of kind 'fims' for task 'digits'"):
        fm.load_struct("digits")


def test_files_of_the_whole_project_are_reused_once(tmp_path: Path, data: Path, old: MMLFileManager) -> None:
    fm = manager(tmp_path, data=data, reuse_cfg={"one": "old", "many": "old#1"})
    assert fm.global_reusables == {"one": old.proj_path / "one.json", "many": old.proj_path / "many_0001.json"}
    assert fm.load_struct("pets").paths == {}


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize(("key", "source"), [("many", "old#9"), ("one", "old#1"), ("one", "empty")])
def test_project_without_a_file_to_reuse_is_told_at_once(tmp_path: Path, key: str, source: str) -> None:
    (tmp_path / "results" / "empty").mkdir()
    with pytest.raises(ReuseError, match=f"there is no file of kind '{key}' of the project"):
        manager(tmp_path, reuse_cfg={key: source})
    assert not MMLFileManager.exists()


@pytest.mark.parametrize("config", [None, {}, {"clean_up": {"temp": True}}, {"fims": None}])
def test_without_a_request_nothing_is_reused(tmp_path: Path, config: Any) -> None:
    fm = manager(tmp_path, reuse_cfg=config)
    assert not fm.reuses
    assert fm.global_reusables == {}


def test_kinds_to_remove_are_those_that_the_config_asks_for(tmp_path: Path) -> None:
    assert manager(tmp_path, remove_cfg={"fims": True, "plots": False}).kinds_to_remove == ["fims"]
    with pytest.raises(UnknownNameError, match=r"key in reuse\.clean_up 'parametres'. Did you mean 'parameters'"):
        manager(tmp_path, remove_cfg={"parametres": True})


def test_reading_leaves_nothing_behind(tmp_path: Path, data: Path, old: MMLFileManager) -> None:
    before = {path: path.stat().st_mtime_ns for path in old.results_root.rglob("*")}
    fm = manager(tmp_path, "new", data=data, reuse_cfg={"fims": "old", "models": "old", "one": "old"})
    fm.load_struct("pets")
    assert {path: path.stat().st_mtime_ns for path in old.results_root.rglob("*")} == before
    assert os.listdir(fm.results_root) == ["old"]  # noqa: PTH208 # names


def test_what_a_record_names_outside_of_the_project_stays(
    fm: MMLFileManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fm.open_run(fm.proj_path / "runs" / RUN)
    victims = [tmp_path / "victim", fm.results_root / "other" / "victim", fm.proj_path / "runs" / "victim"]
    for victim in victims:
        (victim.parent / claims.CLAIMS_FOLDER).mkdir(parents=True)
        (victim.parent / claims.CLAIMS_FOLDER / "victim").write_text(RUN if victim is victims[0] else "-")
        victim.write_text("precious")
    named = [*victims, fm.temp_path / ".." / ".." / "victim", fm.proj_path / ".." / ".." / "victim", fm.proj_path]
    for path in named:
        fm.remove_own(path)
        fm.remove_half_written(path)
    assert [victim.read_text() for victim in victims] == ["precious"] * 3
    assert f"{tmp_path / 'victim'} is recorded as a file of this run, but is none of its project" in caplog.text
