from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mml.core.scripts.runs import run_folders
from tests.cli.conftest import Mml
from tests.conftest import MmlCli


def test_a_sweep_is_one_run_per_job_and_one_folder_of_its_own(toy: Mml, tmp_path: Path) -> None:
    said = toy("toy", "--multirun", "seed=1,2", "mode.n=1,2", "proj=p")
    assert said.code == 0, said.err
    assert [line for line in said.err.splitlines() if line.startswith("Job ") and "done" not in line] == [
        "Job 0: mode=toy seed=1 mode.n=1 proj=p",
        "Job 1: mode=toy seed=1 mode.n=2 proj=p",
        "Job 2: mode=toy seed=2 mode.n=1 proj=p",
        "Job 3: mode=toy seed=2 mode.n=2 proj=p",
    ]
    assert "Job 3 is done: " in said.err
    runs = run_folders(tmp_path / "results" / "p")
    configs = [OmegaConf.load(run / "config.yaml") for run in runs]
    assert sorted((cfg.seed, cfg.mode.n) for cfg in configs) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    (sweep,) = (tmp_path / "results" / "p" / "sweeps").iterdir()
    assert [path.name for path in sweep.iterdir()] == ["multirun.yaml"]
    assert {path.name for path in tmp_path.iterdir()} == {"configs", "results"}


def test_a_job_of_a_sweep_is_recorded_with_its_own_overrides(toy: Mml, tmp_path: Path) -> None:
    assert toy("toy", "-m", "seed=1,2", "mode.n=0").code == 0
    stored = [OmegaConf.load(run / "overrides.yaml") for run in run_folders(tmp_path / "results" / "default")]
    assert stored == [["mode=toy", "seed=1", "mode.n=0"], ["mode=toy", "seed=2", "mode.n=0"]]


def test_a_search_space_names_the_values(toy: Mml, toy_configs: Path, tmp_path: Path) -> None:
    (toy_configs / "search_space").mkdir()
    (toy_configs / "search_space" / "seeds.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 5,6\n"
    )
    assert toy("toy", "-m", "search_space=seeds", "mode.n=0").code == 0
    configs = [OmegaConf.load(run / "config.yaml") for run in run_folders(tmp_path / "results" / "default")]
    assert [cfg.seed for cfg in configs] == [5, 6]


def test_a_mode_of_hydra_in_the_overrides_starts_a_sweep_too(toy: Mml, tmp_path: Path) -> None:
    assert toy("toy", "hydra.mode=MULTIRUN", "seed=1,2", "mode.n=0").code == 0
    assert len(run_folders(tmp_path / "results" / "default")) == 2


def test_a_config_may_ask_for_a_sweep(mml: Mml, toy_configs: Path, tmp_path: Path) -> None:
    root = "defaults:\n  - config\n  - override mode: toy\n  - _self_\n\nmode:\n  n: 0\nhydra:\n  mode: MULTIRUN\n"
    (toy_configs / "many.yaml").write_text(root + "  sweeper:\n    params:\n      seed: 5,6\n")
    said = mml("--config-dir", str(toy_configs), "--config-name", "many")
    assert said.code == 0, said.err
    assert len(run_folders(tmp_path / "results" / "default")) == 2


def test_failing_jobs_are_accounted_for_and_the_others_are_done(toy: Mml, tmp_path: Path) -> None:
    said = toy("toy", "-m", "mode.trap=end0:error,null,end1:error", "mode.n=2")
    first, _, last = run_folders(tmp_path / "results" / "default")
    assert said.code == 1
    assert "2 of 3 jobs failed." in said.err
    assert f"Job 0 (mode=toy mode.trap=end0\\:error mode.n=2): ValueError: boom\n  traceback: {first}" in said.err
    assert f"  continue:  mml continue {first.name}" in said.err
    assert said.err.splitlines()[-1] == f"mml continue {last.name}"
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["seed=1,2", "mode.subroutines=[wrok]"], "Each for this reason:\nUnknown subroutine 'wrok'"),
        (["mode.subroutines=[wrok],[rset]"], "Job 1 (mode=toy mode.subroutines=[rset]): Unknown subroutine 'rset'"),
        (["seed=1,2", "mode.scheduler=null"], "2 of 2 jobs failed.\nEach for this reason:\nThe mode names no sched"),
        (["hpo=gird"], "Unknown option of 'hpo' 'gird'"),
        (["sed=1,2"], "Unknown config key 'sed'. Did you mean 'seed'"),
        (["seed=interval(1,2)"], "does not support sweep type"),
    ],
)
def test_wrong_usage_is_wrong_usage_in_a_sweep_too(toy: Mml, words: list[str], reason: str) -> None:
    said = toy("toy", "--multirun", *words)
    assert reason in said.err
    assert said.code == 2


def test_two_sweeps_of_one_second_have_folders_of_their_own(mml_cli: MmlCli, toy_configs: Path, tmp_path: Path) -> None:
    for _ in range(2):
        mml_cli("info", "-m", "seed=1", "--config-dir", str(toy_configs))
    assert len(list((tmp_path / "results" / "default" / "sweeps").iterdir())) == 2
