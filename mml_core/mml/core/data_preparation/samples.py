"""Samples as sources find them and creators hand them on, before anything of a task is stored."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.images import Pixels

_LONGEST_NAME = 120
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")


class Sample(NamedTuple):
    """One image and what is known of it.

    Attributes:
        sample_id: unique within the task.
        image: a file, or the pixels of shape (height, width) or (height, width, 3).
        label: name of the class, empty for an unlabelled sample.
        split: `TRAIN`, `VAL`, `TEST` or `UNLABELED`.
        fold: number of the fold that the source puts a training sample into, None when it leaves that open.
    """

    sample_id: str
    image: Path | Pixels
    label: str
    split: DataSplit = DataSplit.TRAIN
    fold: int | None = None


@dataclass
class Collection:
    """All that a source holds.

    Attributes:
        samples: in a stable order.
        origin: what was read, for the protocol, e.g. `"class folders of /data/cats"`.
        classes: names of the classes by index; None lets `class_order` decide.
        notes: what was left out and why, for the user.
        hint: what to do if the source seems to hold one class only.
    """

    samples: list[Sample]
    origin: str
    classes: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    hint: str = ""

    @property
    def has_test(self) -> bool:
        """Tell whether the source itself keeps a test split apart."""
        return any(sample.split is DataSplit.TEST for sample in self.samples)


def class_order(labels: Iterable[str]) -> list[str]:
    """Return the class names by index: sorted, and by value when all are whole numbers."""
    names = set(labels)
    if all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def safe_name(text: str) -> str:
    """Return a text as a name that every file system takes: ASCII letters, digits, `.`, `_` and `-`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", re.sub(r"[/\\]+", "-", plain)).strip("._-") or "image"
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 9]}-{_digest(text)}"


def safe_names(texts: Sequence[str], keys: Sequence[str] | None = None) -> list[str]:
    """Return safe names, unique also where upper and lower case are one.

    A name that several texts would get is made unique by a digest, not by a number: adding files changes no other name.

    Args:
        texts: what the names shall look like.
        keys: what tells the texts apart, the texts themselves by default; unique.
    """
    names = [safe_name(text) for text in texts]
    counts = Counter(name.lower() for name in names)
    return [
        name if counts[name.lower()] == 1 else f"{name}-{_digest(key)}"
        for name, key in zip(names, keys or texts, strict=True)
    ]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
