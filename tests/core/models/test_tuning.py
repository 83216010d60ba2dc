import logging
from pathlib import Path
from typing import Any

import pytest

from mml.core.models.tuning import FOUND
from mml.core.scripts import factories
from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.seeding import seed_everything
from tests.support.tasks import make_task
from tests.support.training import file_manager, train_config


@pytest.fixture(autouse=True)
def _task(tmp_path: Path) -> None:
    make_task(tmp_path / "data", "stripes", per_class=20)


def tuned(root: Path, *overrides: str) -> tuple[dict[str, Any], Any, Any, Any]:
    """Tune a fresh model, and return what was found, trainer, model and data."""
    cfg = train_config(root, "task=stripes", *overrides)
    fm = file_manager(root)
    struct = fm.load_struct("stripes")
    seed_everything(7)
    model = factories.create_model(cfg, [struct])
    data = factories.create_datamodule(cfg, [struct], 0, 7)
    trainer = factories.create_trainer(cfg, fm=fm, progress=RunProgress(enabled=False), seed=7, metrics_callback=True)
    return factories.lightning_tune(cfg, trainer, model, data), trainer, model, data


def state(model: Any) -> dict[str, Any]:
    return {name: value.tolist() for name, value in model.model.state_dict().items()}


def test_nothing_is_tuned_unless_asked(tmp_path: Path) -> None:
    found, trainer, model, data = tuned(tmp_path)
    assert found == {}
    assert (model.lr, data.batch_size) == (0.01, 8)


def test_a_learning_rate_is_found_and_set_and_nothing_else_changes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, _, untouched, _ = tuned(tmp_path)
    found, trainer, model, data = tuned(tmp_path, "tune=lr", "tune.lr_steps=30")
    assert 1e-6 < found["lr"] < 1.0
    assert model.lr == found["lr"]
    assert state(model) == state(untouched)
    assert "Finding best" not in "".join(capfd.readouterr())
    assert [path for path in tmp_path.rglob("*.ckpt")] == []


def test_the_learning_rate_found_is_the_same_every_time(tmp_path: Path) -> None:
    overrides = ("tune=lr", "tune.lr_steps=30")
    assert tuned(tmp_path, *overrides)[0] == tuned(tmp_path, *overrides)[0]


def test_a_training_after_tuning_is_whole(tmp_path: Path) -> None:
    _, trainer, model, data = tuned(tmp_path, "tune=lr", "tune.lr_steps=30")
    trainer.fit(model, datamodule=data)
    assert [row["epoch"] for row in trainer.history] == [0, 1]
    assert trainer.global_step == 2 * 6


def test_a_batch_size_is_found_up_to_the_largest(tmp_path: Path) -> None:
    found, trainer, model, data = tuned(tmp_path, "tune=batch_size", "tune.min_batch_size=2", "tune.max_batch_size=4")
    assert found == {"batch_size": 4}
    assert data.batch_size == 4
    trainer.fit(model, datamodule=data)
    assert trainer.num_training_batches == 12


def test_both_are_found(tmp_path: Path) -> None:
    sizes = ("tune.min_batch_size=4", "tune.max_batch_size=8", "tune.lr_steps=30")
    assert list(tuned(tmp_path, "tune=both", *sizes)[0]) == ["batch_size", "lr"]


def test_too_few_steps_to_find_a_rate_are_told(tmp_path: Path) -> None:
    with pytest.raises(MMLError, match=r"No learning rate was found.*tune\.lr_steps"):
        tuned(tmp_path, "tune=lr", "tune.lr_steps=5")


def kept(root: Path, *overrides: str) -> tuple[dict[str, Any], Any, Any]:
    """Tune with a trainer that keeps what it finds in `root/training`."""
    cfg = train_config(root, "task=stripes", "tune=both", "tune.lr_steps=30", "tune.max_batch_size=16", *overrides)
    fm = file_manager(root)
    struct = fm.load_struct("stripes")
    seed_everything(7)
    model, data = factories.create_model(cfg, [struct]), factories.create_datamodule(cfg, [struct], 0, 7)
    progress = RunProgress(enabled=False)
    trainer = factories.create_trainer(cfg, fm=fm, progress=progress, seed=7, folder=root / "training")
    return factories.lightning_tune(cfg, trainer, model, data), model, data


def test_what_was_found_before_an_interruption_is_not_searched_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    found, model, data = kept(tmp_path)
    before = state(model)
    assert "not repeated" not in caplog.text
    again, model, data = kept(tmp_path)
    assert again == found == {"batch_size": data.batch_size, "lr": model.lr}
    assert state(model) == before
    assert "not repeated" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"lr": 0.1}', b'{"lr": "x", "batch_size": 8}'])
def test_damaged_findings_are_searched_again(tmp_path: Path, damage: bytes) -> None:
    found, _, _ = kept(tmp_path)
    (tmp_path / "training" / FOUND).write_bytes(damage)
    assert kept(tmp_path)[0] == found


def test_tuning_takes_no_checkpoints(tmp_path: Path) -> None:
    kept(tmp_path, "trainer.checkpoint_minutes=0")
    assert [path.name for path in (tmp_path / "training").iterdir()] == [FOUND]
