"""What goes wrong inside torch and Lightning, told in the user's words."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.memory import is_oom_error

from mml.core.models.dead_workers import dead_worker
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException


@contextmanager
def explained_failures() -> Iterator[None]:
    """Turn failures that have a well-known cause into errors that name it and what helps.

    Raises:
        MMLError: memory ran out, or a process that loads images died.
        MMLMisconfigurationException: Lightning refuses a setting.
    """
    try:
        yield
    except MisconfigurationException as error:
        msg = f"Lightning refuses the settings: {error} See `mml help trainer` and `mml help callbacks`."
        raise MMLMisconfigurationException(msg) from error
    except RuntimeError as error:
        if message := _explanation(error):
            raise MMLError(message) from error
        raise


@contextmanager
def explained_misfit(checkpoint: str) -> Iterator[None]:
    """Say so when a training can't go on because model or optimizer are not those of its checkpoint.

    Args:
        checkpoint: the file.

    Raises:
        MMLError: names the file and what to do.
    """
    try:
        yield
    except (RuntimeError, KeyError, ValueError) as error:
        if not any("checkpoint_connector" in frame.filename for frame in traceback.extract_tb(error.__traceback__)):
            raise
        said = " ".join(str(error).split())
        msg = (
            f"The training can't go on from its checkpoint {checkpoint}, because model, optimizer or callbacks are not "
            f"those it was started with: {said} Go back to the code and packages of the start, or remove the folder "
            f"{Path(checkpoint).parent} to train this model anew."
        )
        raise MMLError(msg) from error


def _explanation(error: RuntimeError) -> str | None:
    text = str(error)
    if is_oom_error(error) or isinstance(error, MemoryError):
        return (
            f"Memory ran out: {text.partition(chr(10))[0]} Use a smaller sampling.batch_size (with "
            "trainer.accumulate_grad_batches to make up for it), trainer.precision=bf16-mixed, or a smaller arch."
        )
    return dead_worker(error)
