"""Whether a Ray can be reached is found out by a process of its own, which says so and ends at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mml.runners import ray_reach

FAKE = "def init(**options):\n    print('chatter', file=__import__('sys').stderr)\n    raise {error}\n"


def said(tmp_path: Path, error: str) -> dict[str, str]:
    (tmp_path / "ray.py").write_text(FAKE.format(error=error))
    done = subprocess.run(
        [sys.executable, "-P", ray_reach.__file__, "head:6379"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("ConnectionError('nobody there')", "ConnectionError: nobody there"),
        ("RuntimeError('mismatch') from ValueError('3.12')", "RuntimeError: mismatch (3.12)"),
        ("SystemExit(15)", "SystemExit: 15"),
    ],
)
def test_error_is_said(error: str, text: str, tmp_path: Path) -> None:
    assert said(tmp_path, error) == {"error": text}


def test_address_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray_fake.py").write_text(
        "from types import SimpleNamespace\n"
        "def init(**_): pass\n"
        "def get_runtime_context(): return SimpleNamespace(gcs_address='10.0.0.1:6379')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", __import__("ray_fake"))
    assert ray_reach.main("auto") == 0
    assert json.loads(capsys.readouterr().out) == {"address": "10.0.0.1:6379"}
