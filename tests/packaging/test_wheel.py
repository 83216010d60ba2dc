"""What goes into the distributions; `nox -s wheel` installs and uses them."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist and wheel of the checkout as they are built for a release."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=checkout, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel_names(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def sources(checkout: Path, *suffixes: str) -> set[str]:
    """Return the names that the files of both source roots must have in the wheel."""
    roots = [checkout / "mml_core", checkout / "configs"]
    files = [(root, file) for root in roots for file in root.rglob("*") if file.suffix in suffixes]
    return {file.relative_to(root).as_posix() for root, file in files}


def test_the_wheel_holds_every_module_and_every_config(wheel_names: set[str], checkout: Path) -> None:
    assert sources(checkout, ".py", ".yaml", ".typed") - wheel_names == set()
    assert "mml/py.typed" in wheel_names


def test_the_wheel_holds_nothing_else(wheel_names: set[str]) -> None:
    top = {name.split("/")[0] for name in wheel_names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"mml", "mml_configs"}
    assert [name for name in wheel_names if "/tests/" in name or name.endswith(".pyc")] == []


def test_the_wheel_brings_the_command_and_the_licence(wheel_names: set[str], built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    (entry_points,) = [name for name in wheel_names if name.endswith("entry_points.txt")]
    assert "mml = mml.cli:main" in zipfile.ZipFile(wheel).read(entry_points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in wheel_names)


def test_the_sdist_can_build_the_wheel_again(built: Path, tmp_path: Path, wheel_names: set[str]) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"], cwd=source, check=True)
    (wheel,) = (source / "out").glob("*.whl")
    assert set(zipfile.ZipFile(wheel).namelist()) == wheel_names
