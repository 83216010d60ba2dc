"""The Hydra configuration tree of mml, found as `pkg://mml_configs`.

Importing it registers the resolvers that the tree uses, so it composes with Hydra alone, too.
"""

import os
from typing import Any

from omegaconf import OmegaConf

from mml.core.scripts import environment, machine
from mml.core.scripts.utils import as_list


def _data_dir() -> str:
    return str(environment.data_location().path)


def _out_dir() -> str:
    return str(environment.results_location().path)


def _task_list(task: Any) -> list[str]:
    return [str(name) for name in as_list(task)]


def _notify_urls() -> list[str]:
    return os.environ.get("MML_NOTIFY_URLS", "").split()


def register_resolvers() -> None:
    """Register the resolvers `mml.<name>` of the tree with OmegaConf."""
    OmegaConf.register_new_resolver("mml.notify_urls", _notify_urls, replace=True)
    OmegaConf.register_new_resolver("mml.data_dir", _data_dir, replace=True)
    OmegaConf.register_new_resolver("mml.out_dir", _out_dir, replace=True)
    OmegaConf.register_new_resolver("mml.task_list", _task_list, replace=True)
    OmegaConf.register_new_resolver("mml.threads", machine.default_threads, replace=True)
    OmegaConf.register_new_resolver("mml.sweep_stamp", environment.sweep_stamp, replace=True)


register_resolvers()
