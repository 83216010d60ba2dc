import sys
from pathlib import Path

import pytest

from mml.doctor import versions
from mml.doctor.verdicts import Level, Settings
from tests.doctor.fakes import fake_distribution

NOWHERE = Settings(None, None)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose distributions come before all others."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def alone(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no distributions but those of `site`, beside what the check itself imports."""
    for name in ("packaging.requirements", "packaging.specifiers", "packaging.version"):
        __import__(name)
    monkeypatch.setattr(sys, "path", [str(site)])


def test_this_python_is_fine() -> None:
    verdict = versions.check_python(NOWHERE)
    assert verdict.level is Level.OK
    assert sys.executable in verdict.what


def test_a_python_outside_of_what_is_supported_is_a_problem(site: Path) -> None:
    info = fake_distribution(site, "mml-core", "9")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mml-core\nVersion: 9\nRequires-Python: <3\n")
    verdict = versions.check_python(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert "<3" in verdict.what
    assert "<3" in verdict.fix


def test_python_can_be_checked_where_mml_is_not_installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(site, monkeypatch)
    assert versions.check_python(NOWHERE).level is Level.OK


def test_what_is_installed_meets_the_requirements() -> None:
    assert versions.check_requirements(NOWHERE).level is Level.OK


def test_a_version_that_is_too_old_is_named_with_the_command_that_mends_it(site: Path) -> None:
    fake_distribution(site, "mml-core", "9", "optuna>=5", "msgspec>=0.1")
    fake_distribution(site, "optuna", "3.6.1")
    verdict = versions.check_requirements(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert verdict.what == "optuna is 3.6.1, not >=5"
    assert verdict.fix == f"{versions.python_name()} -m pip install 'optuna>=5'"


def test_a_distribution_that_is_missing_is_named(site: Path) -> None:
    fake_distribution(site, "mml-core", "9", "mml-nobody-has-this>=1")
    verdict = versions.check_requirements(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert "mml-nobody-has-this is not installed" in verdict.what


def test_requirements_of_extras_other_systems_and_no_sense_are_left_out(site: Path) -> None:
    odd = ("nobody; extra == 'x'", "nobody; sys_platform == 'beos'", "???")
    fake_distribution(site, "mml-core", "9", *odd)
    assert versions.check_requirements(NOWHERE).what == "all 0 requirements are met"


def test_mml_that_is_not_installed_is_a_warning(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(site, monkeypatch)
    assert versions.check_requirements(NOWHERE).level is Level.WARNING


def test_a_local_build_meets_a_plain_requirement(site: Path) -> None:
    fake_distribution(site, "mml-core", "9", "torch>=2.6")
    fake_distribution(site, "torch", "2.15.0+cpu")
    assert versions.check_requirements(NOWHERE).level is Level.OK


@pytest.mark.parametrize("name", ["lightning", "pytorch-lightning"])
@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_malware_is_named_as_that(site: Path, name: str, version: str) -> None:
    fake_distribution(site, name, version)
    verdict = versions.check_malware(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert f"{name} {version} is malware" in verdict.what
    assert f"uninstall --yes {name}" in verdict.fix
    assert "password" in verdict.fix


def test_a_lightning_with_holes_is_a_problem(site: Path) -> None:
    fake_distribution(site, "lightning", "2.5.0")
    verdict = versions.check_malware(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert "'lightning>=2.6.6'" in verdict.fix


def test_a_safe_lightning_is_fine(site: Path) -> None:
    fake_distribution(site, "lightning", "2.6.6")
    assert versions.check_malware(NOWHERE).level is Level.OK


def test_no_lightning_at_all_is_a_problem(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(site, monkeypatch)
    assert "not installed" in versions.check_malware(NOWHERE).what


def test_the_installed_libraries_fit_one_another() -> None:
    assert versions.check_pairs(NOWHERE).level is Level.OK


def test_a_torchvision_for_another_torch_is_a_problem(site: Path) -> None:
    fake_distribution(site, "torchvision", "0.29.2", "torch==2.14.0")
    fake_distribution(site, "torch", "2.15.0")
    verdict = versions.check_pairs(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert "torchvision wants torch==2.14.0, but torch is 2.15.0" in verdict.what
    assert "pip uninstall --yes torch torchvision" in verdict.fix
    assert "pip install torch torchvision" in verdict.fix


@pytest.mark.parametrize(
    ("torch", "torchvision", "fits"),
    [
        ("2.15.0+cpu", "0.29.2", False),
        ("2.15.0", "0.29.2+cpu", False),
        ("2.15.0+cpu", "0.29.2+cpu", True),
        ("2.15.0", "0.29.2", True),
        ("2.15.0+cu132", "0.29.2", True),
    ],
)
def test_builds_for_different_devices_are_a_problem(site: Path, torch: str, torchvision: str, fits: bool) -> None:
    fake_distribution(site, "torch", torch)
    fake_distribution(site, "torchvision", torchvision, "torch>=2.14")
    verdict = versions.check_pairs(NOWHERE)
    assert verdict.level is (Level.OK if fits else Level.PROBLEM)
    assert fits or f"torch {torch} and torchvision {torchvision}" in verdict.what


def test_another_pair_that_does_not_fit_is_mended_by_itself(site: Path) -> None:
    fake_distribution(site, "hydra-core", "1.3.8", "omegaconf<2.4")
    fake_distribution(site, "omegaconf", "2.4.1")
    verdict = versions.check_pairs(NOWHERE)
    assert verdict.level is Level.PROBLEM
    assert verdict.fix == f"{versions.python_name()} -m pip install 'omegaconf<2.4'"


def test_a_distribution_that_is_there_twice_is_a_warning(site: Path) -> None:
    fake_distribution(site, "rich", "1.0")
    verdict = versions.check_duplicates(NOWHERE)
    assert verdict.level is Level.WARNING
    assert "rich is installed as 1.0 and " in verdict.what
    assert "pip uninstall --yes rich" in verdict.fix


def test_a_distribution_without_metadata_is_passed_over(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(site, monkeypatch)
    (fake_distribution(site, "some", "1") / "METADATA").write_text("")
    fake_distribution(site, "other", "1")
    assert versions.check_duplicates(NOWHERE).what.startswith("1 distribution")


def test_extras_are_told_and_never_wanted(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone(site, monkeypatch)
    fake_distribution(site, "ray", "2.60")
    verdict = versions.check_extras(NOWHERE)
    assert verdict.level is Level.OK
    assert "installed: ray 2.60; not installed: tensorboard (curves for TensorBoard)" in verdict.what


def test_the_interpreter_is_called_python_where_that_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert versions.python_name() == sys.executable
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    (tmp_path / "python").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert versions.python_name() == str(tmp_path / "python")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert versions.python_name() == "python"
