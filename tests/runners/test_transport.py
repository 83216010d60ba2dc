"""Work, reports and errors come out of the bytes as they went in, whatever the class of an error does."""

import pickle
import signal
import traceback
from typing import Any

import msgspec
import pytest

from mml.core.data_loading.task_struct import StructChange
from mml.core.scripts.exceptions import (
    Interrupted,
    MMLError,
    StepsFailedError,
    UnknownNameError,
    WorkerLostError,
    WorkerStepError,
)
from mml.core.scripts.resources import Resources
from mml.core.scripts.schedule import StepRecord
from mml.runners.base import Announced, SentError, StepOutcome, Work
from mml.runners.transport import (
    decode_report,
    decode_work,
    encode,
    failed_report,
    lost_report,
    received_error,
    report_of,
    send_error,
)

WORK = Work(
    step=3,
    record=StepRecord("train", ["ü", {"a": [1.5, None]}], [0, 2], "third", Resources(1, 0.5, 10)),
    attempt="1.2",
    planned=9,
    visible=[(0, 1), (2, 3)],
    journal=1234,
    pending=["0001.1.1"],
    value={"$float": "nan"},
    resources=Resources(cpus=2),
    fenced=True,
)


class Local(Exception):
    """Can't be pickled by its arguments alone."""

    def __init__(self, text: str, *, more: int) -> None:
        super().__init__(text)
        self.more = more


class Changed(Exception):
    """Says something else when it was sent."""

    def __str__(self) -> str:
        return f"at {id(self)}"


class Explosive(Exception):
    def __reduce__(self) -> Any:
        raise MemoryError


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301 # to get a traceback
    except BaseException as caught:  # noqa: BLE001 - whatever it is
        return caught


def received(error: BaseException) -> BaseException:
    data = encode(failed_report(WORK, raised(error), "w"))
    sent = decode_report(data).error
    assert sent is not None
    return received_error(sent)


def test_work_comes_out_as_it_went_in() -> None:
    assert decode_work(encode(WORK)) == WORK
    assert pickle.loads(pickle.dumps(WORK)) == WORK


def test_work_names_its_attempt_and_its_step() -> None:
    assert WORK.name == "0004.1.2"
    assert str(WORK) == "step 4, train('ü', {'a': [1.5, None]})"


def test_outcome_comes_out_as_it_went_in() -> None:
    outcome = StepOutcome(
        seconds=0.25,
        tasks={"t": StructChange(paths={"a": "p"})},
        value=[1, {"b": None}],
        grown=[StepRecord("more", [1])],
        paths=[Announced("p/a.txt", "toy")],
    )
    report = decode_report(encode(report_of(WORK, outcome, "w")))
    assert (report.step, report.attempt, report.worker, report.error) == (3, "1.2", "w", None)
    assert report.outcome == outcome
    assert decode_report(encode(report_of(WORK, StepOutcome(0.0)))).outcome == StepOutcome(0.0, value=msgspec.UNSET)


@pytest.mark.parametrize("error", [ValueError("boom"), UnknownNameError("x", kind="task", known=["y"]), SystemExit(3)])
def test_error_comes_out_as_what_it_is_with_its_traceback_as_cause(error: BaseException) -> None:
    found = received(error)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert "in raised" in "".join(traceback.format_exception(found))


def test_error_with_parts_of_its_own_keeps_them() -> None:
    found = received(StepsFailedError(5, []))
    assert isinstance(found, StepsFailedError)
    assert found.total == 5


def test_signal_is_told_as_such() -> None:
    sent = send_error(raised(Interrupted(signal.SIGTERM)))
    assert sent.interrupted == signal.SIGTERM
    assert isinstance(received_error(sent), Interrupted)


@pytest.mark.parametrize("error", [Local("boom", more=1), Changed(), Explosive("boom")])
def test_error_whose_class_does_not_travel_says_the_same_as_another(error: Exception) -> None:
    found = received(error)
    assert isinstance(found, WorkerStepError)
    assert type(error).__name__ in str(found)
    assert "in raised" in str(found.__cause__)


def test_error_of_a_class_that_is_not_known_here_says_the_same() -> None:
    class Foreign(Exception):
        pass

    sent = send_error(raised(Foreign("from a plugin")))
    assert sent.pickled == b""
    broken = SentError(text="Other: gone", pickled=b"cno_such_module\nX\n.")
    assert str(received_error(broken)) == "Other: gone"
    number = SentError(text="Odd: no error", pickled=pickle.dumps(5))
    assert isinstance(received_error(number), WorkerStepError)
    assert str(received_error(sent)).startswith("Foreign: from a plugin")


def test_lost_worker_is_told_in_words() -> None:
    sent = decode_report(encode(lost_report(WORK, "worker w was killed by SIGKILL. \udc80", "w"))).error
    assert sent is not None
    error = received_error(sent)
    assert isinstance(error, WorkerLostError)
    assert "SIGKILL" in str(error)


def test_misfit_is_marked() -> None:
    assert failed_report(WORK, MMLError("other version"), misfit=True).error == SentError(
        text="other version",
        traceback="mml.core.scripts.exceptions.MMLError: other version\n",
        pickled=pickle.dumps(MMLError("other version")),
        misfit=True,
    )


@pytest.mark.parametrize("decode", [decode_work, decode_report])
def test_bytes_that_are_none_are_refused(decode: Any) -> None:
    for data in (b"", b"\xc1", encode(WORK)[:-3], msgspec.msgpack.encode(["no", "work"])):
        with pytest.raises(msgspec.MsgspecError):
            decode(data)
