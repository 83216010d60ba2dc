"""import-linter checks the layers; here stands what its contract can't say: that no module is outside of them."""

import tomllib
from pathlib import Path

import grimp
import pytest

# Packages that only group others and import nothing.
GROUPING = {"mml", "mml.core", "mml.core.scripts", "mml.core.data_loading", "mml.report"}


@pytest.fixture(scope="module")
def layers(checkout: Path) -> list[list[str]]:
    """Return the modules of every layer, from high to low."""
    with (checkout / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract["type"] == "layers"]
    assert "ignore_imports" not in contract, "the layers know no exceptions"
    texts = [layer.replace(":", "|") for layer in contract["layers"]]
    return [[name.strip().strip("()") for name in text.split("|")] for text in texts]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("mml", "mml_configs", cache_dir=None)


def test_every_module_is_in_a_layer(layers: list[list[str]], graph: grimp.ImportGraph) -> None:
    listed = {name for layer in layers for name in layer}
    outside = [
        module
        for module in sorted(graph.modules - GROUPING)
        if not any(module == name or module.startswith(f"{name}.") for name in listed)
    ]
    assert outside == [], "name these in the layers contract of pyproject.toml"


def test_packages_that_only_group_import_nothing(graph: grimp.ImportGraph) -> None:
    assert {module: graph.find_modules_directly_imported_by(module) for module in GROUPING} == dict.fromkeys(
        GROUPING, set()
    )


def test_all_modes_are_in_one_layer_and_do_not_know_one_another(layers: list[list[str]], checkout: Path) -> None:
    files = (checkout / "mml_core" / "mml" / "core" / "scripts").glob("*_scheduler.py")
    modes = {f"mml.core.scripts.{file.stem}" for file in files} - {"mml.core.scripts.base_scheduler"}
    assert any(modes <= set(layer) for layer in layers)
