"""The mode `create`: from images, wherever they are, to a task that is whole or not there at all."""

import logging
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.task_description import DESCRIPTION_FILE, load_description
from mml.core.data_preparation import creators  # registers the creators that come with mml
from mml.core.data_preparation.creation_report import show_created
from mml.core.data_preparation.options import options_from_config
from mml.core.data_preparation.publish import Workbench, heal
from mml.core.data_preparation.registry import _TASK_TO_DSET, _TASKCREATORS, create_dataset
from mml.core.data_preparation.sources.detect import check_exists, read_source
from mml.core.data_preparation.task_creator import TaskCreator
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError, TaskNameError, UnknownNameError
from mml.core.scripts.utils import TAG_SEP

__all__ = ["CreateScheduler", "creators"]

logger = logging.getLogger(__name__)


class CreateScheduler(AbstractBaseScheduler):
    """Creates tasks, one after another.

    Each takes two steps: `prepare` draws the name of a folder that is this run's alone, and `create` makes the task
    there and publishes it. The name is in the journal: a continued run finds what it had done and touches nothing else.
    """

    needs_tasks = False

    def __init__(self, cfg: DictConfig) -> None:
        super().__init__(cfg, available_subroutines=["create"])
        workers = OmegaConf.select(cfg, "sys.num_workers", default=None)
        self.options = options_from_config(cfg.mode, int(cfg.seed), workers)
        self.source: Path | None = None
        if cfg.mode.get("source") is not None:
            self.source = Path(str(cfg.mode.source)).expanduser().absolute()
            # What is recorded has to be found from any folder that the run is continued from.
            cfg.mode.source = str(self.source)

    def create_routine(self) -> None:
        """Plan to create every task of the list.

        Raises:
            MMLMisconfigurationException: no task is named, one exists already, or the source does not fit to it.
            UnknownNameError: a task has neither a creator nor a source.
        """
        if not self.task_list:
            msg = "Which task? Name it: mml create task=<name>, with mode.source=<folder> for images of your own."
            raise MMLMisconfigurationException(msg)
        if self.source is not None:
            self._check_source(self.source)
        for name in dict.fromkeys(self.task_list):
            self._check_task(name)
            if "create" in self.subroutines:
                self.add_step(self.prepare, name, after=())

    def step_config(self, command: str) -> Sequence[str] | None:  # noqa: ARG002 # both steps depend on the same
        """Return the keys that a command depends on; of a subclass, which may use others, nothing is known."""
        return ("mode", "~mode.subroutines") if type(self) is CreateScheduler else None

    def step_fault(self, command: str, params: Sequence[Any]) -> str:
        """Return why a step that another run has done can't be taken over: its task is gone, or is another by now."""
        if command != "create" or Workbench(self.fm.task_index.folder, params[0]).is_published(params[1]):
            return ""
        return f"created a task {params[0]} that is gone"

    def prepare(self, task_name: str) -> None:
        """Plan to create a task in a folder that no other run knows."""
        token = f"{self.fm.temp_path.parent.name}-{uuid.uuid4().hex[:8]}"
        self.add_step(self.create, task_name, token, after=(self.step_position,))

    def create(self, task_name: str, token: str) -> None:
        """Create a task; after an interruption, go on with the images that are there.

        Args:
            task_name: name of the task.
            token: name of the folder it is made in.

        Raises:
            TaskDataError: the samples can't become a task, or the disk is full; nothing is left of the attempt.
            RunLockedError: another process creates the same task.
            MMLMisconfigurationException: the task exists already.
        """
        heal(self.fm.task_index.folder)
        bench = Workbench(self.fm.task_index.folder, task_name)
        with bench.locked():
            for left in bench.leftovers(token):
                logger.info("An interrupted creation left %s: continue its run, or `mml clean` removes it.", left)
            if bench.is_published(token):
                bench.discard(token)
                return
            try:
                bench.refuse_existing(self.options.overwrite)
                self._build(task_name, bench.begin(token))
                bench.publish(token, self.options.overwrite)
            except Exception:
                # An error leaves nothing behind; an interruption, which is no Exception, leaves what continue needs.
                bench.discard(token)
                raise

    def report(self) -> None:
        """Show the tasks created, and what to type next."""
        for name in dict.fromkeys(self.task_list):
            show_created(load_description(self.fm.task_path(name) / DESCRIPTION_FILE), self.fm.task_path(name))

    def _check_source(self, source: Path) -> None:
        check_exists(source)
        if len(set(self.task_list)) > 1:
            msg = f"mode.source={source} can be the source of one task, not of {', '.join(self.task_list)}."
            raise MMLMisconfigurationException(msg)

    def _check_task(self, name: str) -> None:
        """Refuse what can't be created, before a run begins."""
        if TAG_SEP in name:
            msg = f"'{name}' names a variant of a task; '{TAG_SEP}' can't be in the name of a task to create."
            raise TaskNameError(msg)
        if name not in _TASKCREATORS and self.source is None:
            fix = "For images of your own add mode.source=<folder>."
            raise UnknownNameError(name, kind="task to create", known=_TASKCREATORS, fix=fix)
        if self.source is not None and name in _TASKCREATORS and _TASK_TO_DSET[name] is None:
            msg = f"Task '{name}' brings its own images: for those of mode.source={self.source} choose another name."
            raise MMLMisconfigurationException(msg)
        if self.options.format is not None and name in _TASKCREATORS:
            msg = f"mode.format={self.options.format} is for images of your own: those of '{name}' have a form already."
            raise MMLMisconfigurationException(msg)
        # A fork may take over what created the task; if it does not, creating it is refused then.
        if not self.continue_status and not self.cfg.get("fork"):
            Workbench(self.fm.task_index.folder, name).refuse_existing(self.options.overwrite)

    def _build(self, task_name: str, folder: Path) -> None:
        with self.progress.task(f"finding images of {task_name}", None, unit=""):
            creator = self._creator(task_name)
        total = len(creator.collection.samples)
        with self.progress.task(f"images of {task_name}", total, unit="images") as bar:
            creator.build(folder, self.options, bar.advance)

    def _creator(self, task_name: str) -> TaskCreator:
        """Return the creator of a task with its samples: of a registered function, or of the user's source."""
        function = _TASKCREATORS.get(task_name)
        if function is None:
            return self._creator_of_source(task_name)
        dset_name = _TASK_TO_DSET[task_name]
        made: Any = function() if dset_name is None else function(self.source or create_dataset(dset_name))
        if not isinstance(made, TaskCreator):
            msg = f"The creator function of task '{task_name}', {function.__qualname__}, has to return its TaskCreator."
            raise TaskDataError(msg)
        return made

    def _creator_of_source(self, task_name: str) -> TaskCreator:
        source = self.source
        if source is None:  # a plugin that had a creator for this task is gone since the run was started
            raise UnknownNameError(task_name, kind="task to create", known=_TASKCREATORS)
        own = [path for path in (self.fm.data_path, self.fm.results_root) if source in path.parents]
        creator = TaskCreator(source, task_name)
        creator.use_collection(read_source(source, self.options.format, own))
        return creator
