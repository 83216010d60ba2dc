import pytest

from mml.doctor.verdicts import Check, Level, Settings, Verdict, ok, problem, reason, run_checks, warning

NOWHERE = Settings(None, None)


def test_each_check_becomes_a_finding_in_order() -> None:
    checks = [Check("a", "one", lambda _: ok("fine")), Check("b", "two", lambda _: warning("hm", "do it"))]
    assert [tuple(finding) for finding in run_checks(checks, NOWHERE)] == [
        ("a", "one", Level.OK, "fine", ""),
        ("b", "two", Level.WARNING, "hm", "do it"),
    ]


@pytest.mark.parametrize("error", [ValueError("boom\nmore"), SystemExit("boom"), RecursionError("boom")])
def test_a_check_that_fails_is_a_finding_and_stops_no_other(error: BaseException) -> None:
    def fail(_: Settings) -> Verdict:
        raise error

    first, second = run_checks([Check("a", "one", fail), Check("a", "two", lambda _: ok("fine"))], NOWHERE)
    assert first.level is Level.PROBLEM
    assert f"{type(error).__name__}: boom" in first.what
    assert "more" not in first.what
    assert first.fix
    assert second.level is Level.OK


def test_an_interruption_is_no_finding() -> None:
    def interrupt(_: Settings) -> Verdict:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_checks([Check("a", "one", interrupt)], NOWHERE))


def test_verdicts_say_how_bad_it_is() -> None:
    assert (ok("a").level, warning("a", "b").level, problem("a", "b").level) == tuple(Level)


def test_an_error_without_text_is_called_by_its_kind() -> None:
    assert reason(ValueError()) == "ValueError"
