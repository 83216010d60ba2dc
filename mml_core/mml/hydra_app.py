"""mml as a Hydra application: every flag of Hydra works, a run is composed once, and errors are said in mml's words."""

import argparse
import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from hydra._internal.callbacks import Callbacks
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext, RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mml.config_loading import CONFIG_NAME, CONFIG_TREE, MMLConfigLoader, MMLHydra, folder_source, make_hydra
from mml.continuing import CONTINUE, FORK_FLAG, LATEST, find_continue
from mml.core.scripts.environment import load_env
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.plugins import broken_plugins, load_plugins
from mml.core.scripts.signals import guarded_signals
from mml.detaching import DETACH_FLAG, check_detach, detach_override
from mml.forking import FORK, find_fork
from mml.outcome import tell
from mml.sweeping import Jobs

if TYPE_CHECKING:
    from mml.requeued import Requeued

VERBS = ("help", CONTINUE, "plan", "runs", "status", "doctor")
MULTIRUN = "hydra.mode=MULTIRUN"
# What says how Hydra makes many runs, or where it keeps its own files of one.
_FOR_OTHER_RUNS = (MULTIRUN, "hydra.sweep", "hydra.launcher", "hydra/sweeper", "hydra/launcher", "hydra.run.")
_WHICH_MODE = "Which mode? Say it first, e.g. `mml train ...` or `mml info ...`; `mml --help` lists the modes."


def run_words(words: Sequence[str]) -> None:
    """Carry out the words of a command line that is no help: run, sweep, continue, or show the config.

    Raises:
        MMLMisconfigurationException: what the words ask for can't be done.
        Exception: whatever the run raises.
    """
    if _in_job():
        from mml.requeued import find_continued

        if continued := find_continued(words):
            tell(continued.said)
            if continued.done:
                return None
            words = continued.words
    flags = parse_flags(words)
    load_env()
    if flags.shell_completion:
        from mml.completion import complete

        return complete(flags)
    with opened(flags) as hydra:
        _carry_out(flags, hydra)
    return None


@contextmanager
def opened(flags: argparse.Namespace) -> Iterator[MMLHydra]:
    """Open Hydra for the block, with the mode found and the flags checked; what is wrong is said in mml's words.

    Raises:
        MMLMisconfigurationException: the flags or the config ask for something that can't be done.
    """
    hydra = open_tree(flags)
    try:
        flags.overrides = named_mode(flags.overrides, hydra.config_loader)
        check_flags(flags)
        yield hydra
    except Exception as error:
        said = _in_own_words(error, hydra.config_loader)
        if said is error:
            raise
        raise said from error
    finally:
        GlobalHydra.instance().clear()


def _in_own_words(error: Exception, loader: MMLConfigLoader) -> Exception:
    """Return the error that says what is wrong with the config, or the same one if a step of a run raised it."""
    if hasattr(error, "continue_command"):
        return error
    from mml.config_errors import explain  # wanted only when something is wrong

    return explain(error, loader) or error


def parse_flags(words: Sequence[str], more: Sequence[str] = ()) -> argparse.Namespace:
    """Return Hydra's flags and, as `overrides`, all other words; `mml continue` becomes the override it stands for.

    Args:
        words: of the command line.
        more: flags of a verb, which were read already, to be named when another is not known.

    Raises:
        MMLMisconfigurationException: a flag that nobody knows, or one without its value.
    """

    def refuse(message: str) -> NoReturn:
        raise MMLMisconfigurationException(message[0].upper() + message[1:] + ". See `mml --help`.")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign] # argparse would print all of Hydra's flags and exit
    forks = FORK_FLAG in words
    others = [word for word in words if word not in (FORK_FLAG, DETACH_FLAG)]
    flags, unknown = parser.parse_known_intermixed_args(others)
    if unknown:
        options = [*(option for action in parser._actions for option in action.option_strings), DETACH_FLAG, *more]
        raise UnknownNameError(unknown[0], kind="flag", known=[name for name in options if name.startswith("--")])
    if flags.overrides and flags.overrides[0] == CONTINUE:
        flags.overrides = expand_continue(flags.overrides[1:], FORK if forks else CONTINUE)
    elif forks:
        refuse(f"{FORK_FLAG} belongs to `continue`: mml continue <run> {FORK_FLAG} key=value")
    flags.overrides += detach_override(words)
    return flags


