"""Real trainings by `mode=train`, killed and continued, whose every file has to equal that of an undisturbed run."""

import os
import signal
from pathlib import Path

import pytest

from mml.core.scripts.training_folders import TRAINING_FOLDER
from tests.support.killed_training import KILLER, killed_and_continued, results, run_in_fork
from tests.support.tasks import make_task
from tests.support.training import train_config

BASE = ("task=stripes", "trainer.checkpoint_minutes=0", "mode.predict=[val]")


def undisturbed(root: Path, *overrides: str) -> dict[str, bytes]:
    make_task(root / "data", "stripes", per_class=15)
    log = root / "log.txt"
    assert run_in_fork(train_config(root, KILLER, "proj=whole", *overrides), log=log) == 0, log.read_text()
    found = results(root, "whole")
    assert any(name.endswith(".safetensors") for name in found)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "points"),
    [
        ((), (1, 3, 7, 10, 14)),
        (("sampling.num_workers=2", "augmentations=strong"), (3, 12)),
        (("trainer.checkpoint_minutes=null", "mode.keep=last"), (3, 12)),
        (("callbacks=ema", "lr_scheduler=plateau"), (4, 11)),
        (("callbacks=swa", "lr_scheduler=none"), (4, 11)),
        (("trainer.accumulate_grad_batches=3", "lr_scheduler=cosine"), (2, 11)),
        (("tune=lr", "tune.lr_steps=20", "sampling=balanced"), (2, 9)),
    ],
    ids=str,
)
def test_killed_inside_a_training_it_ends_with_the_same_bits(
    tmp_path: Path, overrides: tuple[str, ...], points: tuple[int, ...]
) -> None:
    whole = undisturbed(tmp_path, *BASE, *overrides)
    for at in points:
        assert killed_and_continued(tmp_path, at, *BASE, *overrides) == signal.SIGKILL
        found = results(tmp_path, f"at_{at}")
        assert [name for name in whole | found if whole.get(name) != found.get(name)] == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_inside_a_training_costs_nothing(tmp_path: Path, name: str, status: int) -> None:
    overrides = (*BASE, "trainer.checkpoint_minutes=null")
    whole = undisturbed(tmp_path, *overrides)
    stopped = killed_and_continued(tmp_path, 3, *overrides, signum=getattr(signal, name))
    assert os.waitstatus_to_exitcode(stopped) == status
    assert results(tmp_path, "at_3") == whole
    (log,) = (tmp_path / "results").glob("at_3/runs/*/exp.log")
    assert "Training goes on in epoch 1, after batch 3 of 5." in log.read_text()


def test_the_checkpoints_of_a_step_that_is_done_are_gone(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes", per_class=15)
    cfg = train_config(tmp_path, KILLER, "proj=p", *BASE, "mode.cv=true", "trainer.max_epochs=1")
    log = tmp_path / "log.txt"
    assert run_in_fork(cfg, 14, log=log) == signal.SIGKILL  # in the second fold
    (folder,) = (tmp_path / "results").glob(f"p/runs/*/temp/{TRAINING_FOLDER}")
    (step,) = folder.iterdir()
    assert [path.name for path in step.iterdir()] == ["stripes_fold_1"]
