"""Workers that are killed for real, and what is said of it."""

import faulthandler
import os
import signal
from typing import Any

import pytest
from torch.utils.data import DataLoader, Dataset

from mml.core.models.dead_workers import dead_worker
from mml.core.models.failures import explained_failures
from mml.core.scripts.exceptions import MMLError


class Deadly(Dataset[int]):
    """A dataset whose items end the process that loads them."""

    def __init__(self, how: int) -> None:
        self.how = how

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        faulthandler.disable()
        if self.how > 0:
            os.kill(os.getpid(), self.how)
        os._exit(-self.how)


@pytest.mark.parametrize(
    ("signum", "said"),
    [
        (signal.SIGKILL, r"killed by SIGKILL\. The kernel does so when memory runs out.*sampling\.num_workers"),
        (signal.SIGBUS, r"killed by SIGBUS\..*shared memory is full \(/dev/shm holds .* free now\).*--shm-size"),
        (signal.SIGSEGV, r"killed by SIGSEGV\. A library crashed.*mml doctor"),
        (signal.SIGABRT, r"killed by SIGABRT\. A library crashed"),
        (signal.SIGUSR2, r"killed by SIGUSR2\. Somebody or something outside of mml sent that signal\."),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_killed_worker_is_reported_with_its_signal_and_the_likely_cause(signum: int, said: str) -> None:
    with (
        pytest.raises(MMLError, match=rf"(?s)A process that loads images \(pid \d+\) was {said}"),
        explained_failures(),
    ):
        list(DataLoader(Deadly(signum), num_workers=1))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_worker_that_ends_itself_is_reported_with_its_exit_code() -> None:
    with (
        pytest.raises(MMLError, match=r"ended itself with exit code 3\. With sampling\.num_workers=0"),
        explained_failures(),
    ):
        list(DataLoader(Deadly(-3), num_workers=1))


class Worker:
    def __init__(self, exitcode: int | None) -> None:
        self.exitcode = exitcode


def raised(text: str, *exitcodes: int | None) -> BaseException:
    """Return an error of a data loader that found dead workers."""
    failed_workers = [Worker(code) for code in exitcodes]  # noqa: F841 # the name that the data loader uses
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError(text)
    return caught.value


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ((None, -9), "was killed by SIGKILL"),
        ((5,), "ended itself with exit code 5"),
        ((-35,), "was killed by signal 35"),
        ((), "ended without a word"),
    ],
)
def test_workers_that_are_found_dead_tell_by_their_exit_codes(codes: Any, said: str) -> None:
    text = dead_worker(raised("DataLoader worker (pid(s) 41, 42) exited unexpectedly", *codes))
    assert text is not None
    assert text.startswith(f"A process that loads images (pid 41, 42) {said}")


def test_signal_that_this_machine_does_not_know_is_no_fault() -> None:
    text = dead_worker(RuntimeError("DataLoader worker (pid 7) is killed by signal: Solar flare. "))
    assert text is not None
    assert "(pid 7) ended without a word" in text


def test_other_errors_are_not_explained() -> None:
    assert dead_worker(RuntimeError("shape mismatch")) is None
