"""What workers log comes into the log of the run and, from INFO on, before people's eyes."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from mml.core.scripts import worker_logs
from mml.core.scripts.worker_logs import WorkerLogs

HEAD = "2026-11-20 13:05:06,789 {:<8} mml.a: "
STEP = "2026-11-20 13:05:06,000 INFO     mml.worker: step {} begins: work\n"


class Followed:
    """A run whose workers' logs are followed."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.console = Console(file=io.StringIO(), width=200)
        self.logs = WorkerLogs(run, self.console)

    def add(self, text: str, worker: str = "w1") -> None:
        folder = self.run / "workers" / worker
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "exp.log").open("a") as file:
            file.write(text)

    def shown(self) -> list[str]:
        assert isinstance(self.console.file, io.StringIO)
        return [line.rstrip() for line in self.console.file.getvalue().splitlines()]

    def log(self) -> list[str]:
        path = self.run / "exp.log"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path)


def test_lines_come_into_the_log_of_the_run_with_worker_and_step(followed: Followed) -> None:
    (followed.run / "exp.log").write_text("of the driver\n")
    followed.add(f"loading\n{STEP.format(3)}{HEAD.format('INFO')}epoch 1\n")
    followed.add(f"{STEP.format(4)}printed\n", "w2")
    followed.logs.poll()
    assert followed.log() == [
        "of the driver",
        "[w1] loading",
        "[w2 step 4] printed",
        f"{HEAD.format('INFO')}[w1 step 3] epoch 1",
    ]
    assert followed.logs.begun == {"w1": 3, "w2": 4}
    followed.add("more\n")
    followed.logs.poll()
    assert followed.logs.begun == {}


def test_what_matters_is_shown(followed: Followed) -> None:
    levels = ("DEBUG", "INFO", "WARNING")
    followed.add("".join(f"{HEAD.format(level)}text [red]of[/red] {level}\n" for level in levels) + "a traceback\n")
    followed.logs.poll()
    assert followed.shown() == [
        "INFO     [w1] text [red]of[/red] INFO",
        "WARNING  [w1] text [red]of[/red] WARNING",
        "WARNING  [w1] a traceback",
    ]
    assert len(followed.log()) == 4


def test_a_flood_is_a_few_lines_on_the_screen_and_whole_in_the_log(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_logs, "POLL_SECONDS", 60)
    followed.add("".join(f"{HEAD.format('WARNING' if n == 2500 else 'INFO')}line {n}\n" for n in range(5000)))
    followed.logs.poll()
    shown = followed.shown()
    assert len(followed.log()) == 5000
    assert len(shown) == worker_logs.SHOWN + 1
    assert shown[0].endswith("line 0")
    assert shown[-2] == "WARNING  [w1] line 2500"
    assert shown[-1].endswith(f"... and 4,960 more lines; see `mml runs log {followed.run.name}`")


def test_the_end_brings_all_that_is_left(followed: Followed) -> None:
    followed.add("one\nto")
    followed.logs.poll()
    followed.add("rn")
    followed.add("two\nend", "w2")
    followed.logs.close()
    assert sorted(followed.log()) == ["[w1] one", "[w1] torn", "[w2] end", "[w2] two"]


def test_the_next_process_goes_on_where_the_last_ended(followed: Followed) -> None:
    followed.add(f"{STEP.format(7)}one\n")
    followed.logs.poll()
    followed.add("two\n")
    again = Followed(followed.run)
    again.logs.poll()
    again.logs.close()
    assert again.log() == ["[w1 step 7] one", "[w1 step 7] two"]
    assert again.shown() == ["INFO     [w1 step 7] two"]


def test_a_log_that_can_not_be_written_is_no_fault_of_the_run(followed: Followed) -> None:
    (followed.run / "exp.log").mkdir()
    followed.add("one\n")
    followed.logs.poll()
    followed.logs.close()
    assert followed.shown() == ["INFO     [w1] one"]


def test_odd_text_reaches_log_and_screen(followed: Followed) -> None:
    folder = followed.run / "workers" / "w1"
    folder.mkdir(parents=True)
    (folder / "exp.log").write_bytes(b"\xff\x1b[31mred\x1b[0m\x07 50%\r100%\n[/no markup]\n")
    followed.logs.poll()
    assert followed.log() == ["[w1] 100%", "[w1] [/no markup]"]
    assert followed.shown() == ["INFO     [w1] 100%", "INFO     [w1] [/no markup]"]


def test_a_thousand_workers_are_followed(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_logs, "POLL_SECONDS", 60)
    for number in range(1000):
        followed.add("hello\n", f"w{number}")
    followed.logs.poll()
    followed.logs.poll()
    assert len(followed.log()) == 1000
    assert len({re.match(r"\[(w\d+)\]", line)[1] for line in followed.log()}) == 1000  # type: ignore[index]
