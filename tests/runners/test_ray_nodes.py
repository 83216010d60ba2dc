"""What an attempt takes of a machine, and what is said where no machine has it."""

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.resources import NOTHING, Resources
from mml.runners.ray_engine import Node
from mml.runners.ray_nodes import Shape, fits, refuse_impossible, shape_of

HEAD = Node("1", "head", {"CPU": 4.0, "memory": 8e9})
FAR = Node("2", "far", {"CPU": 2.0, "GPU": 1.0, "memory": 64e9})


@pytest.mark.parametrize(
    ("resources", "gpus", "shape"),
    [
        (NOTHING, 0.0, {"CPU": 1.0}),
        (NOTHING, 1.0, {"CPU": 1.0, "GPU": 1.0}),
        (Resources(gpus=0), 1.0, {"CPU": 1.0}),
        (Resources(cpus=0.5, gpus=0.5, memory=10), 1.0, {"CPU": 0.5, "GPU": 0.5, "memory": 10.0}),
    ],
    ids=["nothing said", "Ray has GPUs", "none wanted", "all said"],
)
def test_attempt_takes_what_it_says(resources: Resources, gpus: float, shape: Shape) -> None:
    assert shape_of(resources, gpus) == shape


def test_all_that_an_attempt_takes_has_to_be_there() -> None:
    assert fits({"CPU": 1.0}, {"CPU": 1.0 - 1e-12})
    assert not fits({"CPU": 1.0, "GPU": 1.0}, {"CPU": 8.0})


@pytest.mark.parametrize("shape", [{"CPU": 4.0}, {"GPU": 1.0, "CPU": 1.0}, {"memory": 64e9}])
def test_what_one_machine_has_is_possible(shape: Shape) -> None:
    refuse_impossible(shape, "step 1, train()", [HEAD, FAR])


@pytest.mark.parametrize("shape", [{"CPU": 6.0}, {"GPU": 1.0, "CPU": 4.0}, {"memory": 65e9}])
def test_what_no_single_machine_has_is_refused_with_what_there_is(shape: Shape) -> None:
    with pytest.raises(MMLMisconfigurationException) as caught:
        refuse_impossible(shape, "step 1, train()", [HEAD, FAR])
    text = str(caught.value)
    assert text.startswith("Step 1, train() needs ")
    assert "(head: 4 CPUs, 8.0 GB of memory; far: 2 CPUs, 1 GPUs, 64.0 GB of memory)" in text
    assert "runner.resources.<command>" in text
    assert "runner.autoscale=true" in text


def test_many_machines_are_not_all_listed() -> None:
    with pytest.raises(MMLMisconfigurationException, match="; and 3 more machines\\)"):
        refuse_impossible({"CPU": 9.0}, "step 1", [HEAD] * 8)
