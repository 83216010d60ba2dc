from pathlib import Path

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mml.config_errors import dotted_keys, explain, own_cause, unknown_key_error
from mml.config_loading import CONFIG_NAME, MMLConfigLoader, make_hydra
from mml.core.scripts.exceptions import MMLError, MMLMisconfigurationException, TaskNameError, UnknownNameError


@pytest.fixture
def loader() -> MMLConfigLoader:
    return make_hydra().config_loader


def complaint(loader: MMLConfigLoader, *overrides: str, mode: RunMode = RunMode.RUN) -> MMLError:
    """Return what is said about overrides that don't compose."""
    with pytest.raises((HydraException, OmegaConfBaseException, ValueError)) as caught:
        loader.load_configuration(CONFIG_NAME, list(overrides), mode)
    said = explain(caught.value, loader)
    assert isinstance(said, MMLMisconfigurationException)
    assert "http" not in str(said)
    return said


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sed=3", "Unknown config key 'sed'. Did you mean 'seed'?"),
        ("grid_columns=3", "Unknown config key 'grid_columns'. Did you mean 'mode.grid_columns'?"),
        ("mode.grid_colums=3", "Did you mean 'mode.grid_columns'"),
        ("reuse.modls=a", "Did you mean 'reuse.models'"),
        ("optimizr=adamw", "Did you mean 'optimizer'"),
        ("~nothing_like_it", "Unknown config key 'nothing_like_it'. Known: "),
        ("hydra.sweepr=1", "Did you mean 'hydra.sweeper' or 'hydra.sweep'"),
        ("seed.deep=1", "Unknown config key 'seed.deep'. Did you mean 'seed'"),
        ("hpo=gird", "Unknown option of 'hpo' 'gird'. Did you mean 'grid'? See `mml help hpo`."),
        ("hpo=1", "Unknown option of 'hpo' '1'. Known: grid."),
        ("help", "'help' is no setting: settings have the form key=value."),
        ("task=[a", "The setting 'task=[a' can't be read: "),
        ("task=a,b", "'task=a,b': a list is task=[a,b]; to try one value after the other, add --multirun."),
        ("seed=range(1,3)", "'seed=range(1,3)' tries several values: add --multirun."),
        ("+seed=3", "Could not append to config. An item is already at 'seed'."),
        ("data_dir=${nothing}", "The value of 'data_dir' can't be used: Interpolation key 'nothing' not found"),
    ],
)
def test_a_wrong_override_is_named_with_the_nearest_right_one(
    loader: MMLConfigLoader, override: str, said: str
) -> None:
    assert said in str(complaint(loader, override))


def test_keys_of_chosen_options_are_known(loader: MMLConfigLoader) -> None:
    assert "Did you mean 'mode.kinds'" in str(complaint(loader, "mode=clean", "mode.knds=[a]"))


def test_options_that_do_not_go_together_leave_the_keys_of_the_default_ones(loader: MMLConfigLoader) -> None:
    assert "'seed'" in str(complaint(loader, "mode=nope", "sed=3")) or "nope" in str(complaint(loader, "mode=nope"))
    assert "Did you mean 'seed'" in str(complaint(loader, "+hpo=grid", "sed=3"))


def test_a_sweep_over_a_wrong_option_or_key_is_named_too(loader: MMLConfigLoader) -> None:
    master = loader.load_configuration(CONFIG_NAME, ["hpo=gird,grid"], RunMode.MULTIRUN)
    with pytest.raises(HydraException) as caught:
        loader.load_sweep_config(master, ["hpo=gird"])
    assert "'gird'" in str(explain(caught.value, loader))
    assert "'seed'" in str(complaint(loader, "seed=1,2", "sed=3", mode=RunMode.MULTIRUN))


def test_options_of_added_folders_are_known(loader: MMLConfigLoader, tmp_path: Path) -> None:
    (tmp_path / "hpo").mkdir()
    (tmp_path / "hpo" / "mine.yaml").write_text("# @package hpo\nbudget: 1\n")
    search = f"hydra.searchpath=['file://{tmp_path}']"
    assert "Did you mean 'hpo.budget'" in str(complaint(loader, search, "hpo=mine", "hpo.bugdet=2"))
    assert "Did you mean 'mine'" in str(complaint(loader, search, "hpo=mime"))


