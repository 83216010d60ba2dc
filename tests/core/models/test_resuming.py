import logging
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger

from mml.core.models import resuming
from mml.core.models.resuming import STATE, KeepGoing
from mml.core.models.training import Trainer
from mml.core.scripts import factories
from mml.core.scripts.exceptions import Interrupted, MMLError
from mml.core.scripts.progress import RunProgress
from mml.core.scripts.seeding import seed_everything
from mml.core.scripts.signals import SignalGuard
from tests.support.plain_training import SAMPLES, PlainModel, plain_trainer
from tests.support.tasks import make_task
from tests.support.training import file_manager, train_config

EVENTS = ("on_train_batch_end", "on_validation_batch_end", "on_validation_end", "on_train_epoch_end", "on_train_end")


class Crash(BaseException):
    """Stands for the end of a process."""


class Stop(Callback):
    """Crashes at the event of a number, counted from 1, or asks the guard to stop there."""

    def __init__(self, at: int | None, guard: SignalGuard | None = None) -> None:
        self.at, self.guard, self.events = at, guard, 0

    def _event(self, *_: Any, **__: Any) -> None:
        self.events += 1
        if self.events != self.at:
            return
        if self.guard is None:
            raise Crash
        self.guard.handle(signal.SIGTERM, None)


for _name in EVENTS:
    setattr(Stop, _name, Stop._event)


class Outcome(NamedTuple):
    """What has to be equal, however often a training was interrupted."""

    weights: dict[str, torch.Tensor]
    history: list[dict[str, Any]]
    seen: list[int]
    rate: float
    steps: int


def train(
    root: Path,
    at: int | None = None,
    *,
    model: PlainModel | None = None,
    minutes: float | None = 0.0,
    guard: SignalGuard | None = None,
    callbacks: list[Callback] | None = None,
    **settings: Any,
) -> Outcome:
    """Train, from where it stopped if it did; raise `Crash`, or what the guard raises, at an event."""
    keeper = KeepGoing(root / "training", minutes, guard)
    keeper.look()
    model = model or PlainModel()
    trainer = plain_trainer(root, [Stop(at, guard), *(callbacks or [])], keeper, **settings)
    trainer.fit(model)
    return outcome(trainer, model)


def outcome(trainer: Trainer, model: PlainModel) -> Outcome:
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    return Outcome(weights, trainer.history, model.seen, rate, trainer.global_step)


def assert_equal(one: Outcome, other: Outcome) -> None:
    assert one.seen == other.seen
    assert one.history == other.history
    assert (one.rate, one.steps) == (other.rate, other.steps)
    assert all(torch.equal(one.weights[name], value) for name, value in other.weights.items())


def crashed(root: Path, at: int, **settings: Any) -> bool:
    try:
        train(root, at, **settings)
    except Crash:
        return True
    return False


