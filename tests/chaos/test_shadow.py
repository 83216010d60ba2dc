"""A power cut leaves what was durable, and no more: files by their bytes, names by their folders."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.launchers import CHECKOUT, SITE
from chaos.shadow import JOURNALED, STRICT, Recording, Remains
from chaos.watcher import VARIABLE, Plan

HELPERS = """
import os
from pathlib import Path
folder = Path("watched")
def sync(path):
    handle = os.open(path, os.O_RDONLY); os.fsync(handle); os.close(handle)
def end():
    (folder / "last").touch()
"""


@pytest.fixture
def remains(tmp_path: Path) -> Remains:
    """Return the remains of a folder in which only `old` stands at first; `record` fills them."""
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "old").write_text("old")
    return Remains(None, str(tmp_path), tmp_path / "left")  # type: ignore[arg-type] # set by `after`


def after(remains: Remains, code: str, model: str = STRICT, seed: int = 0) -> dict[str, str | None]:
    """Return what is left, name -> text (None: a folder), when the power is cut behind the last event of code."""
    root = Path(remains.root)
    record = root / "record"
    if not record.exists():
        plan = Plan([str(root / "watched")], record=str(record))
        env = os.environ | {"PYTHONPATH": f"{SITE}:{CHECKOUT}", VARIABLE: json.dumps(plan._asdict())}
        subprocess.run([sys.executable, "-c", f"{HELPERS}\n{code}\nend()"], cwd=root, env=env, check=True)
    recording = Recording(record)
    cut = next(cut for cut in recording.cuts if recording.log[cut]["paths"] == [str(root / "watched" / "last")])
    target = remains.target.with_name(f"left_{model}_{seed}")
    target.mkdir()
    full = remains._replace(recording=recording, target=target)
    full.build(cut, model, random.Random(seed), [str(root / "watched")])
    left = target / "watched"
    return {p.relative_to(left).as_posix(): None if p.is_dir() else p.read_text() for p in sorted(left.rglob("*"))}


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("(folder / 'x').write_text('1')", {}),
        ("(folder / 'x').write_text('1'); sync(folder / 'x')", {}),
        ("(folder / 'x').write_text('1'); sync(folder)", {"x": ""}),
        ("(folder / 'x').write_text('1'); sync(folder / 'x'); sync(folder)", {"x": "1"}),
        ("(folder / 'x').write_text('1'); os.sync()", {"x": "1"}),
        ("(folder / 'a').mkdir(); (folder / 'a' / 'x').touch(); sync(folder / 'a')", {}),
        ("(folder / 'a').mkdir(); (folder / 'a' / 'x').touch(); sync(folder)", {"a": None}),
        (
            "(folder / 'a').mkdir(); (folder / 'a' / 'x').touch(); sync(folder / 'a'); sync(folder)",
            {"a": None, "a/x": ""},
        ),
    ],
)
def test_strictly_a_file_needs_its_bytes_and_its_name(remains: Remains, code: str, left: dict[str, str | None]) -> None:
    assert after(remains, code) == {"old": "old", **left}


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("(folder / 'old').unlink()", {"old": "old"}),
        ("(folder / 'old').unlink(); sync(folder)", {}),
        ("(folder / 'old').rename(folder / 'new')", {"old": "old"}),
        ("(folder / 'old').rename(folder / 'new'); sync(folder)", {"new": "old"}),
        ("(folder / 'old').write_text('changed')", {"old": "old"}),
        ("(folder / 'old').write_text('changed'); sync(folder / 'old')", {"old": "changed"}),
        ("(folder / 'x').write_text('1'); (folder / 'x').replace(folder / 'old'); sync(folder)", {"old": ""}),
    ],
)
def test_strictly_what_was_there_is_back_until_its_change_is_durable(
    remains: Remains, code: str, left: dict[str, str | None]
) -> None:
    assert after(remains, code) == left


def test_a_new_file_does_not_inherit_the_bytes_of_a_removed_one(remains: Remains) -> None:
    code = """
for _ in range(5):
    (folder / "x").write_text("durable"); sync(folder / "x"); (folder / "x").unlink()
(folder / "y").write_text("never durable"); sync(folder)
"""
    assert after(remains, code) == {"old": "old", "y": ""}


def test_a_journal_of_names_keeps_their_order_and_loses_bytes(remains: Remains) -> None:
    code = """
(folder / "durable").write_text("0123456789"); sync(folder / "durable")
(folder / "torn").write_text("0123456789")
(folder / "later").touch()
"""
    seen = [after(remains, code, JOURNALED, seed) for seed in range(30)]
    assert all(left["durable"] == "0123456789" for left in seen)
    assert all("torn" in left for left in seen if "later" in left)
    assert {"0123456789".startswith(str(left.get("torn", ""))) for left in seen} == {True}
    assert len({left.get("torn") for left in seen}) > 3
    assert {"later" in left for left in seen} == {True, False}


def test_paths_in_texts_are_those_of_the_remains(remains: Remains) -> None:
    code = "(folder / 'x').write_text(str(folder.absolute())); os.sync()"
    assert after(remains, code)["x"] == f"{remains.target}_strict_0/watched"


def test_permissions_and_links_are_kept(remains: Remains) -> None:
    after(remains, "(folder / 'old').chmod(0o640); os.symlink('old', folder / 'link'); os.sync()")
    left = Path(f"{remains.target}_strict_0") / "watched"
    assert (left / "old").stat().st_mode & 0o777 == 0o640
    assert (left / "link").readlink() == Path("old")
