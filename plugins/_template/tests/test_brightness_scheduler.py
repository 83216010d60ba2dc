import json
from pathlib import Path
from typing import Any

import pytest
from conftest import create_shapes
from mml_template.brightness_scheduler import BrightnessScheduler
from mml_template.measuring import BAR_WIDTH
from PIL import Image

from mml.config_loading import compose
from mml.core.data_loading.task_attributes import Modality, TaskType
from mml.core.data_loading.task_description import load_description, store_description
from mml.core.scripts.exceptions import MMLMisconfigurationException


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    create_shapes(tmp_path / "data")
    return tmp_path / "data"


def scheduler(data_dir: Path, *overrides: str) -> BrightnessScheduler:
    folders = [f"data_dir={data_dir}", f"out_dir={data_dir.parent / 'results'}", "logging.progress=false"]
    return BrightnessScheduler(compose(["mode=brightness", *folders, *overrides]))


def change_task(data_dir: Path, **fields: Any) -> None:
    path = data_dir / "tasks" / "shapes" / "task.json"
    description = load_description(path)
    for field, value in fields.items():
        setattr(description, field, value)
    store_description(description, path)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_every_class_gets_numbers_and_a_mean_image(data_dir: Path) -> None:
    run = scheduler(data_dir, "task=shapes", "mode.side=16")
    value = run.run()
    paths = run.get_struct("shapes").paths
    numbers = [json.loads(paths[f"brightness_{index}"].read_text()) for index in range(3)]
    assert [entry["label"] for entry in numbers] == ["disc", "square", "triangle"]
    assert value == pytest.approx(max(n["mean"] for n in numbers) - min(n["mean"] for n in numbers))
    assert [size_of(paths[f"mean_image_{index}"]) for index in range(3)] == [(16, 16)] * 3
    assert size_of(paths["brightness_chart"])[0] == run.cfg.mode.bins * BAR_WIDTH


def test_the_test_images_stay_unseen(data_dir: Path) -> None:
    run = scheduler(data_dir, "task=shapes")
    run.run()
    struct = run.get_struct("shapes")
    assert sum(measured.images for measured in run.measured("shapes")) == len(struct.description.train_samples)


def test_a_class_without_training_images_is_left_out(data_dir: Path) -> None:
    description = load_description(data_dir / "tasks" / "shapes" / "task.json")
    kept = {name: sample for name, sample in description.train_samples.items() if sample[Modality.CLASS] != 1}
    folds = [[name for name in fold if name in kept] for fold in description.train_folds]
    change_task(data_dir, train_samples=kept, train_folds=folds)
    run = scheduler(data_dir, "task=shapes")
    run.run()
    assert [measured.label for measured in run.measured("shapes")] == ["disc", "triangle"]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ((), "mml create task=shapes"),
        (("task=shapes", "mode.side=4"), "mode.side=4.*from 8 to 512"),
        (("task=shapes", "mode.bins=many"), "mode.bins=many.*from 2 to 256"),
    ],
)
def test_wrong_usage_is_refused_with_the_fix(data_dir: Path, overrides: tuple[str, ...], named: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=named):
        scheduler(data_dir, *overrides).run()
    assert not (data_dir.parent / "results").exists()


def test_a_task_without_classes_is_refused(data_dir: Path) -> None:
    change_task(data_dir, task_type=TaskType.REGRESSION)
    with pytest.raises(MMLMisconfigurationException, match="'shapes' is of type regression"):
        scheduler(data_dir, "task=shapes").run()


def test_comparing_without_measuring_names_the_missing_subroutine(data_dir: Path) -> None:
    with pytest.raises(MMLMisconfigurationException, match="add measure to mode.subroutines"):
        scheduler(data_dir, "task=shapes", "mode.subroutines=[compare]").run()
