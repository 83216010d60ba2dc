from typing import Any

import pytest

from mml.core.data_loading.task_attributes import Keyword, License
from mml.core.data_preparation.options import CopyMode, CreateOptions, options_from_config
from mml.core.data_preparation.sources.detect import SourceFormat
from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError


def options(workers: int | None = 1, **mode: Any) -> CreateOptions:
    return options_from_config(mode, seed=1, workers=workers)


def test_nothing_given_means_the_documented_defaults() -> None:
    assert options() == CreateOptions(seed=1, workers=1)


def test_every_key_reaches_its_option() -> None:
    found = options(
        format="csv",
        copy="hardlink",
        folds=3,
        test_fraction=0.5,
        skip_unreadable=True,
        overwrite=True,
        description="d",
        reference="r",
        url="u",
        release=2020,
        license="MIT",
        keywords=["bone", "ct_scan"],
    )
    assert (found.format, found.copy, found.folds) == (SourceFormat.CSV, CopyMode.HARDLINK, 3)
    assert (found.test_fraction, found.skip_unreadable, found.overwrite) == (0.5, True, True)
    assert found.header == {
        "description": "d",
        "reference": "r",
        "url": "u",
        "release": "2020",
        "license": License.MIT,
        "keywords": [Keyword.BONE, Keyword.CT_SCAN],
    }


def test_upper_and_lower_case_are_one() -> None:
    assert options(license="mit", copy="COPY").header == {"license": License.MIT}


def test_one_keyword_needs_no_list() -> None:
    assert options(keywords="bone").header == {"keywords": [Keyword.BONE]}


@pytest.mark.parametrize(
    ("key", "value", "near"),
    [
        ("copy", "hardlinks", "hardlink"),
        ("format", "folder", "folders"),
        ("license", "CC BY 4", "CC BY 4.0"),
        ("keywords", ["bones"], "bone"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_nearest(key: str, value: Any, near: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"mode\.{key}.*'{near}'"):
        options(**{key: value})


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("folds", 1, "at least 2"),
        ("folds", "five", "whole number"),
        ("folds", 2.5, "whole number"),
        ("folds", True, "whole number"),
        ("test_fraction", 1, "below 1"),
        ("test_fraction", -0.1, "from 0"),
        ("test_fraction", "half", "number"),
        ("test_fraction", False, "number"),
        ("overwrite", "yes", "true or false"),
        ("skip_unreadable", 1, "true or false"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_what_would(key: str, value: Any, reason: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=rf"mode\.{key}={value} .*{reason}"):
        options(**{key: value})


@pytest.mark.parametrize(("asked", "expected"), [(3, 3), (0, 1)])
def test_at_least_one_thread_works(asked: int, expected: int) -> None:
    assert options(workers=asked).workers == expected


def test_without_a_number_every_core_works() -> None:
    assert options(workers=None).workers >= 1
