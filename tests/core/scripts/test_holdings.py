from collections import Counter
from pathlib import Path

import pytest

from mml.core.data_loading import claims
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_preparation.publish import Workbench
from mml.core.scripts.holdings import (
    CACHE,
    CREATIONS,
    RUN_KINDS,
    Holding,
    Measured,
    all_kinds,
    cache_holdings,
    creation_holdings,
    measure,
    project_holdings,
    running_tasks,
)
from mml.core.scripts.run_lock import RunLock
from mml.core.scripts.runs import project_runs
from tests.support.caches import make_cache
from tests.support.tasks import make_task
from tests.support.toy_scheduler import Toy, only_run, start_child, toy_config


def held(root: Path) -> list[Holding]:
    project = root / "results" / "default"
    return list(project_holdings(MMLFileManager.templates(), project, project_runs(project)))


def kinds(found: list[Holding]) -> Counter[str]:
    return Counter(holding.kind for holding in found)


def test_everything_that_a_run_leaves_is_found_by_kind(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes")
    Toy(toy_config(tmp_path, mode__n=2, task_list=["stripes"])).run()
    found = held(tmp_path)
    expected = {"toy": 2, "toy_model": 2, "toy_all": 2, "toy_sum": 1, "plots": 1, "runs_finished": 1}
    assert kinds(found) == expected
    run = only_run(tmp_path)
    assert {holding.owner for holding in found} == {run.name}
    assert {holding.tasks for holding in found if holding.kind == "toy"} == {("stripes",)}
    assert [holding for holding in found if holding.kind == "runs_finished"] == [
        Holding("runs_finished", run, ("stripes",), run.name)
    ]


@pytest.mark.parametrize(("trap", "state"), [("begin1:SIGKILL", "crashed"), ("begin1:SIGTERM", "interrupted")])
def test_temporary_files_of_a_stopped_run_are_found(tmp_path: Path, trap: str, state: str) -> None:
    with start_child(toy_config(tmp_path, mode__trap=trap)) as child:
        child.communicate()
    run = only_run(tmp_path)
    checkpoint = run / "temp" / "CHECKPOINTS" / "stripes" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("x")
    (run / "temp" / "own" / "deep").mkdir(parents=True)
    (run / "temp" / "own" / "deep" / "part").write_text("x")
    found = {holding.path: holding.kind for holding in held(tmp_path)}
    assert found[run] == f"runs_{state}"
    assert found[run / "temp" / "scrap.txt"] == "toy_scrap"
    assert found[checkpoint] == "checkpoints"
    assert found[run / "temp" / "own" / "deep" / "part"] == "temp"


def test_temporary_files_of_no_run_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "default" / "temp"
    folder.mkdir(parents=True)
    (folder / "part").touch()
    assert held(tmp_path) == [Holding("temp", folder / "part")]


def test_what_belongs_to_a_running_run_is_not_listed(tmp_path: Path) -> None:
    Toy(toy_config(tmp_path, mode__n=1)).run()
    finished = set(held(tmp_path))
    with start_child(toy_config(tmp_path, mode__trap="begin2:wait")) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert len(list((tmp_path / "results" / "default" / "TOY").glob("all_*.txt"))) == 3
        assert set(held(tmp_path)) == finished
        child.kill()
        child.communicate()
    assert len(set(held(tmp_path)) - finished) > 3


def test_reserved_numbers_are_leftovers(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "default" / "PARAMETERS" / "stripes"
    folder.mkdir(parents=True)
    claims.claim(folder / "model_0001.safetensors", "some_run")
    expected = Holding("parameters", folder / "model_0001.safetensors", ("stripes",), "some_run", leftover=True)
    assert held(tmp_path) == [expected]


def test_a_run_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    Toy(toy_config(tmp_path, proj="other", mode__n=1)).run()
    runs = tmp_path / "results" / "default" / "runs"
    runs.mkdir(parents=True)
    (runs / "linked").symlink_to(only_run(tmp_path, "other"))
    assert held(tmp_path) == []


def test_creations_are_found_unless_a_process_works_on_them(tmp_path: Path) -> None:
    bench = Workbench(tmp_path / "tasks", "digits")
    run = "2026-11-20_07-30-00_create"
    with bench.locked():
        made = bench.begin(f"{run}-0123abcd")
        (bench.folder / "notes").mkdir()
        assert list(creation_holdings(tmp_path / "tasks")) == []
    assert list(creation_holdings(tmp_path / "tasks")) == [Holding(CREATIONS, made, ("digits",), run)]


def test_the_cache_of_a_task_is_found(tmp_path: Path) -> None:
    folder = make_cache(tmp_path, "stripes-2")
    (tmp_path / "cache" / "mine").mkdir()
    assert list(cache_holdings(tmp_path)) == [Holding(CACHE, folder, ("stripes-2",))]


def test_where_there_is_no_data_folder_nothing_is_found(tmp_path: Path) -> None:
    assert list(cache_holdings(tmp_path / "nowhere")) == []
    assert list(creation_holdings(tmp_path / "nowhere" / "tasks")) == []
    assert running_tasks(tmp_path / "nowhere") == set()


def test_tasks_of_running_runs_are_known_across_projects(tmp_path: Path) -> None:
    for name in ("stripes", "dots"):
        make_task(tmp_path / "data", name)
    Toy(toy_config(tmp_path, task_list=["stripes"], mode__n=1)).run()
    with start_child(toy_config(tmp_path, proj="other", task_list=["dots"], mode__trap="begin0:wait")) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert running_tasks(tmp_path / "results") == {"dots"}
        child.kill()
        child.communicate()
    assert running_tasks(tmp_path / "results") == set()


def test_all_kinds_are_templates_states_and_what_lies_with_the_data() -> None:
    assert all_kinds(["plots"]) == ["plots", *RUN_KINDS.values(), CREATIONS, CACHE]
    ends = ("finished", "interrupted", "detached", "crashed", "failed", "damaged")
    assert set(RUN_KINDS.values()) == {f"runs_{end}" for end in ends}


def test_files_and_bytes_are_counted_links_unfollowed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"x" * 1000)
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"x" * 10)
    (folder / "deep" / "b").write_bytes(b"x" * 5)
    assert measure(folder) == Measured(2, 15)
    assert measure(folder / "a") == Measured(1, 10)
    assert measure(tmp_path / "gone") == Measured(0, 0)
    (folder / "link").symlink_to(outside)
    assert measure(folder).files == 3
    assert measure(folder).size < 1000
    assert measure(folder / "link").size < 1000


def test_a_held_run_counts_as_running_whatever_its_journal_says(tmp_path: Path) -> None:
    Toy(toy_config(tmp_path, mode__n=1)).run()
    with RunLock(only_run(tmp_path)):
        assert held(tmp_path) == []
