"""The same seed gives the same numbers, also where a library is imported in the midst of a step."""

import importlib
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mml.core.scripts.seeding import imports_kept_apart, seed_everything
from tests.support.toy_scheduler import toy_config


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_same_seed_gives_the_same_numbers() -> None:
    seed_everything(7)
    first = draw()
    assert draw() != first
    seed_everything(7)
    assert draw() == first


def test_other_seed_gives_other_numbers() -> None:
    seed_everything(7)
    first = draw()
    seed_everything(8)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_every_seed_of_32_bits_can_be_used(seed: int) -> None:
    seed_everything(seed)
    first = draw()
    seed_everything(seed)
    assert draw() == first


def test_numbers_of_torch_are_those_of_its_own_seeding() -> None:
    seed_everything(7)
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), drawn)


@pytest.fixture
def noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that draws from all generators when it is imported."""
    (tmp_path / "noisy_module.py").write_text(
        "import random, numpy, torch\nDRAWN = random.random(), numpy.random.random(), torch.rand(())\n"
    )
    (tmp_path / "broken_module.py").write_text("import random\nrandom.random()\nraise OSError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("noisy_module", "broken_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "noisy_module"


def test_import_that_draws_changes_nothing_for_those_who_draw_later(noisy: str) -> None:
    seed_everything(7)
    expected = draw()
    with imports_kept_apart():
        seed_everything(7)
        importlib.import_module(noisy)
        assert draw() == expected


def test_import_that_fails_changes_nothing_either(noisy: str) -> None:
    seed_everything(7)
    expected = draw()
    with imports_kept_apart():
        seed_everything(7)
        with pytest.raises(OSError, match="broken"):
            importlib.import_module("broken_module")
        assert draw() == expected


def test_module_imported_meanwhile_is_as_any_other(noisy: str) -> None:
    with imports_kept_apart():
        module = importlib.import_module(noisy)
    assert module.__spec__ is not None
    assert "exec_module" not in vars(module.__spec__.loader)
    assert importlib.reload(module) is module


def test_missing_module_is_missing_as_ever() -> None:
    with imports_kept_apart(), pytest.raises(ModuleNotFoundError):
        importlib.import_module("there_is_no_such_module")


def test_nothing_of_it_is_left_afterwards() -> None:
    before = list(sys.meta_path)
    with pytest.raises(ValueError, match="x"), imports_kept_apart():
        raise ValueError("x")
    assert sys.meta_path == before


CHILD = """
import json, sys
sys.path[:0] = sys.argv[1:3]
from omegaconf import OmegaConf
from tests.support.toy_scheduler import Toy

class Lazy(Toy):
    def work(self, number):
        import numpy
        import torch
        import noisy_module
        import random
        self.return_value = [*(self.return_value or []), numpy.random.random(), torch.rand(()).item(), random.random()]
        if self.cfg.mode.trap == f"in {number}":
            raise ValueError("boom")
    def before_finishing_hook(self):
        pass

assert "torch" not in sys.modules and "numpy" not in sys.modules
try:
    print(json.dumps(Lazy(OmegaConf.create(json.loads(sys.argv[3]))).run()))
except ValueError:
    print(json.dumps(None))
"""


def test_step_that_imports_torch_first_draws_what_it_draws_in_a_continued_run(tmp_path: Path, noisy: str) -> None:
    def run(**changes: object) -> object:
        cfg = toy_config(tmp_path, mode__n=2, **changes)
        command = [sys.executable, "-c", CHILD, str(Path(__file__).parents[3]), str(tmp_path), json.dumps(_plain(cfg))]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        assert child.returncode == 0, child.stderr
        return json.loads(child.stdout.splitlines()[-1])

    whole = run(proj="whole")
    assert run(proj="cut", mode__trap="in 1") is None
    (name,) = (path.name for path in (tmp_path / "results/cut/runs").iterdir())
    assert run(proj="cut", **{"continue": name}) == whole
    # And they are those of a process that had the libraries all along.
    assert run(proj="again") == whole


def _plain(cfg: object) -> object:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(cfg)
