from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mml.core.data_loading.task_attributes import Keyword
from mml.core.data_preparation.creators.digits import create_digits
from mml.core.data_preparation.options import CreateOptions
from mml.core.data_preparation.task_creator import TaskCreator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:sklearn")


@pytest.fixture(scope="module")
def creator() -> TaskCreator:
    return create_digits()


def test_all_1797_digits_are_there_in_ten_classes(creator: TaskCreator) -> None:
    counts = Counter(sample.label for sample in creator.collection.samples)
    assert counts.total() == 1797
    assert sorted(counts) == [str(digit) for digit in range(10)]


def test_grey_values_use_the_whole_range(creator: TaskCreator) -> None:
    pixels = np.stack([sample.image for sample in creator.collection.samples if not isinstance(sample.image, Path)])
    assert pixels.shape == (1797, 8, 8)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_the_task_can_be_made(creator: TaskCreator, tmp_path: Path) -> None:
    task = creator.build(tmp_path, CreateOptions(), lambda _: None)
    assert (len(task.train_samples), len(task.test_samples)) == (1438, 359)
    assert Keyword.CHARS_DIGITS in task.keywords
    assert task.idx_to_class[7] == "7"
