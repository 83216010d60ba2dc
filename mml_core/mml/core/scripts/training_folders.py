"""Where the trainings of a step keep their checkpoints: a folder for each, found again by a continued run."""

import os
from pathlib import Path

from mml.core.data_loading import cleanup
from mml.core.data_loading.file_manager import TEMP_FOLDER

TRAINING_FOLDER = "TRAINING"


def remove_trainings(run: Path, key: str) -> None:
    """Remove what trainings of a step left, if it had any; most steps have none, and each pays for the look.

    Args:
        run: the run folder.
        key: of the step.
    """
    if os.path.isdir(folder := f"{run}/{TEMP_FOLDER}/{TRAINING_FOLDER}/{key}"):  # noqa: PTH112
        cleanup.remove(Path(folder))


class TrainingFolders:
    """The folders of one step.

    Args:
        temp_path: of the run.
        key: of the step.
    """

    def __init__(self, temp_path: Path, key: str) -> None:
        self.path = temp_path / TRAINING_FOLDER / key
        self._taken: set[str] = set()

    def new(self, name: str | None) -> Path:
        """Return the folder of the next training; a step that is repeated gets the same ones in the same order.

        Args:
            name: of the training, one file name; several of the same name are numbered.
        """
        name = name or "training"
        numbered, number = name, 1
        while numbered in self._taken:
            number += 1
            numbered = f"{name}_{number}"
        self._taken.add(numbered)
        return self.path / numbered

    def remove(self) -> None:
        """Remove all of them."""
        cleanup.remove(self.path)
