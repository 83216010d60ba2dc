"""Faults in a real schedule, a few of each, and that a loss would be noticed."""

import errno
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import faults, faults_crowds
from chaos.crowd import start_together
from chaos.harness import Pool, Verdict, undisturbed
from chaos.kills import WORDS, tiny_data
from chaos.launchers import ForkServer, Launchers, World
from chaos.table import Options, is_loss


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[faults.Setting]:
    options = Options(3, None, True, tmp_path_factory.mktemp("faults"))
    with Launchers(lambda: ForkServer(light=True)) as servers:
        with servers.one() as server:
            data = tiny_data(server, options.folder / "tasks")
            whole = World.make(options.folder / "whole", data)
            events = undisturbed(server, whole, WORDS)
        pool = Pool(servers, options.folder / "worlds", whole, WORDS, data)
        yield faults.Setting(pool, servers, whole, events, options, random.Random(3))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_refuses_ends_with_a_clear_error_and_loses_nothing(setting: faults.Setting, error: int) -> None:
    row = faults._erring(setting, error, f"error {error}", 100)
    assert not is_loss(row), row
    assert row.times == faults._QUICK


def test_a_disk_that_is_small_loses_nothing(setting: faults.Setting) -> None:
    rows = list(faults._small_disks(setting))
    if not rows:
        pytest.skip("this user may not mount anything")
    assert not is_loss(rows[0]), rows


def test_a_limit_on_the_size_of_files_loses_nothing(setting: faults.Setting) -> None:
    row = faults._limited_files(setting)
    assert not is_loss(row), row


def test_a_task_that_goes_while_running_loses_nothing(setting: faults.Setting) -> None:
    row = faults._gone_data(setting)
    assert not is_loss(row), row


def test_a_torn_journal_goes_on_and_a_damaged_one_is_refused(setting: faults.Setting) -> None:
    assert not is_loss(torn := faults._torn_journals(setting)), torn
    assert not is_loss(damaged := faults._damaged_journals(setting)), damaged


def test_a_clock_that_was_set_back_loses_nothing(setting: faults.Setting) -> None:
    for row in faults._clocks(setting):
        assert not is_loss(row), row


def test_crowds_get_in_nobodys_way(setting: faults.Setting) -> None:
    for row in faults_crowds.run(setting.options, setting.whole.data):
        assert not is_loss(row), row


@pytest.mark.parametrize(
    ("said", "code", "hung", "fault"),
    [
        ("Error: full. Make room", 1, False, ""),
        ("fine", 0, False, ""),
        ("Traceback (most recent call last):\n  deep", 1, False, "it ends with a traceback"),
        ("Error: x", -11, False, "it ends with -11"),
        ("oops", 1, False, "it says nothing"),
        ("", 1, True, "it hangs"),
    ],
)
def test_how_a_command_may_end(tmp_path: Path, said: str, code: int, hung: bool, fault: str) -> None:
    world = World(tmp_path)
    world.output.write_text(said)
    assert faults.said_clearly(world, code, hung, codes=(0, 1, 2)).startswith(fault)
    assert bool(faults.said_clearly(world, code, hung, codes=(0, 1, 2))) is bool(fault)


def test_what_a_fault_costs_is_noticed(setting: faults.Setting) -> None:
    world = setting.world("spoilt")
    with setting.servers.one() as server:
        server.run(world, WORDS)
        (model, *_) = (world.results / "default" / "NOOP_MODELS").rglob("model_0001.json")
        model.write_text("{}")
        verdict = faults.mended(server, world, WORDS, setting.whole, "", "spoilt")
    assert isinstance(verdict, Verdict)
    assert [line for line in verdict.differing if "model_0001.json" in line]


def test_a_crowd_starts_together_and_each_tells_how_it_ended(tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / f"{number}.json").write_text(json.dumps(number))
        if number == 3:
            raise SystemExit
        return number

    assert start_together(work, 5) == [0, 1, 2, 70, 4]
    assert len(list(tmp_path.glob("*.json"))) == 5
