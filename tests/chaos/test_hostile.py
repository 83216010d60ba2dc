"""A part of the hostile inputs, given to the real command, and that a loss would be noticed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import hostile, hostile_trained
from chaos.launchers import ForkServer, World

SOME = [
    "zip with ..",
    "tar.xz with an absolute name",
    "tar with a link to a folder outside, and a file through it",
    "zip that is encrypted",
    "zip whose entries overlap",
    "tar.gz cut to 50%",
    "task ../escaped",
    "project ../escaped",
    "manifest with an image above its folder",
]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer(light=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, hostile.Case]:
    outside = tmp_path_factory.mktemp("outside")
    found = [*hostile.archive_cases(outside, 1100 << 20), *hostile.name_cases(outside)]
    return {case.name: case for case in found}


@pytest.mark.parametrize("name", SOME)
def test_hostile_input_ends_with_a_clear_error_and_nothing_outside_is_touched(
    tmp_path: Path, server: ForkServer, cases: dict[str, hostile.Case], name: str
) -> None:
    assert hostile.try_case(server, tmp_path / "world", cases[name]) is None
    assert not (tmp_path / "world").exists()


def test_what_is_fine_is_noticed_when_an_error_was_wanted(tmp_path: Path, server: ForkServer) -> None:
    def put(world: World) -> None:
        hostile._zip(world, hostile.good_files())

    good = hostile.Case("fine", put)
    assert hostile.try_case(server, tmp_path / "world", good) == "took it"
    assert "fine: mml create task=hostile" in (tmp_path / "world" / "loss.txt").read_text()
    assert hostile.try_case(server, tmp_path / "again", good._replace(harmless=True)) is None


def test_code_that_runs_and_files_that_are_touched_are_noticed(tmp_path: Path, server: ForkServer) -> None:
    run = hostile.Case("code", lambda world: (world.root / hostile.OWNED).mkdir(), ["info"], harmless=True)
    assert hostile.try_case(server, tmp_path / "one", run) == "code of the input was run"


@pytest.mark.parametrize(
    ("code", "said", "harmless", "hung", "fault"),
    [
        (1, "Error: what, and the fix", False, False, None),
        (2, "Error: what, and the fix", False, False, None),
        (0, "fine", True, False, None),
        (0, "fine", False, False, "took it"),
        (1, "Traceback (most recent call last):\nKeyError", False, False, "ends with a traceback"),
        (-9, "", False, False, "ends with code -9"),
        (1, "no", False, False, "ends without an error that says what is wrong"),
        (-9, "", True, True, "hangs"),
    ],
)
def test_how_a_command_may_end(code: int, said: str, harmless: bool, hung: bool, fault: str | None) -> None:
    assert hostile.verdict(code, said, harmless=harmless, hung=hung) == fault


def test_the_pickle_by_hand_would_make_a_folder(tmp_path: Path) -> None:
    import pickle

    pickle.loads(hostile_trained._code(World(tmp_path), "owned"))
    assert (tmp_path / "owned").is_dir()
    pickle.loads(pickle.dumps(hostile.Code(str(tmp_path / "other"))))
    assert (tmp_path / "other").is_dir()


def test_names_of_cases_are_their_own(cases: dict[str, hostile.Case]) -> None:
    assert len(cases) > 80
    names = [name for name, *_ in hostile_trained.cases("owned")]
    assert len(set(names)) == len(names)
    assert os.sep not in hostile.OWNED
