"""`mml runs label`: a run gets a name that people give."""

from pathlib import Path

import pytest

from mml.core.scripts.run_labels import read_labels
from tests.cli.conftest import Mml
from tests.support.runs import NAME, make_run


@pytest.fixture
def proj(tmp_path: Path) -> Path:
    make_run(tmp_path / "results")
    return tmp_path / "results" / "default"


def test_a_label_is_given_shown_replaced_and_removed(mml: Mml, proj: Path) -> None:
    assert mml("runs", "label", NAME).out == f"Run {NAME} has no label.\n"
    assert mml("runs", "label", NAME, "best", "lr=0.1").out == f"Run {NAME} is labelled 'best lr=0.1'.\n"
    assert mml("runs", "label", "best lr=0.1").out == f"Run {NAME} is labelled 'best lr=0.1'.\n"
    assert "no longer 'best lr=0.1'" in mml("runs", "label", "latest", " good \t one ").out
    assert read_labels(proj) == {NAME: "good one"}
    assert "it was 'good one'" in mml("runs", "label", "good one", "--remove").out
    assert f"Run {NAME} had no label." in mml("runs", "label", NAME, "--remove").out
    assert read_labels(proj) == {}


def test_a_labelled_run_is_found_by_its_label(mml: Mml, proj: Path) -> None:
    mml("runs", "label", NAME, "best")
    assert f"Run {NAME}" in mml("runs", "show", "best").out
    assert NAME in mml("runs", "best").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["latest"], "'latest' can't be a label"),
        (["a/b"], "'a/b' can't be a label"),
        (["x" * 61], "at most 60 characters, this one 61"),
        (["x", "--remove"], "--remove takes the label away; leave 'x' out"),
    ],
)
def test_what_can_be_no_label_is_refused(mml: Mml, proj: Path, words: list[str], said: str) -> None:
    answer = mml("runs", "label", NAME, *words)
    assert answer.code == 2
    assert said in answer.err
    assert read_labels(proj) == {}
