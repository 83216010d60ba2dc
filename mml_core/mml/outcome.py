"""How a command ends for the user: what is said about an error, last the command that continues, and the exit code."""

import errno
import os
import signal
import sys

from mml.core.scripts.exceptions import (
    Interrupted,
    MMLError,
    MMLMisconfigurationException,
    RunLockedError,
    StepsFailedError,
)

# Errors that are no fault of any code: numbers, and what to do.
_DISK_FIXES = (
    ((errno.ENOSPC, errno.EDQUOT), "Make room: mml clean shows what mml itself can remove."),
    ((errno.EFBIG,), "Raise the limit on the size of files (ulimit -f unlimited)."),
    ((errno.EROFS,), "Mount the disk writable, or choose another folder with out_dir=<folder> or data_dir=<folder>."),
    ((errno.EIO,), "The disk, or the way to it, is broken: look at the system's log."),
    ((errno.EMFILE, errno.ENFILE), "Too many files are open: raise the limit with ulimit -n 4096."),
)

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


def report_error(error: BaseException) -> int:
    """Tell the user what went wrong, last the command that continues, and return the exit code."""
    command = getattr(error, "continue_command", None)
    tell(describe(error))
    if isinstance(error, StepsFailedError):
        from mml.report.failures import show_failures

        show_failures(error.accounts)
    if trace := getattr(error, "traceback_file", None):
        tell(f"The traceback is in {trace}")
    continued = f"Continue with:\n{command}" if command else ""
    if isinstance(error, Interrupted) and error.signum == signal.SIGUSR1 and "SLURM_JOB_ID" in os.environ:
        _queue_again(continued)
    elif continued:
        tell(continued)
    return exit_code(error)


def _queue_again(continued: str) -> None:
    """Let Slurm start the job of this process again; asked last, because Slurm ends the job at once."""
    from mml.core.scripts.slurm import current_job, requeue

    if job := current_job():
        tell(f"Slurm job {job.name} is queued again, and goes on by itself then.")
    if continued:
        tell(continued)
    if job and (fault := requeue(job)):
        tell(f"But Slurm does not queue job {job.name} again: {fault}")


def describe(error: BaseException) -> str:
    """Return what to tell the user about an error; one that nobody foresaw and no run recorded brings its traceback."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return f"Interrupted ({error if isinstance(error, Interrupted) else 'SIGINT'})."
    if isinstance(error, StepsFailedError):
        return f"Error: {error.headline}"
    if isinstance(error, MMLError):
        return "\n".join([f"Error: {error}", *getattr(error, "__notes__", [])])
    if isinstance(error, OSError) and (said := _disk_text(error)):
        return "\n".join([f"Error: {said}", *getattr(error, "__notes__", [])])
    if hasattr(error, "traceback_file"):
        return "\n".join([f"Error: {type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
    import traceback

    return "".join(traceback.format_exception(error)).rstrip()


def _disk_text(error: OSError) -> str:
    """Return what to say about an error of a disk, which needs no traceback; empty for another error."""
    fix = next((fix for numbers, fix in _DISK_FIXES if error.errno in numbers), "")
    if not fix:
        return ""
    place = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{place}. {fix}"


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error; a step that fails is a failure, whatever its error says."""
    if isinstance(error, Interrupted):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, RunLockedError):
        return WRONG_USAGE
    wrong = isinstance(error, MMLMisconfigurationException) and not getattr(error, "continue_command", None)
    return WRONG_USAGE if wrong else FAILED


def reader_left(error: BaseException) -> bool:
    """Tell whether nobody reads the output any more, as in `mml help | head`."""
    if isinstance(error, SystemExit):  # what Rich makes of it
        return isinstance(error.__context__, BrokenPipeError)
    return isinstance(error, BrokenPipeError) and not hasattr(error, "continue_command")


def end_quietly() -> int:
    """Return the exit code when nobody reads any more, and keep Python from complaining about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


def tell(text: str) -> None:
    """Write a line for the user to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
