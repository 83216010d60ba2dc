"""What a process says of itself can be read by others, old and new, and be moved on in time."""

from pathlib import Path

import pytest

from mml.core.scripts.progress_state import Live, LiveBar, LiveStep, as_dict, encode_live, read_live


def test_what_is_written_is_read(tmp_path: Path) -> None:
    step = LiveStep(3, "train(0)", "w1", 2.5, [LiveBar("epoch", 1.5, 5)])
    live = Live(1.0, 7, 3, 9, "train(0)", running=[step], more=2)
    (tmp_path / "live.json").write_bytes(encode_live(live))
    assert read_live(tmp_path) == live


def test_what_earlier_versions_wrote_is_read(tmp_path: Path) -> None:
    bar = '{"description":"epoch","completed":2.0,"total":5.0,"rate":null,"unit":"","info":"","left":1.0,"elapsed":2.0}'
    text = f'{{"time":1.0,"pid":7,"step":2,"steps":3,"name":"a","left":null,"bars":[{bar}]}}'
    (tmp_path / "live.json").write_text(text)
    assert read_live(tmp_path) == Live(1.0, 7, 2, 3, "a", bars=[LiveBar("epoch", 2, 5, left=1, elapsed=2)])


@pytest.mark.parametrize("data", [None, b"", b"{", b'{"time":"now","pid":1}', b"\xff"])
def test_what_can_not_be_read_is_nothing(data: bytes | None, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / "live.json").write_bytes(data)
    assert read_live(tmp_path) is None


def test_time_goes_on_for_what_was_written() -> None:
    step = LiveStep(3, "a", "w1", 2.0, [LiveBar("epoch", 1, 5, left=3.0, elapsed=1.0), LiveBar("image", 1)])
    moved = step.later(4)
    assert (moved.elapsed, moved.number, moved.worker) == (6.0, 3, "w1")
    assert [(bar.left, bar.elapsed) for bar in moved.bars] == [(0.0, 5.0), (None, 4.0)]


def test_a_step_is_plain_values() -> None:
    plain = as_dict(LiveStep(3, "a", "w1", 2.0, [LiveBar("epoch", 1, 5)]))
    assert plain["bars"][0]["total"] == 5
    assert list(plain) == ["number", "name", "worker", "elapsed", "bars"]
