"""A task of the plugin's own: drawn shapes, dark discs, grey squares and bright triangles."""

import random

import numpy as np
from PIL import Image, ImageDraw

from mml.core.data_loading.task_attributes import Keyword, License
from mml.core.data_preparation.registry import register_taskcreator
from mml.core.data_preparation.samples import Collection, Sample
from mml.core.data_preparation.task_creator import TaskCreator

SIDE = 32  # pixels
IMAGES_PER_CLASS = 40
GREYS = {"disc": 80, "square": 150, "triangle": 220}


@register_taskcreator(task_name="shapes")
def create_shapes() -> TaskCreator:
    """Return the creator of the task: three classes with 40 images each, the same ones every time."""
    creator = TaskCreator(
        None,
        "shapes",
        desc="Discs, squares and triangles of random size and place, drawn on black.",
        lic=License.CC_0_1_0,
        keywords=[Keyword.ARTIFICIAL],
    )
    draw = random.Random(0)
    samples = [
        Sample(f"{label}_{number:02}", np.asarray(draw_shape(label, draw)), label)
        for number in range(IMAGES_PER_CLASS)
        for label in GREYS
    ]
    creator.use_collection(Collection(samples, "shapes drawn by mml-template", classes=list(GREYS)))
    return creator


def draw_shape(label: str, draw: random.Random) -> Image.Image:
    """Return one image of a class, grey, `SIDE` x `SIDE` pixels."""
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    size = draw.randint(SIDE // 3, SIDE // 2)
    left, top = draw.randint(0, SIDE - size), draw.randint(0, SIDE - size)
    right, bottom = left + size - 1, top + size - 1
    if label == "disc":
        pen.ellipse((left, top, right, bottom), fill=GREYS[label])
    elif label == "square":
        pen.rectangle((left, top, right, bottom), fill=GREYS[label])
    else:
        pen.polygon([(left, bottom), (right, bottom), ((left + right) // 2, top)], fill=GREYS[label])
    return image
