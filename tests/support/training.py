"""What tests of training share: a config for seconds of training, and a scheduler that runs it."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mml.config_loading import compose
from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.train_scheduler import TrainScheduler

# Small and quick: no worker processes, few epochs, one thread's worth of work.
QUICK = (
    "sampling.batch_size=8",
    "sampling.num_workers=0",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "arch.width=4",
    "logging.progress=false",
    "logging.tensorboard=false",
)


def train_config(root: Path, *overrides: str) -> DictConfig:
    """Return the config of a quick training with data in `root/data` and results in `root/results`."""
    quick = [item for item in QUICK if not (item.startswith("arch.") and "arch=timm" in overrides)]
    return compose(["mode=train", f"data_dir={root / 'data'}", f"out_dir={root / 'results'}", *quick, *overrides])


def train(root: Path, *overrides: str) -> TrainScheduler:
    """Run a training and return its scheduler."""
    MMLFileManager.clear_instance()
    scheduler = TrainScheduler(train_config(root, *overrides))
    scheduler.run()
    return scheduler


def file_manager(root: Path) -> MMLFileManager:
    """Return the file manager of project `default` below `root`."""
    MMLFileManager.clear_instance()
    manager: Any = MMLFileManager(data_path=root / "data", proj_path=root / "results" / "default")
    assert isinstance(manager, MMLFileManager)
    return manager
