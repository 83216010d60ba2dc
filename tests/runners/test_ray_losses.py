"""Who loses a worker of Ray hears which, why, and what it said last."""

from pathlib import Path

import pytest

from mml.runners.ray_losses import loss, reason
from tests.support.toy_worker import work

ray = pytest.importorskip("ray")
errors = ray.exceptions


class Wordy(errors.RayActorError):
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.OutOfMemoryError("x"), "memory ran out on its machine: let it say"),
        (errors.NodeDiedError("x"), "Its machine is lost."),
        (errors.OwnerDiedError("aa", None, "ref"), "lost with a machine"),
        (errors.ActorUnavailableError("Socket closed", b"\0" * 16), "can't be reached"),
        (Wordy("The actor is dead because its node has died."), "Its machine is lost."),
        (Wordy("The actor is dead because its worker process has died. (1) OOM killer"), "ended all of a sudden"),
        (Wordy("The task was killed due to the node running memory running low."), "memory ran out"),
        (Wordy("something new"), "Ray says: Wordy: something new"),
    ],
)
def test_reason_is_said_in_words_of_users(error: Exception, said: str) -> None:
    assert said in reason(error)


def test_loss_shows_the_end_of_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "workers" / "host-7"
    folder.mkdir(parents=True)
    (folder / "exp.log").write_text("".join(f"line {number}\n" for number in range(30)))
    text = loss(errors.NodeDiedError("x"), work(2, "sleep", 1), "host-7", "far", tmp_path)
    assert text.startswith("Worker host-7 on machine far was lost during step 3, sleep(1). Its machine is lost.\n")
    assert text.endswith("  line 28\n  line 29")
    assert f"The last lines of its log, {folder / 'exp.log'}:" in text
    assert "line 19" not in text


def test_loss_of_a_worker_that_said_nothing(tmp_path: Path) -> None:
    error = errors.NodeDiedError("x")
    assert loss(error, work(0, "nothing"), "host-7", "", tmp_path).endswith("It printed nothing.")
    assert loss(error, work(0, "nothing"), "", "", tmp_path) == (
        "A worker that was not ready yet was lost during step 1, nothing(). Its machine is lost."
    )
