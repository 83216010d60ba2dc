"""A command of a job that Slurm has started again: it goes on with the run that it had begun, or is done already."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mml.continuing import CONTINUE, FORK_FLAG, with_hydra
from mml.core.scripts.environment import absolute_path, results_location
from mml.core.scripts.run_folder import read_stored
from mml.core.scripts.runs import FINISHED, RunInfo, read_run
from mml.core.scripts.slurm import SlurmJob, current_job, own_run


class Requeued(NamedTuple):
    """What a command does in a job that was started again.

    Attributes:
        run: that the command had begun before.
        cfg: of the run, to be continued.
        said: what to tell the user.
    """

    run: RunInfo
    cfg: DictConfig
    said: str

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.run.state == FINISHED

    @property
    def value(self) -> Any:
        """The return value of the run as far as it is."""
        return self.run.return_value


class ContinuedAgain(NamedTuple):
    """What `mml continue` does in a job that was started again.

    Attributes:
        words: that continue the run which the same words had continued before.
        done: whether nothing is left to do.
        said: what to tell the user.
    """

    words: list[str]
    done: bool
    said: str


def find_continued(words: Sequence[str]) -> ContinuedAgain | None:
    """Return what `mml continue ...` means in a job that was started again; None outside of such, or without a run.

    Args:
        words: of the command line.
    """
    job = current_job()
    if job is None or not job.restart or words[:1] != [CONTINUE] or FORK_FLAG in words:
        return None
    given = next((word.partition("=")[2].strip("'\"") for word in words if word.startswith("out_dir=")), None)
    root = absolute_path(given) if given else results_location().path
    for project in sorted(root.iterdir()) if root.is_dir() else ():
        if folder := own_run(project, job, None):
            run = read_run(folder)
            again = [CONTINUE, f"{project.name}/{run.name}", *(word for word in words[1:] if "=" in word)]
            return ContinuedAgain(again, run.state == FINISHED, _said(job, run))
    return None


def _said(job: SlurmJob, run: RunInfo) -> str:
    what = "had finished before" if run.state == FINISHED else "goes on"
    return f"Slurm has started job {job.name} again: run {run.name} {what}."


def find_requeued(cfg: DictConfig) -> Requeued | None:
    """Return what to go on with instead of a new run; None outside of jobs, in new ones, and for what they began not.

    Args:
        cfg: config of a new run, or of one to be continued, for which the answer is None.

    Raises:
        ContinueError: the config of the run is damaged.
    """
    job = current_job()
    if job is None or cfg.get(CONTINUE):
        return None
    overrides = [str(override) for override in HydraConfig.get().overrides.task]
    folder = own_run(Path(str(cfg.out_dir)).expanduser() / str(cfg.proj), job, overrides)
    if folder is None:
        return None
    run = read_run(folder)
    stored = read_stored(folder)
    stored.update({"proj": cfg.proj, "out_dir": cfg.out_dir, CONTINUE: run.name})
    return Requeued(run, with_hydra(cfg, stored), _said(job, run))
