from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.runs_words import VerbParser, add_place, as_names, results_root


@pytest.fixture
def parser() -> VerbParser:
    made = VerbParser("mml test", "Tests.")
    made.add_argument("text", nargs="*")
    made.add_argument("--state")
    made.add_argument("--json", action="store_true")
    add_place(made)
    return made


def test_words_with_an_equals_sign_say_what_flags_say(parser: VerbParser) -> None:
    given = parser.read(["proj=mine", "out_dir=a=b", "state=failed", "x"])
    assert (given.project, given.out_dir, given.state, given.text) == ("mine", "a=b", "failed", ["x"])
    assert parser.read(["--project", "mine", "--out-dir=x"]).project == "mine"


def test_other_words_with_an_equals_sign_are_text(parser: VerbParser) -> None:
    assert parser.read(["lr=0.1", "json=1", "a.b=c", "=x"]).text == ["lr=0.1", "json=1", "a.b=c", "=x"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stat", "x"], "Unknown flag '--stat'. Did you mean '--state'?"),
        (["--stat=x"], "Unknown flag '--stat'"),
        (["--state"], "Argument --state: expected one argument. See `mml test --help`."),
    ],
)
def test_what_can_not_be_understood_is_said_with_the_nearest(parser: VerbParser, words: list[str], said: str) -> None:
    with pytest.raises(MMLMisconfigurationException) as caught:
        parser.read(words)
    assert said in str(caught.value)


def test_too_many_words_are_refused() -> None:
    made = VerbParser("mml test", "Tests.")
    made.add_argument("run", nargs="?")
    with pytest.raises(MMLMisconfigurationException, match=r"Nothing is known of 'b'"):
        made.read(["a", "b"])


def test_a_project_may_be_one_or_several() -> None:
    made = VerbParser("mml test", "Tests.")
    add_place(made, several=True)
    assert as_names(made.read(["proj=a,b", "--project", "c"]).project) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("values", "names"), [(None, []), (["a"], ["a"]), (["[a, b]", "c,"], ["a", "b", "c"]), ([""], [])]
)
def test_names_may_be_given_as_a_list(values: list[str] | None, names: list[str]) -> None:
    assert as_names(values) == names


def test_results_lie_where_a_run_would_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert results_root(None) == tmp_path / "results"
    (tmp_path / "mml.env").write_text("MML_RESULTS_PATH=by_file\n")
    assert results_root(None) == tmp_path / "by_file"
    monkeypatch.setenv("MML_RESULTS_PATH", str(tmp_path / "by_variable"))
    assert results_root(None) == tmp_path / "by_variable"
    assert results_root("~/given") == Path.home() / "given"


def test_the_flags_are_told(parser: VerbParser) -> None:
    assert parser.flags() == ["--help", "--state", "--json", "--project", "--out-dir"]
    with pytest.raises(UnknownNameError):
        parser.read(["--nope"])
