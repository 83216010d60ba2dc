from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mml.config_loading import add_declared_keys, compose, folder_source, make_hydra, quote_signs, search_path, settle
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts import plugins
from mml.core.scripts.exceptions import MMLMisconfigurationException


def test_folders_are_absolute_and_the_task_list_is_a_plain_list(tmp_path: Path) -> None:
    cfg = compose(["task=digits", "out_dir=some/where", "data_dir=~/d"])
    assert cfg.out_dir == str(tmp_path / "some/where")
    assert cfg.data_dir == str(Path.home() / "d")
    assert OmegaConf.to_container(cfg, resolve=False)["task_list"] == ["digits"]


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("task=null", []),
        ("task=a", ["a"]),
        ("task=[a,b]", ["a", "b"]),
        ("task=7", ["7"]),
        ("task_list=[a,b]", ["a", "b"]),
        ("tasks=starter", ["digits", "fashion_mnist"]),
    ],
)
def test_tasks_are_given_by_name_list_or_group(override: str, names: list[str]) -> None:
    assert compose([override]).task_list == names


def test_tasks_given_twice_are_refused_unless_both_say_the_same() -> None:
    with pytest.raises(
        MMLMisconfigurationException, match="Tasks are given twice: task=a, and digits, fashion_mnist by"
    ):
        compose(["task=a", "tasks=starter"])
    assert compose(["task=[digits,fashion_mnist]", "tasks=starter"]).task_list == ["digits", "fashion_mnist"]


def test_a_task_that_is_neither_name_nor_list_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match="Give one name or a list of names"):
        compose(["task={a:1}"])


def test_an_env_file_decides_on_the_folders_and_an_override_on_top(tmp_path: Path) -> None:
    (tmp_path / "mml.env").write_text("MML_DATA_PATH=/env/data\nMML_RESULTS_PATH=/env/results\n")
    assert compose([]).data_dir == "/env/data"
    assert compose([]).out_dir == "/env/results"
    assert compose(["data_dir=/mine"]).data_dir == "/mine"


def test_the_config_of_a_run_has_no_part_of_hydra() -> None:
    assert "hydra" not in compose([])


def test_kinds_of_files_that_a_plugin_declares_can_be_reused_and_cleaned_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MMLFileManager, "_templates", MMLFileManager.templates())
    MMLFileManager.add_assignment_path(None, "fim", "PROJ_PATH/FIMS/TASK_NAME/fim.npy", reusable=True)
    MMLFileManager.add_assignment_path(None, "scrap", "TEMP_PATH/scrap.txt", False)
    cfg = compose(["reuse.fim=[a,b#3]", "reuse.clean_up.fim=true"])
    assert cfg.reuse.fim == ["a", "b#3"]
    assert cfg.reuse.clean_up.fim is True
    assert compose([]).reuse.fim is None
    assert "scrap" not in compose([]).reuse.clean_up


@pytest.mark.parametrize(
    ("override", "read_as"),
    [
        ("out_dir=~/results", "out_dir='~/results'"),
        ("out_dir=~/my results", "out_dir='~/my results'"),
        ("reuse.models=a#3", "reuse.models='a#3'"),
        ("reuse.models=[a#3, b]", "reuse.models=['a#3', b]"),
        ("+reuse={models:a#3,parameters:[b#1]}", "+reuse={models:'a#3',parameters:['b#1']}"),
        ("a=choice(~/x,~/y)", "a=choice('~/x','~/y')"),
        ("a='~/x'", "a='~/x'"),
        ("a=${b}#3", "a=${b}#3"),
        ("~a", "~a"),
        ("~a=b", "~a=b"),
    ],
)
def test_signs_that_hydra_does_not_know_are_quoted_for_it(override: str, read_as: str) -> None:
    assert quote_signs(override) == read_as


def test_a_kind_that_a_mode_declares_late_is_added_with_a_plus() -> None:
    assert compose(["+reuse.late=a"]).reuse.late == "a"


def test_configs_without_reuse_or_folders_stay_as_they_are() -> None:
    cfg = OmegaConf.create({"other": 1})
    add_declared_keys(cfg)
    settle(cfg)
    assert cfg == {"other": 1}
    bare = OmegaConf.create({"reuse": {}})
    add_declared_keys(bare)
    assert "clean_up" not in bare.reuse


@pytest.mark.parametrize(
    ("override", "resources"),
    [
        ("runner.resources={train_fold:{gpus:1}}", {"train_fold": {"gpus": 1}}),
        ("runner.resources.train_fold.cpus=2", {"train_fold": {"cpus": 2}}),
        ("runner.cpus=2", {}),
    ],
)
def test_tables_of_a_runner_take_any_key(override: str, resources: dict[str, Any]) -> None:
    cfg = compose(["mode=info", "runner=local", override])
    assert OmegaConf.to_container(cfg.runner.resources) == resources
    with pytest.raises(ConfigCompositionException):
        compose(["mode=info", "runner=local", "runner.wokers=2"])


def test_folders_of_plugins_come_after_the_tree_and_before_hydras_schemas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_FOLDERS", [])
    plugins.add_config_search_path(f"file://{tmp_path}")
    providers = [element.provider for element in search_path("pkg://mml_configs").get_path()]
    assert providers == ["hydra", "main", "added by hand", "schema"]


def test_a_hydra_plugin_that_fails_is_named_and_skipped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(SearchPathPlugin):
        def manipulate_search_path(self, search_path: object) -> None:
            raise OSError("no configs here")

    known = Plugins.instance().plugin_type_to_subclass_list
    monkeypatch.setitem(known, SearchPathPlugin, [*known[SearchPathPlugin], Broken])
    assert search_path("pkg://mml_configs").get_path()[-1].provider == "schema"
    assert __name__ in caplog.text
    assert "no configs here" in caplog.text


def test_a_folder_on_the_command_line_is_absolute_and_has_to_exist(tmp_path: Path) -> None:
    (tmp_path / "my configs").mkdir()
    assert folder_source("my configs") == f"file://{tmp_path}/my configs"
    with pytest.raises(MMLMisconfigurationException, match=f"no config folder {tmp_path}/gone"):
        folder_source("gone")


def test_hydra_is_made_anew_as_often_as_wanted() -> None:
    make_hydra()
    hydra = make_hydra()
    assert GlobalHydra.instance().hydra is hydra


def test_groups_and_options_are_listed_also_those_of_added_folders(tmp_path: Path) -> None:
    (tmp_path / "hpo").mkdir()
    (tmp_path / "hpo" / "mine.yaml").touch()
    loader = make_hydra().config_loader
    assert loader.is_group("hpo")
    assert loader.is_group("hydra/job_logging")
    assert not loader.is_group("hydra/none_such")
    assert not loader.is_group("proj")
    assert loader.options("hpo") == ["grid"]
    loader.composing = (f"hydra.searchpath=['file://{tmp_path}']",)
    assert loader.options("hpo") == ["grid", "mine"]


def test_every_composition_is_settled_also_that_of_a_sweeps_job() -> None:
    loader = make_hydra().config_loader
    master = loader.load_configuration("config", ["task=a,b"], RunMode.MULTIRUN)
    job: DictConfig = loader.load_sweep_config(master, ["task=b"])
    assert OmegaConf.to_container(job, resolve=False)["task_list"] == ["b"]
    assert job.hydra.sweep.dir == master.hydra.sweep.dir