def expand_continue(words: Sequence[str], key: str = CONTINUE) -> list[str]:
    """Return the overrides that the words after `mml continue` stand for.

    Args:
        words: the run and overrides, in any order; without a run it is the only one that waits, or one to be picked.
        key: what to do with the run, `continue` or `fork`.
    """
    named = next((word for word in words if "=" not in word and word[:1] not in ("~", "+")), None)
    run = named or (_waiting_run(words) if key == CONTINUE else LATEST)
    return [f"{key}='{run}'", *(word for word in words if word is not named)]


def _waiting_run(words: Sequence[str]) -> str:
    """Return the run that waits to be continued, below the folder and in the project that overrides name."""
    from mml.picker import choose_run
    from mml.runs_words import results_root

    given = {word.partition("=")[0]: word.partition("=")[2].strip("'\"") for word in words}
    run = choose_run(results_root(given.get("out_dir")), given.get("proj"), given.get("out_dir"))
    return LATEST if run is None else f"{run.project}/{run.name}"


def open_tree(flags: argparse.Namespace) -> MMLHydra:
    """Return Hydra over the config tree and the folders of all plugins that work; others are named on stderr."""
    for report in broken_plugins(load_plugins()):
        tell(f"Warning: {report}")
    main, more = (folder and folder_source(folder) for folder in (flags.config_path, flags.config_dir))
    return make_hydra(main or CONFIG_TREE, more)


def named_mode(overrides: Sequence[str], loader: MMLConfigLoader) -> list[str]:
    """Return overrides in which a first word without `=` is read as the mode: `train` is `mode=train`.

    Raises:
        UnknownNameError: there is no such mode.
        MMLMisconfigurationException: two modes are asked for.
    """
    if not overrides or "=" in overrides[0] or overrides[0].startswith("~"):
        return list(overrides)
    word, *others = overrides
    if not loader.repository.config_exists(f"mode/{word}"):
        loader.composing = tuple(others)
        modes = loader.options("mode")
        if word not in modes:
            raise UnknownNameError(word, kind="mode", known=[*modes, *VERBS], fix="`mml --help` explains them.")
    for override in others:
        if override.startswith("mode=") and override != f"mode={word}":
            msg = f"Two modes are asked for: '{word}' and '{override}'. Leave one of them out."
            raise MMLMisconfigurationException(msg)
    return [f"mode={word}", *(override for override in others if override != f"mode={word}")]


def check_flags(flags: argparse.Namespace) -> None:
    """Refuse flags that don't go together.

    Raises:
        MMLMisconfigurationException: names the flags and the fix.
    """
    jobs = ("run", "multirun", "cfg", "info", "hydra_help")
    asked = [f"--{job.replace('_', '-')}" for job in jobs if getattr(flags, job)]
    if fault := _flag_fault(flags, asked):
        raise MMLMisconfigurationException(fault)


def _flag_fault(flags: argparse.Namespace, asked: list[str]) -> str | None:
    if len(asked) > 1:
        return f"{' and '.join(asked)} can't be asked for at once. Leave one of them out."
    if flags.experimental_rerun:
        return "--experimental-rerun is not for mml, which keeps the config of every run: use `mml continue <run>`."
    for flag in ("resolve", "package"):
        if getattr(flags, flag) and not flags.cfg:
            return f"--{flag} belongs to --cfg. Leave it out, or add --cfg job."
    if find_fork(flags.overrides) is not None or find_continue(flags.overrides) is not None:
        return _continue_fault(flags)
    return None if flags.config_name or not _starts(asked) or _has_mode(flags.overrides) else _WHICH_MODE


def _starts(asked: list[str]) -> bool:
    """Tell whether flags ask for a run, not for a look at a config."""
    return asked in ([], ["--run"], ["--multirun"])


def _continue_fault(flags: argparse.Namespace) -> str | None:
    given = {"--multirun": flags.multirun, "--config-name": flags.config_name, "--config-path": flags.config_path}
    given |= {override: True for override in flags.overrides if override.lstrip("+~").startswith(_FOR_OTHER_RUNS)}
    for flag, value in given.items():
        if value:
            return f"{flag} does not go with `continue`: one run goes on, as it was configured. Leave one of them out."
    return None


