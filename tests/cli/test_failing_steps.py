"""What `mml` says and returns when steps fail and the run goes on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mml.core.scripts.runs import read_run
from tests.cli.conftest import Mml
from tests.support.toy_scheduler import Toy, only_run


@pytest.fixture
def independent(monkeypatch: pytest.MonkeyPatch) -> Callable[[set[int]], None]:
    """Make every second step of the toy need only the one before it, the others none; let some fail."""

    def plan(toy: Toy) -> None:
        for number in range(toy.cfg.mode.n):
            toy.add_step(toy.work, number, after=[number - 1] if number % 2 else ())

    def fail_at(numbers: set[int]) -> None:
        work = Toy.work

        def work_or_fail(toy: Toy, number: int) -> None:
            work(toy, number)
            if number in numbers:
                raise ValueError(f"number {number}")

        work_or_fail.__name__ = "work"
        monkeypatch.setattr(Toy, "work", work_or_fail)

    monkeypatch.setattr(Toy, "create_routine", plan)
    return fail_at


def test_summary_names_each_failure_and_the_last_line_continues(
    toy: Mml, tmp_path: Path, independent: Callable[[set[int]], None]
) -> None:
    independent({0, 4})
    said = toy("toy", "mode.n=5", "on_error=continue")
    run = only_run(tmp_path)
    assert said.code == 1
    *_, error, title, head, first, second, third, word, command = [line.rstrip() for line in said.err.splitlines()]
    assert error == "Error: 2 of 5 steps failed, 1 was skipped; all others are done."
    assert title == "Steps that are not done"
    assert head.split() == ["step", "what", "happened", "reason", "traceback"]
    assert first.startswith("1, work(0)  failed")
    assert "ValueError: number 0" in first
    assert Path(first.split()[-1]).parent == run / "errors"
    assert Path(first.split()[-1]).read_text().endswith("ValueError: number 0\n")
    assert second.split("  ")[0] == "2, work(1)"
    assert "skipped" in second
    assert "needs step 1, work(0), which failed" in second
    assert third.startswith("5, work(4)  failed")
    assert (word, command) == ("Continue with:", f"mml continue {run.name}")
    info = read_run(run)
    assert (info.state, info.steps_done, info.error) == (
        "failed",
        2,
        "2 of 5 steps failed, 1 was skipped; all others are done.",
    )


def test_continued_it_does_what_failed_and_was_skipped(
    toy: Mml, tmp_path: Path, independent: Callable[[set[int]], None]
) -> None:
    failing = {0}
    independent(failing)
    trace = tmp_path / "trace"
    assert toy("toy", "mode.n=4", "on_error=continue", f"mode.trace={trace}").code == 1
    failing.clear()
    assert toy("continue", only_run(tmp_path).name).code == 0
    ends = [line for line in trace.read_text().split() if line.startswith("end") and line[3:].isdigit()]
    assert ends == ["end0", "end2", "end3", "end0", "end1"]
    assert read_run(only_run(tmp_path)).state == "finished"


def test_run_that_stopped_at_a_failure_may_go_on_without_that_step(
    toy: Mml, tmp_path: Path, independent: Callable[[set[int]], None]
) -> None:
    independent({0})
    assert toy("toy", "mode.n=4").code == 1
    assert read_run(only_run(tmp_path)).steps_done == 0
    said = toy("continue", only_run(tmp_path).name, "on_error=continue", "retries=1", "retry_pause=0")
    assert said.code == 1
    assert "failed 2 times" in said.err
    assert read_run(only_run(tmp_path)).steps_done == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("on_error=contnue", "Unknown on_error 'contnue'. Did you mean 'continue'?"),
        ("retries=-1", "retries=-1 can't be done: give a whole number"),
        ("retry_pause=long", "retry_pause=long can't be a pause: give a number of seconds"),
        ("notify.on=[failed]", "Unknown event in notify.on 'failed'."),
    ],
)
def test_values_that_can_not_be_followed_are_refused_before_anything_is_made(
    toy: Mml, tmp_path: Path, override: str, said: str
) -> None:
    answer = toy("toy", override)
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "results").exists()


def test_jobs_of_a_sweep_tell_of_their_steps(toy: Mml, tmp_path: Path, independent: Callable[[set[int]], None]) -> None:
    independent({0})
    said = toy("toy", "--multirun", "mode.n=1,3", "on_error=continue")
    assert said.code == 1
    assert "step 1, work(0): ValueError: number 0" in said.err
    assert said.err.splitlines()[-1].startswith("mml continue ")


def test_urls_that_were_not_kept_can_be_given_again(toy: Mml, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    urls = "notify.urls=[json://me:secret@127.0.0.1:9]"
    assert toy("toy", "mode.trap=begin1:error", urls).code == 1
    assert "secret" not in "".join(path.read_text() for path in only_run(tmp_path).rglob("*") if path.is_file())
    assert toy("continue", only_run(tmp_path).name).code == 1
    assert "The URLs of notify.urls were not kept with the run" in caplog.text
    caplog.clear()
    assert toy("continue", only_run(tmp_path).name, urls).code == 1
    assert "were not kept" not in caplog.text
