"""RunBook: the journal of a run while a process works on it, and what it says so far."""

import time
from pathlib import Path

from mml.core.scripts.journal import JOURNAL_FILE, Event, Journal, PathAnnounced, RunRecord, read_events
from mml.core.scripts.signals import SignalGuard


class RunBook:
    """Keeps the journal of a run, whose lock is held.

    Args:
        folder: the run folder.
        guard: holds signals back while a line is written.

    Attributes:
        record: what the journal says, up to the last call of `catch_up`.
        step: position of the step that is being done, None between steps.
        attempt: which one at that step, from 1.
        hook: name of the hook that runs outside of steps.
        fault: why a line could not be written, None as long as all could.
    """

    def __init__(self, folder: Path, guard: SignalGuard) -> None:
        self.folder = folder
        self.guard = guard
        self.step: int | None = None
        self.attempt = 1
        self.hook = ""
        self.fault: OSError | None = None
        self._path = folder / JOURNAL_FILE
        events, self._read = read_events(self._path)
        self.record = RunRecord(events)
        self._journal: Journal | None = None
        self._noted: list[Event] = []

    def open(self) -> None:
        """Begin to write; a torn line at the end is cut off."""
        self._journal = Journal(self._path, self._read)

    @property
    def size(self) -> int:
        """Bytes of the journal."""
        assert self._journal is not None, "the book is not open"
        return self._journal.size

    def append(self, *events: Event, durable: bool = True) -> None:
        """Write events whole, before a signal gets through.

        Raises:
            OSError: it could not be written.
            Interrupted: a signal came.
        """
        assert self._journal is not None, "the book is not open"
        try:
            with self.guard.deferred():
                noted, self._noted = self._noted, []
                self._journal.append(*noted, *events, durable=durable)
        except OSError as error:
            self.fault = error
            raise

    def note(self, event: Event) -> None:
        """Write an event with the next ones, or when `flush` is called: it may be lost."""
        self._noted.append(event)

    def flush(self) -> None:
        """Write what was noted.

        Raises:
            OSError: it could not be written.
            Interrupted: a signal came.
        """
        if self._noted:
            self.append(durable=False)

    def announce(self, text: str, key: str) -> None:
        """Write down a file, as portable text, that the step or hook is about to create."""
        hook = self.hook if self.step is None else ""
        self.append(PathAnnounced(time=time.time(), path=text, key=key, step=self.step, hook=hook))

    def catch_up(self) -> RunRecord:
        """Return the record with all that was written meanwhile, also by processes that a step forked."""
        events, self._read = read_events(self._path, self._read)
        for event in events:
            self.record.apply(event)
        return self.record

    def close(self) -> None:
        """Make everything durable and stop writing."""
        if self._journal is not None:
            self._journal.close()
