"""A step begins beside others only while there is memory for it."""

import pytest

from mml.core.scripts.machine import free_memory
from mml.runners import local_memory
from mml.runners.local_memory import LEAST, MemoryGate


@pytest.mark.parametrize(
    ("free", "needed", "promised", "is_open"),
    [
        (LEAST, None, 0, True),
        (LEAST - 1, None, 0, False),
        (5 * LEAST, 5 * LEAST, 0, True),
        (5 * LEAST, 5 * LEAST, 1, False),
        (5 * LEAST, None, 4 * LEAST, True),
        (5 * LEAST, 1, 4 * LEAST + 1, False),
        (None, 10**18, 10**18, True),
    ],
)
def test_memory_has_to_hold_what_a_step_needs_beside_what_others_will_take(
    free: int | None, needed: int | None, promised: int, is_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_memory, "free_memory", lambda: free)
    assert MemoryGate().open_for(needed, promised) is is_open


def test_machine_is_asked_again_when_its_answer_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(local_memory, "free_memory", lambda: asked.append(1) or free_memory())
    gate = MemoryGate()
    for _ in range(10):
        gate.open_for(1, 0)
    assert 1 <= len(asked) < 10
    monkeypatch.setattr(local_memory, "_FRESH", 0.0)
    gate.open_for(1, 0)
    gate.open_for(1, 0)
    assert len(asked) >= 3
