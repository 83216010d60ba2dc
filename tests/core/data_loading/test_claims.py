"""Claims: numbers are handed out once, and what a run made is known to be its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mml.core.data_loading import claims
from mml.core.data_loading.claims import (
    CLAIMS_FOLDER,
    NO_OWNER,
    Numbering,
    claim,
    claim_owner,
    complete_claim,
    release,
    remove_claimed,
    share,
)
from tests.support import toy_scheduler

# Forks 20 processes that number the same files at the same moment, 50 each; half of the files are never written.
CROWD = f"""
import sys
sys.path.insert(0, {str(Path(toy_scheduler.__file__).parents[2])!r})
from pathlib import Path
from mml.core.data_loading.claims import Numbering
from tests.support.toy_scheduler import crowd

def work(number):
    numbering = Numbering(sys.argv[2] if len(sys.argv) > 2 else f"run_{{number}}")
    for index in range(50):
        path = numbering.claim_next(Path(sys.argv[1]) / "model.txt", lambda path: None)
        if index % 2:
            with path.open("x") as file:
                file.write(str(number))
        (Path(sys.argv[1]) / f"said_{{number}}").open("a").write(path.name + "\\n")

crowd(work, 20)
"""


def ignore(path: Path) -> None:
    pass


def marks(folder: Path) -> set[str]:
    return {path.name for path in (folder / CLAIMS_FOLDER).iterdir()}


# --- one claim


def test_claimed_path_is_known_by_its_owner_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x.txt"
    assert claim(path, "me")
    assert claim_owner(path) == "me"
    assert not path.exists()
    assert path.parent.is_dir()


def test_path_is_claimed_once(tmp_path: Path) -> None:
    assert [claim(tmp_path / "x", owner) for owner in ("me", "you", "me")] == [True, False, False]
    assert claim_owner(tmp_path / "x") == "me"


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_what_stands_already_is_not_claimed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "file":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert not claim(path, "me")
    assert claim_owner(path) is None
    assert not (tmp_path / CLAIMS_FOLDER).exists()


def test_unreadable_claim_has_no_owner(tmp_path: Path) -> None:
    (tmp_path / CLAIMS_FOLDER).mkdir()
    (tmp_path / CLAIMS_FOLDER / "x").write_bytes(b"\xff")
    (tmp_path / CLAIMS_FOLDER / "y").mkdir()
    assert [claim_owner(tmp_path / name) for name in "xyz"] == [None, None, None]


def test_released_path_can_be_claimed_again(tmp_path: Path) -> None:
    for owner in ("me", "you"):
        assert claim(tmp_path / "x", owner)
        release(tmp_path / "x")
        release(tmp_path / "x")
    assert not (tmp_path / CLAIMS_FOLDER).exists()


def test_folder_of_claims_stays_as_long_as_there_are_others(tmp_path: Path) -> None:
    claim(tmp_path / "x", "me")
    claim(tmp_path / "y", "me")
    release(tmp_path / "x")
    assert marks(tmp_path) == {"y"}


def test_claim_of_a_run_is_durable_with_its_folder_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(str(Path(f"/proc/self/fd/{handle}").readlink())) or fsync(handle)
    )
    claim(tmp_path / "a" / "x", "me")
    folder = tmp_path / "a" / CLAIMS_FOLDER
    assert synced == [str(path) for path in (tmp_path, tmp_path / "a", folder / "x", folder)]
    claim(tmp_path / "a" / "y", NO_OWNER)
    assert len(synced) == 4


@pytest.mark.parametrize("left", ["", "run_", "run_7", "ru\0\0"])
def test_claim_that_was_written_in_part_gets_the_owner_who_announced_it(tmp_path: Path, left: str) -> None:
    (tmp_path / CLAIMS_FOLDER).mkdir()
    (tmp_path / CLAIMS_FOLDER / "x").write_text(left)
    (tmp_path / CLAIMS_FOLDER / ".x.abcdefgh.tmp").touch()
    complete_claim(tmp_path / "x", "run_7")
    assert claim_owner(tmp_path / "x") == "run_7"
    assert marks(tmp_path) == {"x"}


def test_run_whose_name_goes_on_where_another_ends_does_not_take_its_claims(tmp_path: Path) -> None:
    claim(tmp_path / "x", "run")
    complete_claim(tmp_path / "x", "run_2")
    assert claim_owner(tmp_path / "x") == "run"


@pytest.mark.parametrize("owner", ["you", NO_OWNER, None])
def test_claim_of_another_and_a_missing_one_are_not_completed(tmp_path: Path, owner: str | None) -> None:
    if owner is not None:
        claim(tmp_path / "x", owner)
    complete_claim(tmp_path / "x", "me")
    assert claim_owner(tmp_path / "x") == owner


def test_own_file_is_removed_with_its_claim(tmp_path: Path) -> None:
    claim(tmp_path / "x", "me")
    (tmp_path / "x").touch()
    assert remove_claimed(tmp_path / "x", "me", Path.unlink)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("owner", ["you", NO_OWNER, None])
def test_file_of_another_is_not_removed(tmp_path: Path, owner: str | None) -> None:
    if owner is not None:
        claim(tmp_path / "x", owner)
    (tmp_path / "x").touch()
    assert not remove_claimed(tmp_path / "x", "me", Path.unlink)
    assert (tmp_path / "x").exists()
    assert claim_owner(tmp_path / "x") == owner


def test_release_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    (tmp_path / CLAIMS_FOLDER).mkdir()
    assert not remove_claimed(tmp_path / "x", "me", Path.unlink)
    assert not (tmp_path / CLAIMS_FOLDER).exists()


# --- paths that several runs write


def test_shared_path_belongs_to_the_run_that_began_it_last(tmp_path: Path) -> None:
    for owner in ("me", "you", "you"):
        share(tmp_path / "x", owner)
        assert claim_owner(tmp_path / "x") == owner


def test_file_that_another_run_replaces_belongs_to_nobody(tmp_path: Path) -> None:
    share(tmp_path / "x", "me")
    (tmp_path / "x").touch()
    share(tmp_path / "x", "you")
    assert claim_owner(tmp_path / "x") == NO_OWNER


def test_own_file_stays_own_when_it_is_replaced(tmp_path: Path) -> None:
    share(tmp_path / "x", "me")
    (tmp_path / "x").touch()
    share(tmp_path / "x", "me")
    assert claim_owner(tmp_path / "x") == "me"


def test_foreign_file_that_is_replaced_stays_foreign(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    share(tmp_path / "x", "me")
    assert claim_owner(tmp_path / "x") is None


# --- numbers


def test_numbers_count_from_one(tmp_path: Path) -> None:
    numbering = Numbering("me")
    names = [numbering.claim_next(tmp_path / "a" / "m.txt", ignore).name for _ in range(3)]
    assert names == ["m_0001.txt", "m_0002.txt", "m_0003.txt"]
    assert {claim_owner(tmp_path / "a" / name) for name in names} == {"me"}


def test_paths_are_numbered_apart(tmp_path: Path) -> None:
    numbering = Numbering()
    paths = [tmp_path / "m.txt", tmp_path / "n.txt", tmp_path / "m.json", tmp_path / "a" / "m.txt"]
    assert [numbering.claim_next(path, ignore).stem for path in paths] == ["m_0001", "n_0001", "m_0001", "m_0001"]


def test_numbers_go_on_behind_the_greatest_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "m_0004.txt").touch()
    claim(tmp_path / "m_0007.txt", "you")
    assert Numbering("me").claim_next(tmp_path / "m.txt", ignore).name == "m_0008.txt"


def test_foreign_things_in_the_folder_disturb_nothing(tmp_path: Path) -> None:
    for name in ("m_final.txt", "m_12.txt", "m.txt", ".m_0009.txt.abc.tmp", "m_0009.json"):
        (tmp_path / name).touch()
    (tmp_path / "m_0002.txt").mkdir()
    (tmp_path / "m_0003.txt").symlink_to("nowhere")
    before = {path.name for path in tmp_path.iterdir()}
    numbering = Numbering("me")
    assert [numbering.claim_next(tmp_path / "m.txt", ignore).name for _ in range(2)] == ["m_0004.txt", "m_0005.txt"]
    assert {path.name for path in tmp_path.iterdir()} == before | {CLAIMS_FOLDER}


def test_number_that_another_took_meanwhile_is_passed_over(tmp_path: Path) -> None:
    mine, yours = Numbering("me"), Numbering("you")
    names = [
        numbering.claim_next(tmp_path / "m.txt", ignore).name for numbering in (mine, yours, mine, yours, yours, mine)
    ]
    assert names == [f"m_000{number}.txt" for number in range(1, 7)]


def test_who_fell_far_behind_catches_up_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, yours = Numbering("me"), Numbering("you")
    mine.claim_next(tmp_path / "m.txt", ignore)
    for _ in range(500):
        yours.claim_next(tmp_path / "m.txt", ignore)
    tried: list[str] = []
    number_path = claims.number_path
    monkeypatch.setattr(claims, "number_path", lambda path, number: tried.append(path) or number_path(path, number))
    assert mine.claim_next(tmp_path / "m.txt", ignore).name == "m_0502.txt"
    assert len(tried) < 20


def test_every_path_is_announced_before_it_is_claimed(tmp_path: Path) -> None:
    (tmp_path / "m_0001.txt").touch()
    announced: list[tuple[str, bool]] = []

    def announce(path: Path) -> None:
        announced.append((path.name, claim_owner(path) is None))

    Numbering("me").claim_next(tmp_path / "m.txt", announce)
    assert announced == [("m_0002.txt", True)]


def test_path_that_another_claims_after_the_announcement_is_passed_over(tmp_path: Path) -> None:
    def lose_the_first(path: Path) -> None:
        if path.name == "m_0001.txt":
            claim(path, "you")

    lost: list[str] = []
    taken = Numbering("me").claim_next(tmp_path / "m.txt", lose_the_first, lost=lambda path: lost.append(path.name))
    assert (taken.name, lost) == ("m_0002.txt", ["m_0001.txt"])
    assert claim_owner(tmp_path / "m_0001.txt") == "you"


def test_folder_of_claims_that_vanishes_is_made_again(tmp_path: Path) -> None:
    numbering = Numbering("me")
    for _ in range(2):
        release(numbering.claim_next(tmp_path / "m.txt", ignore))
    assert numbering.claim_next(tmp_path / "m.txt", ignore).name == "m_0003.txt"


@pytest.mark.parametrize("owner", [None, "the_same_run"], ids=["runs of their own", "one run"])
def test_many_processes_get_names_of_their_own(tmp_path: Path, owner: str | None) -> None:
    command = [sys.executable, "-c", CROWD, str(tmp_path), *([owner] if owner else [])]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    said = [name for number in range(20) for name in (tmp_path / f"said_{number}").read_text().split()]
    assert len(said) == 1000
    assert set(said) == {f"model_{number:04}.txt" for number in range(1, 1001)}
    assert len(list(tmp_path.glob("model_*.txt"))) == 500
    assert marks(tmp_path) == set(said)


def test_claims_are_small_and_hidden(tmp_path: Path) -> None:
    path = Numbering("2026-11-20_07-30-00_train").claim_next(tmp_path / "m.txt", ignore)
    assert [entry.name for entry in os.scandir(tmp_path)] == [".claims"]
    assert (tmp_path / ".claims" / path.name).stat().st_size < 100


# --- numbers of steps beside one another


def test_number_behind_those_that_others_will_take_is_taken(tmp_path: Path) -> None:
    path, numbering = tmp_path / "model.json", Numbering("mine")
    names = [numbering.claim_next(path, lambda _: None, before).name for before in (2, 0, 1)]
    assert names == ["model_0003.json", "model_0001.json", "model_0002.json"]


def test_numbers_of_other_runs_come_first_and_those_of_this_run_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    for number in (1, 4):
        claim(tmp_path / f"model_000{number}.json", "other")
    (tmp_path / "model_0005.json").write_text("of nobody")
    claim(tmp_path / "model_0007.json", "mine")
    assert Numbering("mine").claim_next(path, lambda _: None, 0).name == "model_0006.json"
    assert Numbering("mine").claim_next(path, lambda _: None, 2).name == "model_0008.json"


def test_number_that_is_taken_all_the_same_gives_way_to_the_next_free_one(tmp_path: Path) -> None:
    path, numbering = tmp_path / "model.json", Numbering("mine")
    assert numbering.claim_next(path, lambda _: None, 1).name == "model_0002.json"
    assert numbering.claim_next(path, lambda _: None, 1).name == "model_0003.json"


def test_numbers_that_became_free_are_found_when_looking_again(tmp_path: Path) -> None:
    path, numbering = tmp_path / "model.json", Numbering("mine")
    first = numbering.claim_next(path, lambda _: None)
    assert numbering.claim_next(path, lambda _: None).name == "model_0002.json"
    remove_claimed(tmp_path / "model_0002.json", "mine", lambda path: path.unlink(missing_ok=True))
    numbering.look_again()
    assert numbering.claim_next(path, lambda _: None).name == "model_0002.json"
    assert first.name == "model_0001.json"
