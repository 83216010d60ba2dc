"""What a step needs is said by kinds and amounts, and everything else is refused by name."""

from typing import Any

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.resources import NOTHING, Resources, read_resources


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, NOTHING),
        ({}, NOTHING),
        ({"cpus": None}, NOTHING),
        (Resources(gpus=1), Resources(gpus=1)),
        ({"cpus": 2, "gpus": 0.5, "memory": 1000}, Resources(2, 0.5, 1000)),
        ({"gpus": 0}, Resources(gpus=0)),
        ({"gpus": 3}, Resources(gpus=3)),
        ({"memory": "8GB"}, Resources(memory=8 * 10**9)),
        ({"memory": "1.5 gib"}, Resources(memory=3 * 2**29)),
        ({"memory": "512 MiB"}, Resources(memory=2**29)),
        ({"memory": "64"}, Resources(memory=64)),
        ({"memory": "3k"}, Resources(memory=3000)),
    ],
)
def test_amounts_are_read(given: Any, read: Resources) -> None:
    assert read_resources(given, "step 1") == read


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cpus": 0}, "cpus=0 can't be done for step 1: give a number of cores above 0"),
        ({"cpus": "two"}, "cpus=two"),
        ({"cpus": True}, "cpus=True"),
        ({"cpus": float("nan")}, "cpus=nan"),
        ({"gpus": 1.5}, "gpus=1.5 .*a whole number of GPUs, or a part of one"),
        ({"gpus": -1}, "gpus=-1"),
        ({"memory": "8 apples"}, "memory=8 apples .*8GB"),
        ({"memory": 0}, "memory=0"),
        ([1], r"can't be \[1\]: give amounts by kind"),
    ],
)
def test_what_can_not_be_an_amount_is_refused(given: Any, message: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=message):
        read_resources(given, "step 1")


def test_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"resource of step 1 'gpu'.*Did you mean 'gpus'"):
        read_resources({"gpu": 1}, "step 1")


def test_what_is_left_open_comes_from_others() -> None:
    assert Resources(cpus=1).over(Resources(cpus=4, gpus=2, memory=5)) == Resources(1, 2, 5)
    assert Resources(gpus=0).over(Resources(gpus=2)) == Resources(gpus=0)


def test_resources_are_told_as_text() -> None:
    assert str(Resources(2, 0.5, 8 * 10**9)) == "2 CPUs, 0.5 GPUs, 8 GB"
    assert str(NOTHING) == ""
