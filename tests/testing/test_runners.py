"""The contract of runners holds the serial runner and one of a plugin to its promises."""

from collections.abc import Iterator

import pytest

from mml.testing import RunnerContract
from tests.support.fake_plugins import CHECKOUT, install_plugin


class TestSerial(RunnerContract):
    overrides = ("runner=serial",)


class TestRunnerOfAPlugin(RunnerContract):
    """`runner=farm` is an entry point and has no YAML file."""

    overrides = ("runner=farm", "runner.workers=2")

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def site(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        site = tmp_path_factory.mktemp("site")
        install_plugin(site, "farm", "tests.support.farm_runner:FarmRunner", {}, group="mml.runners")
        patch = pytest.MonkeyPatch()
        patch.setenv("PYTHONPATH", f"{site}:{CHECKOUT}")
        yield
        patch.undo()
