"""What mml calls at every start: it registers, and imports nothing heavy, because whoever types `mml` waits for it."""

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.base_scheduler import AbstractBaseScheduler
from mml.core.scripts.plugins import HOOKS, add_config_search_path

# Kinds of files: key -> where they lie. They are numbered, so no run writes over the files of another.
KINDS = {
    "brightness": "PROJ_PATH/BRIGHTNESS/TASK_NAME/FILE_NAME",
    "mean_image": "PROJ_PATH/MEAN_IMAGES/TASK_NAME/FILE_NAME",
    "brightness_chart": "PROJ_PATH/BRIGHTNESS/TASK_NAME/chart.png",
}


def activate() -> None:
    """Register the plugin's configuration, kinds of files and hook."""
    add_config_search_path("pkg://mml_template.configs")
    for key, path in KINDS.items():
        MMLFileManager.add_assignment_path(None, key, path)
    HOOKS.after_scheduler_init.append(offer_tasks)


def offer_tasks(scheduler: AbstractBaseScheduler) -> None:
    """Register the plugin's tasks when some are about to be created; no other mode needs what that imports."""
    if scheduler.cfg.mode.id == "create":
        import mml_template.shapes  # noqa: F401 # importing it registers the creator