def _has_mode(overrides: Sequence[str]) -> bool:
    return any(override.partition("=")[0] == "mode" for override in overrides)


def _carry_out(flags: argparse.Namespace, hydra: MMLHydra) -> None:
    name = flags.config_name or CONFIG_NAME
    if flags.hydra_help:
        hydra.hydra_help(config_name=name, args_parser=get_args_parser(), args=flags)
    elif flags.cfg:
        hydra.show_cfg(name, flags.overrides, flags.cfg, flags.package, flags.resolve)
    elif flags.info:
        hydra.show_info(flags.info, config_name=name, overrides=flags.overrides)
    elif flags.multirun or MULTIRUN in flags.overrides:
        _sweep(hydra, name, flags.overrides)
    else:
        _run(hydra, name, flags.overrides)


def _run(hydra: MMLHydra, name: str, overrides: list[str]) -> None:
    """Compose and run one job, as `Hydra.run` does; `hydra.main` would compose twice."""
    cfg = hydra.compose_config(name, overrides, RunMode.RUN)
    if cfg.hydra.mode == RunMode.MULTIRUN:
        return _sweep(hydra, name, overrides)
    refuse_idle_space(cfg)
    cfg.hydra.mode = RunMode.RUN
    callbacks = Callbacks(cfg)
    callbacks.on_run_start(config=cfg, config_name=name)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
    job = run_job(start, cfg, job_dir_key="hydra.run.dir", job_subdir_key=None, hydra_context=context)
    callbacks.on_run_end(config=cfg, config_name=name, job_return=job)
    if job.status == JobStatus.FAILED:
        raise job._return_value  # the property would print a line of its own
    return None


def _sweep(hydra: MMLHydra, name: str, overrides: list[str]) -> None:
    if MULTIRUN not in overrides:
        overrides.append(MULTIRUN)
    jobs = Jobs(start, lambda error: _in_own_words(error, hydra.config_loader))
    jobs.finish(lambda: hydra.multirun(config_name=name, task_function=jobs, overrides=overrides))


def refuse_idle_space(cfg: DictConfig) -> None:
    """Refuse values to try in a run that tries none.

    Raises:
        MMLMisconfigurationException: there are some; says what to add.
    """
    choice = cfg.hydra.runtime.choices.get("search_space")
    if choice not in (None, "none"):
        msg = f"search_space={choice} names values to try: add --multirun."
        raise MMLMisconfigurationException(msg)


def start(cfg: DictConfig) -> Any:
    """Instantiate the scheduler that a config names, run it and return its return value.

    Raises:
        MMLMisconfigurationException: it names none.
        Exception: whatever the scheduler raises.
    """
    # A scheduler guards its run itself; what comes before it takes seconds, too.
    with guarded_signals():
        if requeued := _requeued(cfg):
            tell(requeued.said)
            if requeued.done:
                return requeued.value
            cfg = requeued.cfg
        scheduler = make_scheduler(cfg)
        _collect_garbage_again()
        return scheduler.run()


def make_scheduler(cfg: DictConfig) -> Any:
    """Instantiate the scheduler that a config names.

    Raises:
        MMLMisconfigurationException: it names none.
        Exception: whatever the scheduler raises.
    """
    if OmegaConf.select(cfg, "mode.scheduler._target_") is None:
        msg = "The mode names no scheduler: mode.scheduler._target_ has to be the path of a class. See `mml help mode`."
        raise MMLMisconfigurationException(msg)
    check_detach(cfg)
    return instantiate(cfg.mode.scheduler, cfg, _recursive_=False)


def _requeued(cfg: DictConfig) -> "Requeued | None":
    """Return what to go on with instead of a new run, in a job of Slurm that was started again."""
    if not _in_job():
        return None
    from mml.requeued import find_requeued

    return find_requeued(cfg)


def _collect_garbage_again() -> None:
    """Let a run look for garbage, which nobody did since the start of the command line; what is there by now stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _in_job() -> bool:
    """Tell whether Slurm started this process; only then its commands may be on their way a second time."""
    return bool(os.environ.get("SLURM_JOB_ID"))
