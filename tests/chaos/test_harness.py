"""The harness finds what it is made for: with schedulers that break the rules it reports losses, with others none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos import launchers
from chaos.harness import Disturbance, Pool, Verdict, next_words, row, undisturbed
from chaos.kills import WORDS, tiny_data
from chaos.launchers import Ended, ForkServer, FreshProcess, Launchers, World
from chaos.table import is_loss


@pytest.fixture(scope="module")
def servers() -> Iterator[Launchers]:
    with Launchers(lambda: ForkServer(light=True)) as made:
        yield made


@pytest.fixture(scope="module")
def server(servers: Launchers) -> Iterator[ForkServer]:
    with servers.one() as one:
        assert isinstance(one, ForkServer)
        yield one


@pytest.fixture(scope="module")
def data(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_data(server, tmp_path_factory.mktemp("chaos") / "tasks")


class Tried:
    """A mode `noop` that does something wrong, run undisturbed."""

    def __init__(self, server: ForkServer, folder: Path, data: Path, wrong: str) -> None:
        self.words = [*WORDS, f"mode.wrong={wrong}"]
        self.whole = World.make(folder / "whole", data)
        self.events = undisturbed(server, self.whole, self.words)
        self.server, self.folder, self.data = server, folder, data

    def at(self, part: str) -> int:
        """Return the number of the first event that holds a text."""
        return next(number for number, event in enumerate(self.events, start=1) if part in event)

    def killed(self, number: int) -> Verdict:
        """Kill it at an event, continue, and judge."""
        lent = Launchers(lambda: self.server)
        (verdict,) = Pool(lent, self.folder, self.whole, self.words, self.data).disturb(
            "", {"x": [Disturbance(number)]}
        )
        return verdict


@pytest.fixture(scope="module")
def right(server: ForkServer, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """Return a schedule that keeps the rules."""
    return Tried(server, tmp_path_factory.mktemp("right"), data, "nothing")


@pytest.mark.parametrize("place", ["text_2_0001", "sum.json", "rename"])
def test_a_scheduler_that_keeps_the_rules_survives(right: Tried, place: str) -> None:
    verdict = right.killed(right.at(place))
    assert (verdict.survived, verdict.repeated, verdict.differing, verdict.struck) == (True, 0, [], True)
    assert not (right.folder / "x").exists()


@pytest.mark.parametrize(
    ("wrong", "place", "differs"),
    [
        # Opened for the first time, filled without an event, and then the step is recorded.
        ("appends", ("opened", "lines.txt", 1), "lines.txt"),
        ("tears", ("open", "between_2", 0), "torn_2.txt"),
        ("forgets", ("open", "text_2_0001", 0), "journal.jsonl"),
    ],
)
def test_a_scheduler_that_breaks_a_rule_is_found_out(
    server: ForkServer, data: Path, tmp_path: Path, wrong: str, place: tuple[str, str, int], differs: str
) -> None:
    tried = Tried(server, tmp_path, data, wrong)
    what, name, later = place
    number = next(i for i, event in enumerate(tried.events, start=1) if event.startswith(what) and name in event)
    verdict = tried.killed(number + later)
    assert verdict.survived
    assert any(differs in line for line in verdict.differing), verdict
    assert is_loss(row("x", [verdict]))
    assert differs in (tmp_path / "x" / "loss.txt").read_text()


def test_a_run_that_was_killed_at_once_is_started_again(right: Tried) -> None:
    verdict = right.killed(right.at("config.yaml"))
    assert verdict.restarted and verdict.survived and not verdict.differing
    assert "started again" in row("x", [verdict, verdict._replace(struck=False)]).note


def test_what_must_never_be_seen_is_a_difference(right: Tried, tmp_path: Path) -> None:
    lent = Launchers(lambda: right.server)
    pool = Pool(lent, tmp_path, right.whole, right.words, right.data, between=lambda world: [str(world)])
    (verdict,) = pool.disturb("", {"x": [Disturbance(50), Disturbance(20)]})
    assert len(verdict.differing) == 2


def test_a_user_goes_on_until_nothing_is_left(server: ForkServer, data: Path, tmp_path: Path) -> None:
    world = World.make(tmp_path / "w", data)
    assert next_words(world, WORDS) == WORDS
    server.run(world, WORDS, world.plan(kill_at=300))
    assert next_words(world, WORDS) == ["continue"]
    assert server.run(world, ["continue"]) == Ended(0)
    assert next_words(world, WORDS) is None


def test_a_command_that_fails_is_no_survivor(server: ForkServer, right: Tried, data: Path, tmp_path: Path) -> None:
    pool = Pool(Launchers(lambda: server), tmp_path, right.whole, ["noop", "task=none_such"], data)
    (verdict,) = pool.disturb("", {"x": [Disturbance(10_000)]})
    assert not verdict.survived
    with pytest.raises(RuntimeError, match="none_such"):
        undisturbed(server, World.make(tmp_path / "w", data), ["noop", "task=none_such"])


@pytest.mark.parametrize("fresh", [True, False])
def test_a_command_ends_with_its_code_or_signal(
    server: ForkServer, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    launcher, world = FreshProcess() if fresh else server, World.make(tmp_path / "w", data)
    assert launcher.run(world, ["--version"]) == Ended(0)
    assert launcher.run(world, ["nop"]) == Ended(2)
    assert "Did you mean 'noop'" in world.output.read_text()
    assert launcher.run(world, WORDS, after=0.01) == Ended(-9)
    assert launcher.run(world, WORDS, world.plan(kill_at=3)).killed
    monkeypatch.setattr(launchers, "LIMIT", 0.01)
    assert launcher.run(world, WORDS) == Ended(-9, hung=True)


def test_a_server_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    server = ForkServer(light=True)
    server._server.kill()
    server._server.wait()
    with pytest.raises((RuntimeError, BrokenPipeError)):
        server.run(World.make(tmp_path / "w"), ["--version"])
    server.close()


def test_a_world_begins_with_the_data_of_another(tmp_path: Path) -> None:
    first = World.make(tmp_path / "first")
    (first.data / "task.json").write_text("{}")
    (first.data / "image.png").write_text("png")
    second = World.make(tmp_path / "second", first.data)
    assert (second.data / "image.png").samefile(first.data / "image.png")
    assert not (second.data / "task.json").samefile(first.data / "task.json")


def test_settings_of_the_person_who_runs_it_do_not_count(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MML_RESULTS_PATH", str(tmp_path / "mine"))
    env = launchers.environment({"MML_DATA_PATH": "of the world"})
    assert "MML_RESULTS_PATH" not in env and env["MML_DATA_PATH"] == "of the world"