# 40 samples in batches of 7 are 6 batches, 3 epochs: events 1..18 would be batches, with validation between.
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"minutes": None},
        {"accumulate_grad_batches": 4},
        {"val_check_interval": 0.5},
        {"check_val_every_n_epoch": 2, "max_epochs": 4},
        {"limit_train_batches": 4},
        {"max_steps": 16, "max_epochs": -1},
        {"gradient_clip_val": 0.1, "precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_crashed_at_any_event_a_plugins_training_ends_as_if_nothing_had_happened(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    whole = train(tmp_path / "whole", **settings)
    assert len(whole.seen) >= SAMPLES
    for at in (1, 4, 9, 13, 15, 22):
        assert crashed(tmp_path / str(at), at, **settings)
        assert_equal(train(tmp_path / str(at), **settings), whole)


def test_crashed_again_and_again_it_ends_the_same(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    crashes = [crashed(tmp_path / "often", 3) for _ in range(8)]
    assert all(crashes)
    assert_equal(train(tmp_path / "often"), whole)


def test_loaders_that_can_not_begin_in_the_midst_are_brought_there(tmp_path: Path) -> None:
    for at in (4, 26):
        whole = train(tmp_path / f"whole{at}", model=PlainModel(shuffle=False))
        assert crashed(tmp_path / str(at), at, model=PlainModel(shuffle=False))
        assert_equal(train(tmp_path / str(at), model=PlainModel(shuffle=False)), whole)


@pytest.mark.parametrize("at", [2, 9, 20])
def test_a_signal_costs_no_batch_that_was_trained(tmp_path: Path, at: int) -> None:
    whole = train(tmp_path / "whole")
    first, second = PlainModel(), PlainModel()
    with pytest.raises(Interrupted, match="SIGTERM"):
        train(tmp_path / "stopped", at, model=first, minutes=None, guard=SignalGuard())
    assert_equal(train(tmp_path / "stopped", model=second, minutes=None), whole)
    assert second.seen[: len(first.seen)] == first.seen
    assert len(first.seen) < len(second.seen)


@pytest.mark.parametrize("at", [7, 11, 12, 13])
@pytest.mark.parametrize("callbacks", ["none", "stopping"])
def test_a_signal_in_a_short_validation_costs_nothing_of_it(tmp_path: Path, at: int, callbacks: str) -> None:
    def made() -> list[Callback]:
        return [EarlyStopping("val/loss", patience=1, min_delta=10.0)] if callbacks == "stopping" else []

    whole = train(tmp_path / "whole", callbacks=made())
    guard = SignalGuard()
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", at, guard=guard, minutes=None, callbacks=made())
    found = KeepGoing(tmp_path / "stopped" / "training", None, None).folder.newest()
    assert found is not None
    assert found[1][STATE]["behind_validation"]
    assert_equal(train(tmp_path / "stopped", minutes=None, callbacks=made()), whole)


def test_a_signal_in_the_validation_that_ends_a_training_ends_it_after_all(tmp_path: Path) -> None:
    def stopping() -> list[Callback]:
        return [EarlyStopping("val/loss", patience=1, min_delta=10.0)]

    whole = train(tmp_path / "whole", callbacks=stopping(), max_epochs=9)
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", 22, guard=SignalGuard(), callbacks=stopping(), max_epochs=9)
    assert_equal(train(tmp_path / "stopped", callbacks=stopping(), max_epochs=9), whole)


def test_a_signal_in_a_long_validation_does_not_wait_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "GRACE", -1.0)
    stop = Stop(7, guard := SignalGuard())
    keeper = KeepGoing(tmp_path, None, guard)
    with pytest.raises(Interrupted):
        plain_trainer(tmp_path, [stop], keeper).fit(PlainModel())
    assert stop.events == 7
    assert len(keeper.folder.names()) == 1


def test_a_signal_before_the_training_is_not_held_back(tmp_path: Path) -> None:
    guard = SignalGuard()

    class Early(Callback):
        def setup(self, *_: Any, **__: Any) -> None:
            guard.handle(signal.SIGINT, None)

    with pytest.raises(Interrupted, match="SIGINT"):
        plain_trainer(tmp_path, [Early()], KeepGoing(tmp_path, 0, guard)).fit(PlainModel())


def test_an_error_lets_signals_through_again(tmp_path: Path) -> None:
    guard = SignalGuard()
    with pytest.raises(Crash):
        plain_trainer(tmp_path, [Stop(3)], KeepGoing(tmp_path, 0, guard)).fit(PlainModel())
    with pytest.raises(Interrupted):
        guard.handle(signal.SIGTERM, None)


def test_without_minutes_there_is_one_checkpoint_per_epoch(tmp_path: Path) -> None:
    train(tmp_path, minutes=None)
    names = KeepGoing(tmp_path / "training", None, None).folder.names()
    assert [name[:6] for name in names] == ["000002", "000003"]


def test_long_pauses_are_as_good_as_none(tmp_path: Path) -> None:
    train(tmp_path, minutes=1000.0)
    assert KeepGoing(tmp_path / "training", None, None).folder.names()[-1].startswith("000003")


def test_checkpoints_hold_nothing_but_plain_values(tmp_path: Path) -> None:
    assert crashed(tmp_path, 9)
    found = KeepGoing(tmp_path / "training", 0, None).folder.newest()
    assert found is not None
    state = torch.load(found[0], weights_only=True)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops", STATE):
        assert state[key], key


def test_a_damaged_checkpoint_costs_what_came_after_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(tmp_path / "whole")
    assert crashed(tmp_path / "hurt", 9)
    folder = KeepGoing(tmp_path / "hurt" / "training", 0, None).folder
    (folder.path / folder.names()[-1]).write_bytes(b"")
    assert_equal(train(tmp_path / "hurt"), whole)
    assert "damaged" in caplog.text


def test_without_a_whole_checkpoint_training_starts_anew(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    assert crashed(tmp_path / "hurt", 9)
    for path in (tmp_path / "hurt" / "training").iterdir():
        path.write_bytes(b"x")
    assert_equal(train(tmp_path / "hurt"), whole)


def test_a_moved_folder_takes_its_best_weights_with_it(tmp_path: Path) -> None:
    def best(root: Path) -> ModelCheckpoint:
        return ModelCheckpoint(root / "training", "best_{epoch}", "val/loss", enable_version_counter=False)

    assert crashed(tmp_path / "before", 22, callbacks=[best(tmp_path / "before")])
    (tmp_path / "before").rename(tmp_path / "after")
    again = best(tmp_path / "after")
    train(tmp_path / "after", callbacks=[again])
    assert Path(again.best_model_path).is_file()
    whole = best(tmp_path / "whole")
    train(tmp_path / "whole", callbacks=[whole])
    assert Path(again.best_model_path).name == Path(whole.best_model_path).name
    assert again.best_model_score == whole.best_model_score


def test_early_stopping_keeps_its_patience(tmp_path: Path) -> None:
    def stopping() -> list[Callback]:
        return [EarlyStopping("val/loss", patience=1, min_delta=10.0)]

    whole = train(tmp_path / "whole", callbacks=stopping(), max_epochs=9)
    assert len(whole.history) == 2
    assert crashed(tmp_path / "at", 15, callbacks=stopping(), max_epochs=9)
    assert_equal(train(tmp_path / "at", callbacks=stopping(), max_epochs=9), whole)


def test_the_time_before_an_interruption_counts(tmp_path: Path) -> None:
    assert crashed(tmp_path, 9)
    keeper = KeepGoing(tmp_path / "training", 0, None)
    keeper.look()
    plain_trainer(tmp_path, [], keeper).fit(PlainModel())
    assert keeper.seconds > 0


def test_a_model_that_does_not_fit_its_checkpoint_is_explained(tmp_path: Path) -> None:
    assert crashed(tmp_path, 9)
    model = PlainModel()
    model.layer = torch.nn.Linear(5, 4)
    with pytest.raises(MMLError, match=r"can't go on from its checkpoint .*size mismatch.*remove the folder"):
        train(tmp_path, model=model)


def test_an_error_of_the_model_itself_stays_what_it_is(tmp_path: Path) -> None:
    assert crashed(tmp_path, 9)

    class Broken(PlainModel):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            raise ValueError("my own")

    with pytest.raises(ValueError, match="my own"):
        train(tmp_path, model=Broken())


def test_a_model_that_stores_objects_is_named_and_trained_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Storing(PlainModel):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            super().on_save_checkpoint(checkpoint)
            checkpoint["folder"] = Path("x")

    whole = train(tmp_path / "whole", model=Storing())
    assert caplog.text.count("can't go on from its checkpoints") == 1
    assert crashed(tmp_path / "at", 9, model=Storing())
    assert_equal(train(tmp_path / "at", model=Storing()), whole)


def test_a_disk_that_is_full_does_not_stop_a_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "training").write_text("no folder")
    train(tmp_path)
    assert "training goes on" in caplog.text


def test_lightnings_own_averaging_is_trained_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        train(tmp_path, callbacks=[StochasticWeightAveraging(0.01)], log_every_n_steps=1)
    assert "callbacks=swa averages weights, too" in caplog.text
    assert not (tmp_path / "training").exists()


def test_curves_are_flushed_with_a_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    keeper = KeepGoing(tmp_path / "training", 0, None)
    assert keeper.logged_steps is None
    trainer = plain_trainer(tmp_path, [Stop(9)], keeper)
    trainer.logger = TensorBoardLogger(tmp_path)
    with pytest.raises(Crash):
        trainer.fit(PlainModel())
    keeper.look()
    assert keeper.logged_steps == 6


def test_a_start_that_is_named_counts_more(tmp_path: Path) -> None:
    assert crashed(tmp_path, 9)
    keeper = KeepGoing(tmp_path / "training", 0, None)
    keeper.look()
    other = plain_trainer(tmp_path / "other", [], None)
    other.fit(PlainModel())
    other.save_checkpoint(tmp_path / "own.ckpt")
    model = PlainModel()
    plain_trainer(tmp_path, [], keeper, max_epochs=4).fit(model, ckpt_path=tmp_path / "own.ckpt", weights_only=True)
    assert len(model.seen) == 4 * SAMPLES


@pytest.mark.parametrize("workers", [0, 2])
def test_several_tasks_go_on_together_the_short_one_in_its_second_pass(tmp_path: Path, workers: int) -> None:
    make_task(tmp_path / "data", "long", per_class=20)
    make_task(tmp_path / "data", "short", per_class=5, classes=2)
    cfg = train_config(tmp_path, "task=[long,short]", f"sampling.num_workers={workers}", "mode.keep=last")
    cfg.trainer.checkpoint_minutes = 0

    def session(folder: Path, at: int | None) -> dict[str, torch.Tensor]:
        fm = file_manager(tmp_path)
        structs = [fm.load_struct(name) for name in ("long", "short")]
        seed_everything(7)
        model, data = factories.create_model(cfg, structs), factories.create_datamodule(cfg, structs, 0, 7)
        progress = RunProgress(enabled=False)
        trainer = factories.create_trainer(cfg, fm=fm, progress=progress, seed=7, folder=folder)
        trainer.callbacks.append(Stop(at))  # type: ignore[attr-defined] # set by a connector
        trainer.fit(model, datamodule=data)
        return {name: value.clone() for name, value in model.state_dict().items()}

    whole = session(tmp_path / "whole", None)
    for at in (4, 10):
        with pytest.raises(Crash):
            session(tmp_path / str(at), at)
        found = session(tmp_path / str(at), None)
        assert all(torch.equal(found[name], value) for name, value in whole.items())


def test_two_trainings_of_one_trainer_do_not_mix_their_checkpoints(tmp_path: Path) -> None:
    def both(root: Path, at: int | None) -> tuple[Outcome, list[int]]:
        keeper = KeepGoing(root / "training", 0, None)
        keeper.look()
        model, stop = PlainModel(), Stop(at)
        trainer = plain_trainer(root, [stop], keeper, max_epochs=1)
        trainer.fit(model)
        first = list(model.seen)
        trainer.fit_loop.max_epochs = 2
        trainer.fit(model)
        return outcome(trainer, model), first

    whole, first = both(tmp_path / "whole", None)
    assert len(whole.seen) == 2 * len(first) == 2 * SAMPLES
    for at in (4, 18):
        with pytest.raises(Crash):
            both(tmp_path / str(at), at)
        again, again_first = both(tmp_path / str(at), None)
        assert_equal(again, whole)
        assert again_first == first
