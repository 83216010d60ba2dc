from pathlib import Path

import pytest
import yaml
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from mml.config_loading import CONFIG_TREE, make_hydra, search_path
from mml.hydra_speed import PackageSource, faster_source, lean_defaults


def plain_hydra(main: str = CONFIG_TREE) -> ConfigLoaderImpl:
    make_hydra()  # sets up what Hydra keeps for a process
    return ConfigLoaderImpl(search_path(main))


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> str:
    """Make a package of configs, and return its entry of the search path."""
    name = f"configs_of_{folder.name}"  # Python remembers packages by name
    for file, text in files.items():
        path = folder / name / f"{file.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder)
    return f"pkg://{name}"


@pytest.mark.parametrize(
    "overrides", [["mode=train", "arch=timm", "optimizer=sgd", "tasks=starter"], ["mode=info", "hpo=grid", "seed=1"]]
)
def test_a_config_is_the_same_as_from_hydra_alone(overrides: list[str]) -> None:
    fast = make_hydra().config_loader
    assert any(type(source) is PackageSource for source in fast.repository.sources)
    with lean_defaults():
        found = ConfigLoaderImpl.load_configuration(fast, "config", overrides, RunMode.RUN)
    expected = plain_hydra().load_configuration("config", overrides, RunMode.RUN)
    for cfg in (found, expected):
        cfg.reuse = None  # the loader of mml knows more kinds of files
        cfg.hydra.runtime.config_sources = []  # and the runners of plugins
    assert OmegaConf.to_yaml(found) == OmegaConf.to_yaml(expected)


def test_values_are_read_as_omegaconf_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: 1e3\nb: 2026-01-01\nc: [1, x, null]\nd: {e: .5}\nf: on\ng: '007'\nh: 1_000\n"
    source = PackageSource("main", package(tmp_path, monkeypatch, config=text, empty="# nothing\n"))
    assert source.load_config("config").config == OmegaConf.create(text)
    assert source.load_config("empty").config == {}


def test_a_key_that_stands_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = PackageSource("main", package(tmp_path, monkeypatch, config="a: 1\na: 2\n"))
    with pytest.raises(yaml.YAMLError, match="duplicate key a"):
        source.load_config("config")


def test_hydras_header_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = PackageSource("main", package(tmp_path, monkeypatch, config="# @package _global_\na: 1\n"))
    assert source.load_config("config").header["package"] == "_global_"


def test_sources_of_another_kind_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = plain_hydra(f"file://{tmp_path}").repository.sources
    kinds = [type(faster_source(source)).__name__ for source in sources]
    assert kinds == ["PackageSource", "FileConfigSource", "StructuredConfigSource"]
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert [faster_source(source) for source in sources] == sources


def test_defaults_that_refer_to_a_choice_still_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = package(
        tmp_path,
        monkeypatch,
        config="defaults:\n  - db: two\n  - extra: ${db}_more\n  - _self_\n",
        db__one="n: 1\n",
        db__two="n: 2\n",
        extra__one_more="m: 1\n",
        extra__two_more="m: 2\n",
    )
    loader = make_hydra(tree).config_loader
    assert loader.load_configuration("config", [], RunMode.RUN).extra == {"m": 2}
    assert loader.load_configuration("config", ["db=one"], RunMode.RUN).extra == {"m": 1}


def test_hydra_is_as_it_was_afterwards() -> None:
    original = defaults_list._create_interpolation_map
    with pytest.raises(HydraException):
        make_hydra().config_loader.load_configuration("config", ["no=1"], RunMode.RUN)
    assert defaults_list._create_interpolation_map is original
