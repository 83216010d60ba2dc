"""Handwritten digits that come with scikit-learn: a real task on every machine, at once."""

import numpy as np

from mml.core.data_loading.task_attributes import Keyword, License
from mml.core.data_preparation.registry import register_taskcreator
from mml.core.data_preparation.samples import Collection, Sample
from mml.core.data_preparation.task_creator import TaskCreator

# The darkest value of a pixel.
_SCALE = 16


@register_taskcreator(task_name="digits")
def create_digits() -> TaskCreator:
    """Return the creator of the 1,797 digits, grey images of 8 x 8 pixels."""
    from sklearn.datasets import load_digits  # heavy, and needed for this task only

    data = load_digits()
    images = (data.images * 255 / _SCALE).round().astype(np.uint8)
    creator = TaskCreator(
        None,
        "digits",
        desc="Handwritten digits of 43 people, 8 x 8 pixels.",
        ref="E. Alpaydin and C. Kaynak (1998): Optical Recognition of Handwritten Digits. UCI Machine Learning "
        "Repository.",
        url="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        instr="Part of scikit-learn, sklearn.datasets.load_digits.",
        lic=License.CC_BY_4_0,
        release="1998",
        keywords=[Keyword.CHARS_DIGITS, Keyword.HANDWRITINGS],
    )
    samples = [
        Sample(f"digit-{number:04}", image, str(label))
        for number, (image, label) in enumerate(zip(images, data.target.tolist(), strict=True))
    ]
    creator.use_collection(Collection(samples, "scikit-learn's digits"))
    return creator
