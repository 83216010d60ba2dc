"""AbstractBaseScheduler: what every mode subclasses. A subclass plans steps; recording and resuming is done for it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from omegaconf import DictConfig, OmegaConf

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.data_loading.task_description import validate_task_name
from mml.core.data_loading.task_struct import TaskStruct
from mml.core.scripts import factories
from mml.core.scripts.exceptions import MMLMisconfigurationException, PlanError, UnknownNameError
from mml.core.scripts.plugins import HOOKS
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.resources import read_resources
from mml.core.scripts.run_policy import read_policy
from mml.core.scripts.run_unrecorded import run_unrecorded
from mml.core.scripts.schedule import (
    NO_DETAILS,
    Step,
    StepDetails,
    checked_after,
    make_step,
    planned_details,
    refuse_cycles,
    step_seed,
)
from mml.core.scripts.signals import SignalGuard
from mml.core.scripts.struct_tracker import StructTracker
from mml.core.scripts.training_folders import TrainingFolders, remove_trainings
from mml.core.scripts.utils import as_list

if TYPE_CHECKING:
    import lightning

    from mml.core.data_loading.lightning_datamodule import MultiTaskDataModule
    from mml.core.models.lightning_single_frame import SingleFrameLightningModule
    from mml.core.models.training import Trainer


_LONGEST_NAME = 100


class AbstractBaseScheduler(ABC):
    """Plans and runs a schedule of atomic steps.

    A subclass calls `super().__init__(cfg, available_subroutines)`, fills `commands` and `params` in `create_routine`
    (best with `add_step`) and has one method per kind of step. A step does one thing, keeps what it makes in files from
    `fm.construct_saving_path`, and attaches them to a task struct: nothing else survives an interruption.

    Args:
        cfg: the composed config.
        available_subroutines: all subroutines that the scheduler knows, in the order in which they run.

    Raises:
        MMLMisconfigurationException: a subroutine, task or project that is not known; names the nearest ones.

    Attributes:
        cfg: the composed config.
        fm: hands out paths and finds tasks.
        subroutines: those of `available_subroutines` that `cfg.mode.subroutines` asks for.
        commands: the methods to call, one per step.
        params: the positional arguments of each command: JSON values or paths.
        details: position of a step -> what its plan says besides command and params; a step that is not in it needs the
            one before it.
        policy: what is done about a step that fails.
        guard: holds back signals while the run is going on, None outside of it.
        pivot: a prominent task among `cfg.task_list`: `cfg.pivot.name`, else the first; None without tasks.
        return_value: what `run` returns, a JSON value; sweeps read it.
        continue_status: whether this continues an earlier run.
        progress: the display of steps, epochs and batches.
        seed: of the run; `step_seed` is the one of the current step, `step_position` its place in the plan.
        seconds: time of all steps of a finished run, interruptions left out.
    """

    # False for a mode that only looks: no run folder, no journal.
    records_run: ClassVar[bool] = True
    # False for a mode whose tasks need not exist, because it makes them.
    needs_tasks: ClassVar[bool] = True

    def __init__(self, cfg: DictConfig, available_subroutines: list[str]) -> None:
        self.cfg = cfg
        self.continue_status = bool(cfg.get("continue"))
        self.subroutines = _checked_subroutines(cfg, available_subroutines)
        self.task_list = [validate_task_name(str(name)) for name in as_list(cfg.get("task_list"))]
        self.pivot = _pivot(cfg, self.task_list)
        self.commands: list[Callable[..., Any]] = []
        self.params: list[Sequence[Any]] = []
        self.details: dict[int, StepDetails] = {}
        self.guard: SignalGuard | None = None
        self._step_key = ""
        self._trainings: TrainingFolders | None = None
        self.return_value: Any = None
        self.seed = self.step_seed = _checked_seed(cfg.seed)
        self.step_position = 0
        self.policy = read_policy(cfg)
        self.seconds = 0.0
        self.progress = RunProgress(enabled=bool(OmegaConf.select(cfg, "logging.progress", default=True)))
        self.fm = _make_file_manager(cfg)
        self.structs = StructTracker(self.fm)
        for hook in HOOKS.after_scheduler_init:
            hook(self)

    @abstractmethod
    def create_routine(self) -> None:
        """Fill `commands` and `params`, based on `subroutines`. No work is done here."""

    def add_step(
        self,
        command: Callable[..., Any],
        *params: Any,
        after: Iterable[int | str] | None = None,
        resources: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> int:
        """Append a step to the plan and return its position; a running step may add steps, too.

        Args:
            command: a method of this scheduler.
            *params: its arguments: JSON values or paths.
            after: steps that it needs, by their positions or names, also names of later ones; `()` for none; by default
                the step before it. A step runs when all that it needs are done, and sees what they changed.
            resources: what it needs of a machine: `cpus`, `gpus`, `memory` (bytes, or text as `"8GB"`). The config's
                `runner.resources` comes first.
            name: how others may call it; no two steps of a plan may have the same.

        Raises:
            PlanError: a param that can't be journaled, or `after` holds neither positions of earlier steps nor names.
            MMLMisconfigurationException: resources that can't be any.
        """
        position, called = len(self.commands), _command_name(command)
        what = f"step {position + 1}, {called}"
        details = StepDetails(checked_after(after, position, called), name or "", read_resources(resources, what))
        make_step(position, called, params, self.fm.roots)
        self.commands.append(command)
        self.params.append(list(params))
        if details != NO_DETAILS:
            self.details[position] = details
        return position

    def after_preparation_hook(self) -> None:  # noqa: B027 # optional for subclasses
        """Be called before the first step, also when a run is continued. For a subclass to override."""

    def before_finishing_hook(self) -> None:  # noqa: B027 # optional for subclasses
        """Be called after the last step. For a subclass to override; what it needs is in task structs and files."""

    def report(self) -> None:  # noqa: B027 # optional for subclasses
        """Print the outcome of a finished run to `progress.console`. For a subclass to override."""

    def plan(self) -> list[Step]:
        """Make the plan afresh and return its steps.

        Raises:
            MMLMisconfigurationException: the plan can't be carried out or journaled, or a task does not exist.
        """
        if self.needs_tasks:
            for name in self.task_list:
                self.fm.task_index.header(name)
        self.commands.clear()
        self.params.clear()
        self.details.clear()
        self.create_routine()
        steps = self.steps_from(0)
        refuse_cycles(steps)
        return steps

    def steps_from(self, position: int) -> list[Step]:
        """Return the planned steps from a position on.

        Raises:
            PlanError: a param that can't be journaled, lists of commands and params of different length, a need that
                is no step, or a name of two steps.
        """
        if len(self.commands) != len(self.params):
            msg = f"The plan has {len(self.commands)} commands, but {len(self.params)} lists of params; each needs one."
            raise PlanError(msg)
        roots = self.fm.roots
        details = planned_details(self.details, range(position, len(self.commands)))
        return [
            make_step(number, _command_name(self.commands[number]), self.params[number], roots, details.get(number))
            for number in range(position, len(self.commands))
        ]

    def run(self) -> Any:
        """Carry out what remains of the plan and return `return_value`.

        Raises:
            MMLMisconfigurationException: the request is refused; nothing was started.
            RunLockedError: another process works on the run.
            Interrupted: a signal stopped the run.
            Exception: a step failed. All but the first two carry the command that continues as `continue_command`.
        """
        if not self.records_run:
            return run_unrecorded(self, self.plan())
        from mml.core.scripts.run_driver import recall_start, run_recorded  # a quarter of the start of `mml info`

        if self.continue_status:
            recall_start(self)
        return run_recorded(self, self.plan())

    def step_config(self, command: str) -> Sequence[str] | None:  # noqa: ARG002 # for subclasses
        """Return what the result of a command depends on, so that a fork of a run knows which steps to take over.

        For a subclass to override. Seed and mode always count, keys of where a run goes on (devices, logging) never.

        Args:
            command: name of a method that is a step.

        Returns:
            Dotted keys and groups of the config, e.g. `["optimizer", "mode.keep"]`; one that begins with `~` is left
            out of its group. None, for a command that nothing is known of: all keys.
        """
        return None

    def step_fault(self, command: str, params: Sequence[Any]) -> str:  # noqa: ARG002 # for subclasses
        """Return why a step that another run has done can't be taken over, e.g. `its table is gone`; empty if it can.

        For a subclass to override whose steps make more than files of task structs, which are looked after anyway.

        Args:
            command: name of a method that is a step.
            params: its arguments.
        """
        return ""

    def begin_step(self, step: Step) -> None:
        """Prepare for a step: take down its position, and derive its seed from the run's seed and the step alone."""
        self.step_seed, self.step_position = step_seed(self.seed, step.key), step.position
        self._step_key, self._trainings = step.key, None

    def step_recorded(self, step: Step) -> None:
        """Be called when a step is done and recorded for good, to remove what only its continuation would need."""
        if step.key != self._step_key:  # another process did it
            remove_trainings(self.fm.log_path or self.fm.proj_path, step.key)
        elif self._trainings is not None:
            self._trainings.remove()
        self._step_key, self._trainings = "", None

    def get_struct(self, task_name: str) -> TaskStruct:
        """Return the struct of a task; changes that a step makes to its paths and models are journaled with the step.

        Raises:
            UnknownNameError: there is no such task.
        """
        return self.structs.get(task_name)

    def create_trainer(
        self, monitor: str | None = None, metrics_callback: bool = False, *, name: str | None = None
    ) -> "Trainer":
        """Return a trainer as configured by `trainer`, `callbacks` and `logging`.

        Inside a step it takes checkpoints, and its `fit` goes on where an interrupted one stopped.

        Args:
            monitor: metric that decides which epoch is kept, by default that of the mode.
            metrics_callback: whether the metrics of each epoch are collected in `trainer.history`.
            name: of the training in TensorBoard and temporary files, one file name; by default made of the step's seed.
        """
        return factories.create_trainer(
            self.cfg,
            fm=self.fm,
            progress=self.progress,
            seed=self.step_seed,
            monitor=monitor,
            metrics_callback=metrics_callback,
            name=name,
            folder=self._training_folder(name),
            guard=self.guard,
        )

    def create_model(self, task_structs: TaskStruct | list[TaskStruct]) -> "SingleFrameLightningModule":
        """Return the model that `arch`, `loss`, `optimizer` and `metrics` describe, with a head for each task."""
        return factories.create_model(self.cfg, as_list(task_structs))

    def create_datamodule(self, task_structs: TaskStruct | list[TaskStruct], fold: int = 0) -> "MultiTaskDataModule":
        """Return the data of tasks, with `fold` held out for validation.

        Raises:
            MMLMisconfigurationException: a task has no such fold.
        """
        return factories.create_datamodule(self.cfg, as_list(task_structs), fold, self.step_seed, self.progress)

    def lightning_tune(
        self,
        trainer: "lightning.Trainer",
        model: "SingleFrameLightningModule",
        datamodule: "MultiTaskDataModule",
    ) -> None:
        """Tune learning rate and batch size as `tune` asks for, in place."""
        factories.lightning_tune(self.cfg, trainer, model, datamodule)

    def _training_folder(self, name: str | None) -> Path | None:
        """Return the folder for the checkpoints of a step's next training; None where nothing could be continued."""
        if not self._step_key or self.fm.log_path is None:
            return None
        self._trainings = self._trainings or TrainingFolders(self.fm.temp_path, self._step_key)
        return self._trainings.new(name)

    def highlight_text(self, text: str) -> str:
        """Return `text` so that it stands out in a log line."""
        return f"'{text}'"


