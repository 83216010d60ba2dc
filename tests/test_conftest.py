import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from mml.core.scripts.utils import Singleton
from tests.conftest import forget_globals


class Thing(metaclass=Singleton):
    pass


def test_settings_of_the_developer_do_not_reach_a_test(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert [name for name in os.environ if name.startswith("MML_")] == []
    assert platformdirs.user_data_path("mml").is_relative_to(tmp_path_factory.getbasetemp())
    assert Path.cwd() == tmp_path


def test_singletons_do_not_outlive_a_test() -> None:
    Thing()
    forget_globals()
    assert not Thing.exists()


def test_a_file_left_in_the_checkout_fails_the_run(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    (copy / "tests" / "support").mkdir(parents=True)
    for name in ("pyproject.toml", "tests/conftest.py", "tests/support/real_data.py", "tests/support/slurm_machine.py"):
        (copy / name).write_text((checkout / name).read_text(encoding="utf-8"), encoding="utf-8")
    test = "from pathlib import Path\n\ndef test_x(checkout):\n    (checkout / 'litter.txt').write_text('x')\n"
    (copy / "tests" / "test_x.py").write_text(test, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    first = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert first.returncode == pytest.ExitCode.TESTS_FAILED, first.stdout + first.stderr
    assert "Tests left in the checkout: litter.txt." in first.stdout
    assert subprocess.run(command, cwd=copy, capture_output=True, check=False).returncode == pytest.ExitCode.OK
