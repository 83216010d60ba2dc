import random
from pathlib import Path

import numpy as np
import torch

from mml.core.models.training_state import random_state, restore_random_state


def draws() -> list[float]:
    return [random.random(), float(np.random.random()), float(np.random.normal()), float(torch.rand(()))]


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    np.random.normal()  # leaves a second number for the next call
    random.gauss(0, 1)
    torch.save(random_state(), tmp_path / "state.ckpt")
    expected = [*draws(), random.gauss(0, 1)]
    draws()
    restore_random_state(torch.load(tmp_path / "state.ckpt", weights_only=True))
    assert [*draws(), random.gauss(0, 1)] == expected
