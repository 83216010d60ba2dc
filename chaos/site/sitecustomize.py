"""Watches the Python process that finds this folder on its path, when the environment says so; see `chaos.watcher`."""

import os

if "MML_CHAOS_PLAN" in os.environ:
    from chaos.watcher import arm_from_environment

    arm_from_environment()
