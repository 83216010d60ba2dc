"""Registers the mode `noop`, its kinds of files, and hooks that leave files of their own."""

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.plugins import HOOKS, add_config_search_path
from mml.core.scripts.utils import atomic_write

KINDS = {
    "noop_text": ("PROJ_PATH/NOOP/TASK_NAME/FILE_NAME", True),
    "noop_scrap": ("PROJ_PATH/SCRAP/FILE_NAME", True),
    "noop_sum": ("PROJ_PATH/NOOP/sum.json", False),
    "noop_model": ("PROJ_PATH/NOOP_MODELS/TASK_NAME/model.json", True),
}


def activate() -> None:
    """Register everything."""
    import mml_chaos.hostile_creator  # noqa: F401 # importing it registers

    add_config_search_path("pkg://mml_chaos.configs")
    for key, (path, numbered) in KINDS.items():
        MMLFileManager.add_assignment_path(None, key, path, numbered)
    HOOKS.before_run.append(lambda scheduler: leave_file(scheduler, "before_run"))
    HOOKS.after_run.append(lambda scheduler: leave_file(scheduler, "after_run"))


def leave_file(scheduler: AbstractBaseScheduler, when: str) -> None:
    """Write a file outside of every step; other modes are left alone."""
    if scheduler.cfg.mode.id == "noop":
        with atomic_write(scheduler.fm.construct_saving_path(None, "plots", "hooks", f"{when}.txt"), "w") as file:
            file.write(f"{when}, with {len(scheduler.params)} steps\n")
