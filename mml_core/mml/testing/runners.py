"""The promises of every runner as tests: `RunnerContract`, to be subclassed by authors of runners.

Each test runs real commands in processes of their own, and compares with what the serial runner leaves of the same.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf

from mml.core.scripts.journal import Stopped
from mml.testing.driving import TASK, World, make_task
from mml.testing.outcomes import RunOutcome, events_of

# A real training that takes a few seconds; dropout draws random numbers for every batch.
TRAINING = (
    "train",
    f"task={TASK}",
    "mode.cv=true",
    "arch.width=4",
    "arch.drop_rate=0.2",
    "trainer.max_epochs=3",
    "trainer.checkpoint_minutes=0.0001",
    "sampling.batch_size=4",
    "sampling.num_workers=0",
)
# Seconds that a continued run gets to settle what an earlier process left, before a frozen worker thaws.
_THAW = 3.0


class RunnerContract:
    """The promises of a runner, as tests.

    Subclass it in a test module, and name the runner in `overrides`:

        class TestFarm(RunnerContract):
            overrides = ("runner=farm", "runner.workers=2")

    Give it two workers or more. Workers have to be processes of this machine that see the folder of the test, as with
    an engine that is started on one machine.

    Attributes:
        overrides: of the command line, that choose the runner.
        training: of the command line, a training that is compared bit for bit; it must use one thread on all runners.
    """

    overrides: ClassVar[tuple[str, ...]] = ()
    training: ClassVar[tuple[str, ...]] = TRAINING

    @pytest.fixture(scope="class")
    @classmethod
    def expected(cls, tmp_path_factory: pytest.TempPathFactory) -> "Expected":
        """Return what serial runs leave; they are made once, for all runners that are tested."""
        return Expected(tmp_path_factory.getbasetemp() / "serial")

    @pytest.fixture
    def world(self, tmp_path: Path, expected: "Expected") -> Iterator[World]:
        """Return a place for a run by the runner; nothing that was started in it outlives the test."""
        world = World(tmp_path, expected.data, self.overrides)
        yield world
        left = self.left_after(world)
        world.close()
        assert not left, f"still running after the end of the run: {left}"

    def left_after(self, world: World) -> dict[int, str]:
        """Return what still runs of what a test started; engines get some seconds to end it."""
        end = time.monotonic() + 30
        while (left := world.left_running()) and time.monotonic() < end:
            time.sleep(0.1)
        return left

    def kill_worker(self, number: int) -> None:
        """Kill a worker, whose process a step named. For a subclass to override whose workers can't be killed so."""
        os.kill(number, signal.SIGKILL)

    @pytest.fixture(scope="class")
    @classmethod
    def in_process(cls) -> bool:
        """Tell whether steps run in the driver's own process, so that there is no worker to kill."""
        asked = [sys.executable, "-m", "mml", "mode=info", *cls.overrides, "--cfg", "job"]
        config = OmegaConf.create(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
        return bool(getattr(get_class(config.runner._target_), "in_process", False))

    @pytest.mark.parametrize("plan", ["everything", "failing", "flaky"])
    def test_run_does_and_leaves_what_the_serial_one_does(self, world: World, expected: "Expected", plan: str) -> None:
        """Order, dependencies, growth, failures, retries, values, structs, files and seeds are as with serial."""
        words = ["on_error=continue"] if plan == "failing" else ["retries=1", "retry_pause=0"]
        world.tell("bad.fail")
        world.ends(world.plan(plan, *words), code=1 if plan == "failing" else 0)
        refuse_differences(world, expected.of(plan, *words))
        often = {path.name.rpartition(".")[0] for path in world.trace.iterdir() if path.name.endswith(".2")}
        assert often == ({"flaky"} if plan == "flaky" else set()), "steps that were begun twice"

    def test_what_can_not_be_sent_fails_its_step_as_with_serial(self, world: World, expected: "Expected") -> None:
        """A value, an error or an added step that no other process could read is named, and other steps go on."""
        world.ends(world.plan("odd", "on_error=continue"), code=1)
        assert "odd_odd_error is odd" in world.said()
        refuse_differences(world, expected.of("odd", "on_error=continue"))

    def test_values_of_independent_steps_are_those_of_serial(self, world: World, expected: "Expected") -> None:
        """Whoever is done last, the value of the last step in the plan stays."""
        world.ends(world.plan("values"))
        refuse_differences(world, expected.of("values"))

    def test_step_that_fails_ends_the_run_and_is_continued(self, world: World, expected: "Expected") -> None:
        """The run stops with the error of the step, and goes on when its cause is gone."""
        world.tell("bad.fail")
        world.ends(world.plan("failing"), code=1)
        assert "bad was told to fail" in world.said()
        stopped = world.outcome()
        assert list(stopped.failed.values()) == ["ValueError: bad was told to fail"]
        assert not [step for step in stopped.done if "after_bad" in step or "after_that" in step]
        world.untell("bad.fail")
        world.ends(world.start("continue", "latest"))
        refuse_differences(world, expected.of("failing"))

    def test_driver_killed_with_work_in_flight_is_continued(
        self, world: World, expected: "Expected", in_process: bool
    ) -> None:
        """Nothing that was done is repeated, no step runs twice at the same time, and the result is the same."""
        child = world.plan("held")
        world.wait_for_attempts(child, "held_a", *([] if in_process else ["held_b"]))
        child.kill()
        child.wait()
        again = world.start("continue", "latest")
        if not in_process:
            self._watch_overlap(world)
        world.tell("held_a.go")
        world.tell("held_b.go")
        world.ends(again)
        refuse_differences(world, expected.of("held"))
        assert len(world.attempts("before")) == 1, "a step that was done has been repeated"

    def _watch_overlap(self, world: World) -> None:
        """Wait until a continued run has settled what became of a step that is held; one attempt may go on, not two."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for step in ("held_a", "held_b"):
                running = [path for path in world.attempts(step) if _runs(path)]
                assert len(running) <= 1, f"{step} runs twice at the same time: {[path.name for path in running]}"
            if all(len(world.attempts(step)) > 1 for step in ("held_a", "held_b")):
                return
            time.sleep(0.05)

    def test_what_an_abandoned_worker_still_does_is_not_taken(
        self, world: World, expected: "Expected", in_process: bool
    ) -> None:
        """A worker that stands still while the driver is killed, and wakes later, changes and leaves nothing."""
        if in_process:
            pytest.skip("there is no other process than the driver")
        world.tell("held_a.deaf")
        child = world.plan("held")
        world.wait_for_attempts(child, "held_a", "held_b")
        frozen = world.worker_of("held_a")
        os.kill(frozen, signal.SIGSTOP)
        child.kill()
        child.wait()
        again = world.start("continue", "latest")
        world.tell("held_b.go")
        time.sleep(_THAW)
        world.tell("held_a.go")
        with suppress(ProcessLookupError):  # its runner has killed it
            os.kill(frozen, signal.SIGCONT)
        world.ends(again)
        refuse_differences(world, expected.of("held"))

    def test_worker_that_is_killed_is_replaced(self, world: World, expected: "Expected", in_process: bool) -> None:
        """Its step is lost, tried again, and has the same result."""
        if in_process:
            pytest.skip("there is no other process than the driver")
        child = world.plan("held")
        world.wait_for_attempts(child, "held_a", "held_b")
        self.kill_worker(world.worker_of("held_a"))
        world.tell("held_b.go")
        world.wait_for_attempts(child, "held_a", number=2)
        world.tell("held_a.go")
        world.ends(child)
        refuse_differences(world, expected.of("held"))
        assert len(world.attempts("held_b")) == 1

    def test_step_that_always_kills_its_worker_ends_the_run(
        self, world: World, expected: "Expected", in_process: bool
    ) -> None:
        """It is given up as lost after some attempts, named with what killed it, and can be continued."""
        if in_process:
            pytest.skip("there is no other process than the driver")
        world.tell("deadly.die")
        world.ends(world.plan("deadly", "retries_lost=1"), code=1)
        assert len(world.attempts("deadly")) == 2
        assert "deadly" in world.said()
        world.untell("deadly.die")
        world.ends(world.start("continue", "latest"))
        refuse_differences(world, expected.of("deadly"))

    def test_signal_ends_the_run_in_order(self, world: World, expected: "Expected", in_process: bool) -> None:
        """SIGTERM ends it with exit code 143, everything stopped and written down, and it can be continued."""
        child = world.plan("held")
        world.wait_for_attempts(child, "held_a", *([] if in_process else ["held_b"]))
        child.terminate()
        world.ends(child, code=143)
        assert not self.left_after(world)
        assert isinstance(events_of(world.run_folder())[-1], Stopped)
        world.tell("held_a.go")
        world.tell("held_b.go")
        world.ends(world.start("continue", "latest"))
        refuse_differences(world, expected.of("held"))
        assert len(world.attempts("before")) == 1

    def test_models_are_equal_bit_for_bit(self, world: World, expected: "Expected") -> None:
        """A training in two folds has the weights, metrics and predictions that it has with serial."""
        world.ends(world.start(*self.training, *self.overrides))
        refuse_differences(world, expected.trained(self.training))

    def test_training_that_was_interrupted_goes_on_to_the_same_bits(self, world: World, expected: "Expected") -> None:
        """SIGTERM lets every training write a checkpoint, from which it goes on."""
        child = world.start(*self.training, *self.overrides)
        world.wait_for("a checkpoint", lambda: any(world.results.rglob("temp/TRAINING/**/*.*")), child)
        child.terminate()
        world.ends(child, code=143)
        world.ends(world.start("continue", "latest"))
        refuse_differences(world, expected.trained(self.training))


class Expected:
    """What serial runs leave, each made when it is asked for the first time.

    Args:
        root: folder of all of them.
    """

    _known: ClassVar[dict[tuple[Path, tuple[str, ...]], RunOutcome]] = {}

    def __init__(self, root: Path) -> None:
        self._root = root
        self.data = root / "data"
        if not self.data.exists():
            world = World(root, self.data)
            make_task(world)
            shutil.rmtree(world.results)

    def of(self, plan: str, *words: str) -> RunOutcome:
        """Return the outcome of a schedule; what it may wait for is there already."""
        return self._outcome((plan, *words))

    def trained(self, training: tuple[str, ...]) -> RunOutcome:
        """Return the outcome of a training."""
        return self._outcome(training)

    def _outcome(self, words: tuple[str, ...]) -> RunOutcome:
        key = (self._root, words)
        if key not in self._known:
            world = World(self._root / f"{len(self._known)}", self.data, ["runner=serial"])
            for name in ("held_a.go", "held_b.go", *(["bad.fail"] if "on_error=continue" in words else [])):
                world.tell(name)
            child = world.start(*words, "runner=serial") if words[0] == "train" else world.plan(*words)
            world.ends(child, code=1 if "on_error=continue" in words else 0)
            self._known[key] = world.outcome()
        return self._known[key]


def refuse_differences(world: World, expected: RunOutcome) -> None:
    """Fail when the only run of a world is not as expected, and say what differs."""
    differences = world.outcome().differences(expected)
    assert not differences, "\n".join([f"{len(differences)} differences from the serial runner:", *differences])


def _runs(note: Path) -> bool:
    """Tell whether an attempt still runs: it has not ended, and its process is there."""
    if note.with_name(f"{note.name}.end").exists():
        return False
    try:
        stat = Path("/proc", note.read_text().split()[1], "stat").read_text()
    except (OSError, IndexError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
