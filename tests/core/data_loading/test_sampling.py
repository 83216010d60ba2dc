import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mml.core.data_loading.sampling import SamplingOptions, available_workers, read_sampling
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from tests.support.tasks import data_config


def test_the_shipped_defaults_are_the_defaults_of_the_code() -> None:
    assert read_sampling(data_config()) == SamplingOptions()


def test_without_the_group_the_defaults_hold() -> None:
    assert read_sampling(OmegaConf.create({})) == SamplingOptions()


def test_the_option_balanced_balances() -> None:
    assert read_sampling(data_config(sampling="balanced")) == SamplingOptions(balanced=True)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("batch_size", 0, "a whole number from 1 on"),
        ("batch_size", None, "a whole number from 1 on"),
        ("batch_size", 2.5, "a whole number from 1 on"),
        ("eval_batch_size", -1, "from 1 on, or null"),
        ("num_workers", -1, "from 0 on, or null"),
        ("num_workers", True, "from 0 on, or null"),
        ("sample_num", "many", "from 1 on, or null"),
    ],
)
def test_a_number_that_can_not_be_used_is_refused_with_the_choices(key: str, value: Any, told: str) -> None:
    cfg = data_config()
    cfg.sampling[key] = value
    with pytest.raises(MMLMisconfigurationException, match=told) as caught:
        read_sampling(cfg)
    assert f"sampling.{key}={value}" in str(caught.value)


def test_an_unknown_way_to_cache_is_refused_with_the_nearest() -> None:
    cfg = data_config()
    cfg.sampling.cache = "allways"
    with pytest.raises(UnknownNameError, match="Did you mean 'always'"):
        read_sampling(cfg)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    cfg = data_config()
    cfg.sampling.batchsize = 4
    with pytest.raises(UnknownNameError, match="batch_size"):
        read_sampling(cfg)


def test_workers_are_as_many_as_sys_allows_or_one_per_core(tmp_path: Path) -> None:
    assert available_workers(OmegaConf.create({"sys": {"num_workers": 3}})) == 3
    assert available_workers(OmegaConf.create({"sys": {"num_workers": None}})) == len(os.sched_getaffinity(0))
    assert available_workers(OmegaConf.create({})) == len(os.sched_getaffinity(0))
