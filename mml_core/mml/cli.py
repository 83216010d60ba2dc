"""The command `mml`: words become a verb (`help`, `runs`), or a config by Hydra and the scheduler it names.

Start-up is what a user feels at every TAB: nothing heavy is imported here, a mode brings what it needs.
"""

import gc
import sys
from collections.abc import Callable, Sequence

from mml.core.scripts.exceptions import Interrupted, MMLMisconfigurationException
from mml.outcome import DONE, end_quietly, reader_left, report_error

HELP_FLAGS = ("--help", "-h")


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command and return its exit code: 0 done, 1 failed, 2 wrong usage, 128 + signal interrupted.

    Args:
        argv: the words after `mml`, by default those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # Nothing made at start-up is garbage, and looking for some takes a tenth of the time; a run looks again.
    gc.disable()
    try:
        return _verb(words)(words)
    except (Exception, Interrupted, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - every error is an exit code
        if reader_left(error):
            return end_quietly()
        if isinstance(error, SystemExit):
            raise
        return report_error(error)
    finally:
        gc.enable()


def _verb(words: Sequence[str]) -> Callable[[list[str]], int]:
    """Return what carries the words out."""
    if not words:
        return _home
    if "--version" in words or "-V" in words:
        return _version
    if words[0] in _OWN_HELP:
        return _OWN_HELP[words[0]]
    if words[0] == "help" or any(flag in words for flag in HELP_FLAGS):
        return _help
    return _hydra


def _home(_: list[str]) -> int:
    from mml.home import show_home

    show_home()
    return DONE


def _version(words: list[str]) -> int:
    from mml.home import show_version

    if len(words) > 1:
        msg = f"--version stands alone, without {' '.join(word for word in words if word != '--version')}."
        raise MMLMisconfigurationException(msg)
    show_version()
    return DONE


def _help(words: list[str]) -> int:
    from mml.help import show_help

    if words[0] == "help":
        topics = [word for word in words[1:] if word not in HELP_FLAGS]
    else:  # a command with --help somewhere: its first word says what it is about
        topics = [word for word in words if word[0] not in "-+~" and "=" not in word][:1]
    show_help(topics)
    return DONE


def _hydra(words: list[str]) -> int:
    from mml.hydra_app import run_words

    run_words(words)
    return DONE


def _plan(words: list[str]) -> int:
    from mml.plan_cli import run_plan

    return run_plan(words[1:])


def _runs(words: list[str]) -> int:
    from mml.runs_cli import run_runs

    return run_runs(words[1:])


def _status(words: list[str]) -> int:
    from mml.status import run_status

    return run_status(words[1:])


def _doctor(words: list[str]) -> int:
    from mml.doctor import run_doctor

    return run_doctor(words[1:])


# Verbs with flags and a help of their own.
_OWN_HELP: dict[str, Callable[[list[str]], int]] = {"plan": _plan, "runs": _runs, "status": _status, "doctor": _doctor}
