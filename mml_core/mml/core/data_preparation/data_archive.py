"""DataArchive: one file that a data set consists of, and what is in it."""

from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class DataKind(StrEnum):
    """What a file holds; also the name of the folder that it is unpacked into."""

    TRAINING_DATA = "training_data"
    TRAINING_LABELS = "training_labels"
    TESTING_DATA = "testing_data"
    TESTING_LABELS = "testing_labels"
    UNLABELED_DATA = "unlabeled_data"
    MIXED = "mixed"


class DataArchive(NamedTuple):
    """A fetched file.

    Attributes:
        path: where it lies.
        kind: what it holds.
    """

    path: Path
    kind: DataKind
