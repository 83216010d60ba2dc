import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from mml.core.models.failures import explained_failures
from mml.core.scripts.exceptions import Interrupted, MMLError, MMLMisconfigurationException

CPU = "[enforce fail at alloc_cpu.cpp:75] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"


@pytest.mark.parametrize(
    "error",
    [RuntimeError(CPU), torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")],
    ids=["cpu", "gpu"],
)
def test_want_of_memory_names_the_keys_that_help(error: RuntimeError) -> None:
    with pytest.raises(MMLError, match=r"(?s)ran out.*sampling\.batch_size.*precision"), explained_failures():
        raise error


@pytest.mark.parametrize(
    "text",
    [
        "DataLoader worker (pid 4242) is killed by signal: Killed. ",
        "DataLoader worker (pid(s) 4242, 4243) exited unexpectedly",
    ],
)
def test_a_dead_worker_names_the_keys_that_help(text: str) -> None:
    with pytest.raises(MMLError, match=r"4242.*(killed|ended).*sampling\.num_workers"), explained_failures():
        raise RuntimeError(text)


def test_a_setting_that_lightning_refuses_is_the_users() -> None:
    with pytest.raises(MMLMisconfigurationException, match="refuses the settings: no such thing"), explained_failures():
        raise MisconfigurationException("no such thing.")


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2"), KeyError("x"), Interrupted(15)])
def test_other_failures_pass_as_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, explained_failures():
        raise error
    assert caught.value is error


def test_no_failure_is_no_failure() -> None:
    with explained_failures():
        pass
