"""What a notification says about a run: one line per fact, readable on a phone."""

from typing import NamedTuple

from mml.core.scripts.exceptions import Interrupted, StepsFailedError

START, FINISH, FAILURE, INTERRUPT = EVENTS = ("start", "finish", "failure", "interrupt")
_LONGEST = 300  # characters of a value or an error


class Message(NamedTuple):
    """A notification.

    Attributes:
        event: one of `EVENTS`.
        title: one line.
        body: lines of `fact: text`.
    """

    event: str
    title: str
    body: str


class RunFacts(NamedTuple):
    """What is known of a run when something happens to it.

    Attributes:
        name: of the run.
        project: that it belongs to.
        continue_command: continues it.
        step: the one that is being done, e.g. `2 of 5, work(1)`; "" outside of steps.
        value: the return value, None when there is none yet.
    """

    name: str
    project: str
    continue_command: str
    step: str = ""
    value: object = None


def started(facts: RunFacts, continued: bool) -> Message:
    """Return the message of a run that starts or goes on."""
    return _message(START, "goes on" if continued else "started", facts)


def finished(facts: RunFacts) -> Message:
    """Return the message of a run that is finished."""
    return _message(FINISH, "finished", facts)


def killed(facts: RunFacts) -> Message:
    """Return the message of a run whose process vanished."""
    error = "The process was killed, maybe for want of memory, or the machine takes no more."
    return _message(FAILURE, "crashed", facts, error, facts.continue_command)


def ended(facts: RunFacts, error: BaseException) -> Message:
    """Return the message of a run that an error or a signal ended."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        reason = str(error) if isinstance(error, Interrupted) else "SIGINT"
        return _message(INTERRUPT, "interrupted", facts, reason, facts.continue_command)
    return _message(FAILURE, "failed", facts, _first_line(error), facts.continue_command)


def _message(event: str, state: str, facts: RunFacts, error: str = "", command: str = "") -> Message:
    lines = {
        "run": facts.name,
        "project": facts.project,
        "state": state,
        "step": facts.step,
        "value": "" if facts.value is None else _short(str(facts.value)),
        "error": error,
        "continue": command,
    }
    body = "\n".join(f"{fact}: {text}" for fact, text in lines.items() if text)
    return Message(event, f"mml run {facts.name} {state}", body)


def _first_line(error: BaseException) -> str:
    if isinstance(error, StepsFailedError):
        return error.headline
    lines = str(error).strip().splitlines()
    return _short(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