def test_keys_of_another_root_config_are_known(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("budget: 1\n")
    loader = make_hydra(f"file://{tmp_path}").config_loader
    with pytest.raises(HydraException) as caught:
        loader.load_configuration("mine", ["bugdet=2"], RunMode.RUN)
    assert "Did you mean 'budget'" in str(explain(caught.value, loader))


def test_a_tree_that_does_not_compose_at_all_is_told_in_hydras_words(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults:\n  - gone: x\n")
    loader = make_hydra(f"file://{tmp_path}").config_loader
    with pytest.raises(HydraException) as caught:
        loader.load_configuration("mine", ["~gone=y"], RunMode.RUN)
    assert "gone" in str(explain(caught.value, loader))


def test_an_error_of_mml_inside_a_resolver_comes_through(
    loader: MMLConfigLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MML_DATA_PATH", "~no_such_user_1")
    assert str(complaint(loader)).startswith("'~no_such_user_1' can't be a path")


@pytest.mark.parametrize("target", ["no_such_package_1.Thing", "mml.cli.Thing"])
def test_a_class_that_can_not_be_found_is_named(loader: MMLConfigLoader, target: str) -> None:
    with pytest.raises(HydraException) as caught:
        instantiate({"_target_": target})
    assert str(explain(caught.value, loader)).startswith(f"'{target}', which a `_target_` of the config names")


class Picky:
    def __init__(self, error: Exception) -> None:
        raise error


def test_errors_of_a_class_are_its_own(loader: MMLConfigLoader) -> None:
    with pytest.raises(HydraException) as caught:
        instantiate({"_target_": f"{__name__}.Picky"}, TaskNameError("mine"))
    own = explain(caught.value, loader)
    assert isinstance(own, TaskNameError)
    with pytest.raises(HydraException) as caught:
        instantiate({"_target_": f"{__name__}.Picky"}, ZeroDivisionError("a bug"))
    assert explain(caught.value, loader) is None


def test_a_value_that_is_missing_is_asked_for(loader: MMLConfigLoader) -> None:
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.create({"mode": {"source": "???"}}).mode.source  # noqa: B018
    assert str(explain(caught.value, loader)).startswith(
        "'mode.source' has no value yet. Give one: mode.source=<value>."
    )


def test_a_key_that_code_needs_is_named(loader: MMLConfigLoader) -> None:
    cfg = OmegaConf.create({"mode": {"id": "x"}})
    OmegaConf.set_struct(cfg, True)
    with pytest.raises(OmegaConfBaseException) as caught:
        cfg.mode.scheduler  # noqa: B018
    assert str(explain(caught.value, loader)).startswith("The config has no key 'mode.scheduler'")


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x")])
def test_other_errors_are_none_of_its_business(loader: MMLConfigLoader, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        raise error
    assert explain(caught.value, loader) is None


def test_errors_that_are_causes_of_one_another_come_to_an_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__context__ = second, first
    assert own_cause(first) is None
    second.__context__ = wanted = TaskNameError("mine")
    assert own_cause(first) is wanted


def test_dotted_keys_are_those_of_nodes_and_leaves() -> None:
    assert list(dotted_keys({"a": {"b": 1, "c": {}}, "d": [1]})) == ["a", "a.b", "a.c", "d"]


def test_an_unknown_key_is_not_compared_with_hydras_own() -> None:
    error = unknown_key_error("swep", ["hydra.sweep", "seed"])
    assert isinstance(error, UnknownNameError)
    assert error.known == ["seed"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"x: !!python/object/apply:os.mkdir [owned]\n",
            "evil.yaml, line 1, can't be read as YAML: could not determine",
        ),
        (b"a: [1\n", "evil.yaml, line 2, can't be read as YAML: expected ',' or ']'"),
        (b"a: 1\na: 2\n", "found duplicate key a"),
        (b"\0", "A config file can't be read as YAML: unacceptable character"),
        (b"\xff\xfe\0", "A config file is no UTF-8 text: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_config_file_that_can_not_be_read_is_named_and_none_of_its_code_runs(
    tmp_path: Path, data: bytes, said: str
) -> None:
    (tmp_path / "own" / "arch").mkdir(parents=True)
    (tmp_path / "own" / "arch" / "evil.yaml").write_bytes(data)
    loader = make_hydra(more=f"file://{tmp_path / 'own'}").config_loader
    with pytest.raises((YAMLError, ValueError)) as caught:
        loader.load_configuration(CONFIG_NAME, ["arch=evil"], RunMode.RUN)
    explained = explain(caught.value, loader)
    assert isinstance(explained, MMLMisconfigurationException)
    assert said in str(explained)
    assert not Path("owned").exists()


def test_another_error_of_text_is_not_about_configs(loader: MMLConfigLoader) -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        b"\xff".decode()
    assert explain(caught.value, loader) is None
