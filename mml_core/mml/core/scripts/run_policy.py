"""What a run does about a step that fails: try it again, go on with others, or stop. Values of the config, no disk."""

import math
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.exceptions import (
    JournalError,
    MMLMisconfigurationException,
    RunLockedError,
    TaskDescriptionError,
    UnknownNameError,
    WorkerLostError,
)

STOP, CONTINUE = "stop", "continue"
PAUSE = 5.0
RETRIES_LOST = 2
# However often a pause has doubled, it is no longer than this.
LONGEST_PAUSE = 600.0
# Errors that come again whatever happens in between: what was asked for, a file that is damaged, or the code is wrong.
_LASTING = (
    MMLMisconfigurationException,
    TaskDescriptionError,
    JournalError,
    NameError,
    NotImplementedError,
    SyntaxError,
)


class RunPolicy(NamedTuple):
    """What a run does about a step that fails.

    Attributes:
        on_error: `stop` ends the run, `continue` goes on with the steps that do not need the one that failed.
        retries: how often a step that failed is tried again.
        retries_lost: how often a step is tried again whose worker died.
        pause: seconds before it is tried again the first time; each further pause is twice as long.
    """

    on_error: str = STOP
    retries: int = 0
    pause: float = PAUSE
    retries_lost: int = RETRIES_LOST

    @property
    def goes_on(self) -> bool:
        """Whether other steps are done after one that failed."""
        return self.on_error == CONTINUE

    def tries_again(self, error: BaseException, attempt: int) -> bool:
        """Tell whether a step is tried again after an attempt, counted from 1, that ended with an error."""
        return attempt <= self.retries_after(error) and isinstance(error, Exception) and not isinstance(error, _LASTING)

    def retries_after(self, error: BaseException) -> int:
        """Return how often a step is tried again after errors of this kind."""
        return max(self.retries, self.retries_lost) if isinstance(error, WorkerLostError) else self.retries

    def pause_after(self, attempt: int) -> float:
        """Return the seconds to wait after an attempt that failed, counted from 1."""
        return min(self.pause * 2.0 ** min(attempt - 1, 32), max(LONGEST_PAUSE, self.pause))


def read_policy(cfg: DictConfig) -> RunPolicy:
    """Return the policy of a config; keys that it lacks have their defaults.

    Raises:
        MMLMisconfigurationException: a value that can't be one; names the choices.
    """
    on_error, retries = _select(cfg, "on_error", STOP), _select(cfg, "retries", 0)
    pause = _select(cfg, "retry_pause", PAUSE)
    if on_error not in (STOP, CONTINUE):
        fix = "`stop` ends a run at the first step that fails; `continue` goes on with the steps that don't need it."
        raise UnknownNameError(str(on_error), kind="on_error", known=(STOP, CONTINUE), fix=fix)
    lost = _select(cfg, "retries_lost", RETRIES_LOST)
    for key, value in (("retries", retries), ("retries_lost", lost)):
        if type(value) is not int or value < 0:
            msg = f"{key}={value} can't be done: give a whole number, 0 for no second attempt."
            raise MMLMisconfigurationException(msg)
    if type(pause) not in (int, float) or not math.isfinite(pause) or pause < 0:
        msg = f"retry_pause={pause} can't be a pause: give a number of seconds, 0 or more."
        raise MMLMisconfigurationException(msg)
    return RunPolicy(on_error, retries, float(pause), lost)


def fails_a_step(error: BaseException) -> bool:
    """Tell whether an error says that a step failed, not that the run was asked to stop or has no right to go on."""
    return isinstance(error, Exception | SystemExit) and not isinstance(error, RunLockedError)


def _select(cfg: DictConfig, key: str, default: Any) -> Any:
    return OmegaConf.select(cfg, key, default=default)
