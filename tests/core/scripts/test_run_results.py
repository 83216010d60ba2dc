"""What a run made goes with it only if it is its own and no other record refers to it, and never through a link."""

import shutil
from pathlib import Path

import pytest

from mml.core.data_loading.claims import claim, claim_owner
from mml.core.scripts.journal import Opened, PathAnnounced, Planned, Started
from mml.core.scripts.run_results import References, results_of, stale_claims, unfinished_of
from mml.core.scripts.schedule import StepRecord
from tests.support.runs import NAME, make_run, write_journal

MADE = ("default/TOY/digits/toy_0001.txt", "default/TOY/all_0001.txt")
OTHER = "2026-11-20_11-00-00_toy"


def free(root: Path, folder: Path, *without: Path) -> list[str]:
    found = results_of(folder, root, References(root, [folder, *without]))
    return [path.relative_to(root).as_posix() for path in found.free]


def kept(root: Path, folder: Path) -> list[str]:
    return [reason for _, reason in results_of(folder, root, References(root, [folder])).kept]


def test_own_files_may_go(tmp_path: Path) -> None:
    assert free(tmp_path, make_run(tmp_path, paths=MADE)) == list(MADE)


def test_files_of_the_run_folder_of_data_and_elsewhere_are_no_results(tmp_path: Path) -> None:
    folder = make_run(tmp_path, paths=MADE[:1])
    data = tmp_path / "outside.txt"
    data.touch()
    texts = [f"default/runs/{NAME}/temp/x", "data:tasks/digits/task.json", str(data), *MADE[:1]]
    (folder / "temp").mkdir()
    (folder / "temp" / "x").touch()
    announced = [PathAnnounced(time=1, path=text, key="k", step=0) for text in texts]
    write_journal(folder, [Opened(time=1, pid=1, host="h", command=[]), *announced])
    assert free(tmp_path, folder) == [MADE[0]]


def test_what_is_gone_already_is_not_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path, paths=MADE)
    (tmp_path / MADE[0]).unlink()
    assert free(tmp_path, folder) == [MADE[1]]


def test_file_that_another_run_claimed_stays(tmp_path: Path) -> None:
    folder = make_run(tmp_path, paths=MADE)
    (tmp_path / "default" / "TOY" / ".claims" / "all_0001.txt").write_text(OTHER)
    assert free(tmp_path, folder) == [MADE[0]]
    assert kept(tmp_path, folder) == ["not this run's any more"]


@pytest.mark.parametrize("where", ["done_tasks", "value"])
@pytest.mark.parametrize("project", ["default", "another"])
def test_file_that_another_record_refers_to_stays(tmp_path: Path, where: str, project: str) -> None:
    folder = make_run(tmp_path, paths=MADE)
    other = make_run(tmp_path, OTHER, project, **{where: {"digits": {"paths": {"toy": MADE[0]}}}})
    assert free(tmp_path, folder) == [MADE[1]]
    assert kept(tmp_path, folder) == [f"run {project}/{OTHER} refers to it"]
    assert free(tmp_path, folder, other) == list(MADE)  # both go


def test_record_that_only_announced_a_path_does_not_refer_to_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path, paths=MADE[:1])
    other = make_run(tmp_path, OTHER)
    write_journal(other, [PathAnnounced(time=1, path=MADE[0], key="k", step=0)])
    assert free(tmp_path, folder) == [MADE[0]]


def test_names_that_json_escapes_are_recognised(tmp_path: Path) -> None:
    text = 'default/TOY/a"b\\c é.txt'
    folder = make_run(tmp_path, paths=[text])
    make_run(tmp_path, OTHER, done_tasks={"digits": {"paths": {"x": text}}})
    assert free(tmp_path, folder) == []


@pytest.mark.parametrize("source", [NAME, f"default/{NAME}"])
def test_what_a_step_made_that_a_fork_took_over_stays(tmp_path: Path, source: str) -> None:
    folder = make_run(tmp_path, paths=MADE)
    make_run(tmp_path, OTHER, source=source)
    assert free(tmp_path, folder) == []
    assert set(kept(tmp_path, folder)) == {"made by a step that another run took over"}


def test_nothing_is_reached_through_a_link(tmp_path: Path) -> None:
    root, outside = tmp_path / "results", tmp_path / "outside"
    folder = make_run(root, paths=MADE)
    shutil.move(root / "default" / "TOY", outside)
    (root / "default" / "TOY").symlink_to(outside)
    assert free(root, folder) == []
    assert set(kept(root, folder)) == {"reached through a link"}


def test_link_in_place_of_a_file_may_go(tmp_path: Path) -> None:
    root, outside = tmp_path / "results", tmp_path / "outside.txt"
    folder = make_run(root, paths=MADE[1:])
    outside.touch()
    (root / MADE[1]).unlink()
    (root / MADE[1]).symlink_to(outside)
    assert free(root, folder) == [MADE[1]]


def test_path_that_leaves_the_folder_stays(tmp_path: Path) -> None:
    root = tmp_path / "results"
    folder = make_run(root)
    (tmp_path / "precious").touch()
    assert claim(tmp_path / "precious_2", NAME)
    events = [PathAnnounced(time=1, path="default/../../precious", key="k", step=0)]
    write_journal(folder, events)
    assert free(root, folder) == []


def test_results_root_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    make_run(tmp_path / "real", paths=MADE)
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    assert free(tmp_path / "linked", tmp_path / "linked" / "default" / "runs" / NAME) == list(MADE)


def test_run_with_a_damaged_journal_has_no_results_that_could_go(tmp_path: Path) -> None:
    folder = make_run(tmp_path, paths=MADE)
    journal = folder / "journal.jsonl"
    journal.write_bytes(b"x" + journal.read_bytes())
    assert free(tmp_path, folder) == unfinished_of(folder, tmp_path) == []


def test_what_was_begun_and_not_done_is_unfinished(tmp_path: Path) -> None:
    folder = make_run(tmp_path, state="crashed", paths=MADE)
    begun = "default/TOY/half_0001.txt"
    assert claim(tmp_path / begun, NAME)
    events = [
        Opened(time=1, pid=1, host="h", command=[]),
        Planned(time=1, steps=[StepRecord("work", [0])]),
        Started(time=1, step=0),
        PathAnnounced(time=1, path=begun, key="k", step=0),
        PathAnnounced(time=1, path="default/TOY/never_0001.txt", key="k", step=0),
        PathAnnounced(time=1, path="data:tasks/x", key="k", step=0),
    ]
    write_journal(folder, events)
    assert unfinished_of(folder, tmp_path) == [tmp_path / begun]


def test_claims_of_nothing_are_stale_unless_somebody_may_need_them(tmp_path: Path) -> None:
    make_run(tmp_path, done_tasks={"digits": {"paths": {"x": "default/A/referred.txt"}}})
    paths = {name: tmp_path / "default" / "A" / f"{name}.txt" for name in ("stale", "open", "nobody", "written")}
    referred = tmp_path / "default" / "A" / "referred.txt"
    for name, owner in {"stale": "gone", "open": OTHER, "nobody": "-", "written": "gone"}.items():
        assert claim(paths[name], owner)
    assert claim(referred, "gone")
    paths["written"].touch()
    (tmp_path / "default" / "A" / ".claims" / "empty.txt").touch()
    assert stale_claims(tmp_path, "default", [OTHER], References(tmp_path)) == [paths["stale"]]
    assert claim_owner(paths["stale"]) == "gone"
