from pathlib import Path

from conftest import create_shapes

from mml.testing import SchedulerContract


class TestBrightness(SchedulerContract):
    """Whatever mml promises of a scheduler holds for this one."""

    overrides = ("mode=brightness", "task=shapes", "mode.side=8")

    def prepare(self, data_dir: Path) -> None:
        create_shapes(data_dir)
