"""What a step needs: the config's word for its command, then the plan's, then the config's for all steps."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.resources import NOTHING, Resources
from mml.core.scripts.run_resources import StepResources, step_resources
from mml.core.scripts.schedule import StepRecord


def config(**runner: Any) -> Any:
    return OmegaConf.create({"runner": runner})


def test_step_without_any_word_needs_nothing_in_particular() -> None:
    assert step_resources(OmegaConf.create({}), StepRecord("train", [])) == NOTHING
    assert step_resources(config(cpus=None, resources={}), StepRecord("train", [])) == NOTHING


def test_word_for_the_command_is_above_the_plan_and_that_above_the_word_for_all() -> None:
    cfg = config(cpus=1, gpus=1, memory="1GB", resources={"train": {"cpus": 8}})
    record = StepRecord("train", [], resources=Resources(cpus=2, gpus=0))
    assert step_resources(cfg, record) == Resources(8, 0, 10**9)
    assert step_resources(cfg, StepRecord("test", [])) == Resources(1, 1, 10**9)


def test_answer_is_kept_for_equal_steps() -> None:
    resources = StepResources(config(cpus=1))
    assert resources.of(StepRecord("a", [1])) is resources.of(StepRecord("a", [2]))


@pytest.mark.parametrize(
    ("runner", "message"),
    [
        ({"cpus": "x"}, r"cpus=x can't be done for every step \(runner.\*\)"),
        ({"resources": {"train": {"gpus": -1}}}, r"gpus=-1 can't be done for runner.resources.train"),
        ({"resources": [1]}, r"Resources of runner.resources can't be \[1\]"),
    ],
)
def test_amounts_that_can_not_be_any_are_refused(runner: dict[str, Any], message: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=message):
        StepResources(config(**runner))


def test_word_for_a_command_that_no_step_has_is_refused() -> None:
    resources = StepResources(config(resources={"trian": {"cpus": 1}}))
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        resources.refuse_unknown(["train", "test"])
    StepResources(config(resources={"test": {"cpus": 1}})).refuse_unknown(["train", "test"])