def _checked_subroutines(cfg: DictConfig, available: list[str]) -> list[str]:
    """Return the subroutines asked for, in the order in which they run."""
    asked = as_list(cfg.mode.get("subroutines"))
    for name in asked:
        if name not in available:
            raise UnknownNameError(str(name), kind="subroutine", known=available)
    return [name for name in available if name in asked]


def _checked_seed(seed: Any) -> int:
    if type(seed) is not int or not 0 <= seed < 2**32:
        msg = f"seed={seed} can't be a seed: give a whole number from 0 to {2**32 - 1}."
        raise MMLMisconfigurationException(msg)
    return seed


def _pivot(cfg: DictConfig, task_list: list[str]) -> str | None:
    wanted = OmegaConf.select(cfg, "pivot.name", default=None)
    if wanted is None:
        return task_list[0] if task_list else None
    if wanted not in task_list:
        raise UnknownNameError(
            str(wanted), kind="pivot.name", known=task_list, fix="The pivot has to be a task of the run."
        )
    return str(wanted)


def _make_file_manager(cfg: DictConfig) -> MMLFileManager:
    """Replace the file manager of an earlier scheduler by that of this config."""
    proj = str(cfg.proj)
    if not proj or proj[0] == "." or any(sign in proj for sign in "/\\#\0") or len(os.fsencode(proj)) > _LONGEST_NAME:
        msg = (
            f"proj='{proj}' can't be the name of a project: it becomes a visible folder. Use letters, digits, '_', '-' "
            f"and, inside, '.'; at most {_LONGEST_NAME} bytes."
        )
        raise MMLMisconfigurationException(msg)
    reuse: Any = OmegaConf.to_container(cfg.get("reuse") or OmegaConf.create({}), resolve=True)
    MMLFileManager.clear_instance()
    manager: MMLFileManager = MMLFileManager(
        data_path=Path(cfg.data_dir).expanduser(),
        proj_path=Path(cfg.out_dir).expanduser() / proj,
        reuse_cfg=reuse,
        remove_cfg=reuse.get("clean_up"),
    )
    return manager


def _command_name(command: Callable[..., Any]) -> str:
    name = getattr(command, "__name__", "")
    if not name.isidentifier():
        msg = f"{command!r} can't be a step: commands are methods of the scheduler, which the journal knows by name."
        raise PlanError(msg)
    return name
