"""How work, reports and errors travel between processes: as bytes that never run code, but for errors of their own."""

import pickle
import traceback

import msgspec

from mml.core.scripts.exceptions import Interrupted, WorkerLostError, WorkerStepError
from mml.core.scripts.run_failure import encodable, one_line
from mml.runners.base import Report, SentError, StepOutcome, Work

_encoder = msgspec.msgpack.Encoder()
_works = msgspec.msgpack.Decoder(Work)
_reports = msgspec.msgpack.Decoder(Report)


class _Traceback(Exception):
    """Stands as the cause of an error from another process, so that its traceback there is printed, too."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def encode(message: Work | Report) -> bytes:
    """Return work or a report as bytes."""
    return _encoder.encode(message)


def decode_work(data: bytes) -> Work:
    """Return the work of bytes.

    Raises:
        msgspec.MsgspecError: they are none.
    """
    return _works.decode(data)


def decode_report(data: bytes) -> Report:
    """Return the report of bytes.

    Raises:
        msgspec.MsgspecError: they are none.
    """
    return _reports.decode(data)


def report_of(work: Work, outcome: StepOutcome, worker: str = "") -> Report:
    """Return the report of an attempt that went well."""
    return Report(work.step, work.attempt, outcome, worker=worker)


def failed_report(work: Work, error: BaseException, worker: str = "", *, misfit: bool = False) -> Report:
    """Return the report of an attempt that an error ended."""
    return Report(work.step, work.attempt, error=send_error(error, misfit=misfit), worker=worker)


def lost_report(work: Work, text: str, worker: str = "") -> Report:
    """Return the report of an attempt whose worker died.

    Args:
        work: the attempt.
        text: a sentence or more for people: who died of what, and the last lines of its log.
        worker: its name.
    """
    return Report(work.step, work.attempt, error=SentError(text=encodable(text), lost=True), worker=worker)


def send_error(error: BaseException, *, misfit: bool = False) -> SentError:
    """Return an error as a value that can be sent."""
    return SentError(
        text=one_line(error),
        traceback=encodable("".join(traceback.format_exception(error))),
        pickled=_pickled(error),
        interrupted=error.signum if isinstance(error, Interrupted) else 0,
        misfit=misfit,
    )


def received_error(sent: SentError) -> BaseException:
    """Return the error that was sent, or one that says the same when its class can't be had here."""
    if sent.lost:
        return WorkerLostError(sent.text)
    error: BaseException | None = None
    if sent.pickled:
        try:
            error = pickle.loads(sent.pickled)
        except Exception:  # noqa: BLE001 - whatever the class of a plugin does there
            error = None
    if not isinstance(error, BaseException):
        error = WorkerStepError(sent.text)
    if sent.traceback:
        error.__cause__ = _Traceback(sent.traceback)
    return error


def _pickled(error: BaseException) -> bytes:
    """Return an error as bytes that can be read again, empty when they can't."""
    try:
        data = pickle.dumps(error)
        again = pickle.loads(data)
    except Exception:  # noqa: BLE001 - as many ways to fail as there are classes of errors
        return b""
    return data if type(again) is type(error) and str(again) == str(error) else b""
