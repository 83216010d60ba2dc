"""Many jobs in one process: what each was, what it returned, and one account of all that failed."""

from collections.abc import Callable
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException
from mml.outcome import WRONG_USAGE, exit_code, tell


class SweepError(MMLError):
    """One or more jobs of a sweep failed.

    Args:
        account: what came of each of them.
        continue_command: continues the last of them, None if none can be continued.
    """

    def __init__(self, account: str, continue_command: str | None) -> None:
        super().__init__(account)
        self.continue_command = continue_command


class FailedJob(NamedTuple):
    """A job that failed: its number, its overrides and its error."""

    number: int
    overrides: str
    error: Exception


class Jobs:
    """The function that a sweep calls for each job: it names the job and keeps account of what came of it.

    Args:
        start: runs the job of a config and returns its value.
        in_own_words: returns the error to tell the user of for one that was raised.
    """

    def __init__(self, start: Callable[[DictConfig], Any], in_own_words: Callable[[Exception], Exception]) -> None:
        self.start = start
        self.in_own_words = in_own_words
        self.failed: list[FailedJob] = []
        self.done = 0

    def __call__(self, cfg: DictConfig) -> Any:
        """Run one job and return its value."""
        hydra = HydraConfig.get()
        overrides = " ".join(hydra.overrides.task)
        tell(f"Job {hydra.job.num}: {overrides}")
        try:
            value = self.start(cfg)
        except Exception as error:
            said = self.in_own_words(error)
            self.failed.append(FailedJob(hydra.job.num, overrides, said))
            raise said from error
        self.done += 1
        tell(f"Job {hydra.job.num} is done{'' if value is None else f': {value}'}")
        return value

    def finish(self, sweep: Callable[[], Any]) -> None:
        """Run a sweep to its end.

        Raises:
            SweepError: jobs failed; the error carries the command that continues the last of them.
            Exception: what else the sweep raises.
        """
        try:
            sweep()
        except Exception as error:
            if not self.failed:
                raise
            raise self._account() from error

    def _account(self) -> MMLError:
        lines = [f"{len(self.failed)} of {self.done + len(self.failed)} jobs failed."]
        if len(reasons := {_reason(job.error) for job in self.failed}) == 1:
            lines += ["Each for this reason:", *reasons]
        else:
            lines += [f"Job {job.number} ({job.overrides}): {_reason(job.error)}" for job in self.failed]
        if all(exit_code(job.error) == WRONG_USAGE for job in self.failed):
            return MMLMisconfigurationException("\n".join(lines))
        commands = [getattr(job.error, "continue_command", None) for job in self.failed]
        return SweepError("\n".join(lines), next(filter(None, reversed(commands)), None))


def _reason(error: Exception) -> str:
    """Return what to say about an error, where its traceback is and what continues the run, as far as there are any."""
    name = "" if isinstance(error, MMLError) else f"{type(error).__name__}: "
    trace, command = getattr(error, "traceback_file", None), getattr(error, "continue_command", None)
    return f"{name}{error}" + f"\n  traceback: {trace}" * bool(trace) + f"\n  continue:  {command}" * bool(command)
