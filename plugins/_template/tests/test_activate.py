import subprocess
import sys

import pytest
from mml_template import shapes
from mml_template.activate import KINDS, offer_tasks

from mml.core.data_loading.file_manager import MMLFileManager
from mml.core.scripts.plugins import HOOKS, config_search_paths


def test_everything_is_registered() -> None:
    assert ("template", "pkg://mml_template.configs") in config_search_paths()
    assert offer_tasks in HOOKS.after_scheduler_init
    templates = MMLFileManager.templates()
    assert {key: str(templates[key].path) for key in KINDS} == KINDS


def test_the_start_of_mml_does_not_get_heavier() -> None:
    heavy = ["torch", "lightning", "numpy", "PIL"]
    code = f"import mml_template.activate as a, sys; a.activate(); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("label", shapes.GREYS)
def test_shapes_are_as_bright_as_their_class_says(label: str) -> None:
    image = shapes.draw_shape(label, shapes.random.Random(1))
    assert image.getextrema() == (0, shapes.GREYS[label])


def test_the_task_is_the_same_every_time() -> None:
    first, second = (shapes.create_shapes().collection.samples for _ in range(2))
    assert len(first) == shapes.IMAGES_PER_CLASS * len(shapes.GREYS)
    assert all((a.image == b.image).all() and a.sample_id == b.sample_id for a, b in zip(first, second, strict=True))
