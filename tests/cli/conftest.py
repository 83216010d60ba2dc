"""A mode `toy` for tests of the command line, and a way to call `mml` in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mml.cli import main
from tests.support.fake_plugins import TOY_MODE


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Mml = Callable[..., Said]


@pytest.fixture
def toy_configs(tmp_path: Path) -> Path:
    """Return a config folder with the mode `toy`, whose scheduler is `tests.support.toy_scheduler.Toy`."""
    folder = tmp_path / "configs"
    (folder / "mode").mkdir(parents=True)
    (folder / "mode" / "toy.yaml").write_text(TOY_MODE)
    return folder


@pytest.fixture
def mml(capsys: pytest.CaptureFixture[str]) -> Mml:
    """Call `mml` in this process."""

    def call(*words: str) -> Said:
        capsys.readouterr()
        code = main(words)
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def toy(mml: Mml, toy_configs: Path) -> Mml:
    """Call `mml` in this process, with the mode `toy`."""
    return lambda *words: mml(*words, "--config-dir", str(toy_configs))
