"""Notifications of a run, sent by a helper process: nothing that goes wrong with them can fail or delay the run."""

import importlib.util
import json
import logging
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from omegaconf import DictConfig, OmegaConf

from mml.core.scripts.exceptions import MMLMisconfigurationException, UnknownNameError
from mml.core.scripts.notify_messages import EVENTS, FAILURE, FINISH, INTERRUPT, START, Message
from mml.core.scripts.redaction import HIDDEN
from mml.core.scripts.utils import as_list

logger = logging.getLogger(__name__)

# Seconds that the helper may take to start, and to send the last message before the run is over without it.
_START, _GOODBYE = 30.0, 2.0
_TYPES = {START: "info", FINISH: "success", FAILURE: "failure", INTERRUPT: "warning"}
# Helpers that still send when their run is over; kept, because Python complains about processes that nobody waits for.
_LEFT: list["subprocess.Popen[bytes]"] = []


class NotifyOptions(NamedTuple):
    """Whom to notify of what.

    Attributes:
        urls: as apprise understands them; none for no notifications.
        events: some of `EVENTS`.
    """

    urls: Sequence[str] = ()
    events: Sequence[str] = EVENTS


def read_notify(cfg: DictConfig) -> NotifyOptions:
    """Return whom a config wants to be notified of what.

    Raises:
        MMLMisconfigurationException: it can't be done: an unknown event, something that is no URL, or no apprise.
    """
    events = as_list(OmegaConf.select(cfg, "notify.on", default=list(EVENTS)))
    for event in events:
        if event not in EVENTS:
            raise UnknownNameError(str(event), kind="event in notify.on", known=EVENTS)
    urls = [url for url in as_list(OmegaConf.select(cfg, "notify.urls", default=None)) if url != HIDDEN]
    for number, url in enumerate(urls, start=1):
        if not isinstance(url, str) or "://" not in url:
            msg = f"Entry {number} of notify.urls is no URL. Give some of apprise, e.g. notify.urls=[ntfy://my-topic]."
            raise MMLMisconfigurationException(msg)
    if urls and importlib.util.find_spec("apprise") is None:
        msg = 'notify.urls needs apprise, which is missing: pip install "mml-core[notify]", or leave notify.urls out.'
        raise MMLMisconfigurationException(msg)
    return NotifyOptions(urls, events)


def open_notifier(cfg: DictConfig) -> "Notifier":
    """Return what sends the notifications of a run; to be used in a `with` block.

    Raises:
        MMLMisconfigurationException: a config that can't be followed.
    """
    if HIDDEN in as_list(OmegaConf.select(cfg, "notify.urls", default=None)):
        logger.warning("The URLs of notify.urls were not kept with the run: give them again, or use MML_NOTIFY_URLS.")
    return Notifier(read_notify(cfg))


class Notifier:
    """Sends notifications, as long as its block runs.

    Args:
        options: whom to notify of what.

    Raises:
        MMLMisconfigurationException: on entering, for a URL that apprise does not understand.
    """

    def __init__(self, options: NotifyOptions) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def active(self) -> bool:
        """Whether anybody is notified."""
        return self._process is not None

    def __enter__(self) -> Self:
        if self._options.urls and self._options.events:
            try:
                self._start()
            except OSError as error:
                logger.warning("Notifications can't be sent: %s", error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._write({"end": True})
        self._close()
        try:
            self._process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            logger.warning("A notification is still on its way; the run does not wait for it.")
            _LEFT.append(self._process)

    def begin(self, log: Path) -> None:
        """Say where to log what can't be sent."""
        self._write({"log": str(log)})

    def send(self, message: Message, *, last: bool = False) -> None:
        """Send a message, if it is wanted.

        Args:
            message: what to send.
            last: to be sent only if this process is gone without having left the block.
        """
        if message.event in self._options.events:
            kind = {"type": _TYPES[message.event], "last": last}
            self._write({**message._asdict(), **kind})

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mml.core.scripts.notify_helper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C, and the end of a terminal, are not its business
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        try:
            self._write({"urls": list(self._options.urls)})
            self._refuse(self._answer())
        except BaseException:
            self._close()
            self._process.wait()
            raise

    def _answer(self) -> list[int]:
        """Return the numbers of URLs that the helper does not understand; none when it does not answer in time."""
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            logger.warning("Notifications can't be sent: the process that sends them does not answer.")
            return []
        bad: list[int] = json.loads(line)["bad"]
        return bad

    def _refuse(self, bad: Sequence[int]) -> None:
        if bad:
            scheme = self._options.urls[bad[0]].partition("://")[0]
            msg = (
                f"Entry {bad[0] + 1} of notify.urls, which begins with '{scheme}://', is nothing apprise understands. "
                "Services and how their URLs are made: https://appriseit.com/services."
            )
            raise MMLMisconfigurationException(msg)

    def _write(self, content: dict[str, Any]) -> None:
        if self._process is None or self._process.stdin is None or self._process.stdin.closed:
            return
        try:
            os.write(self._process.stdin.fileno(), json.dumps(content).encode() + b"\n")
        except OSError as error:  # the helper is gone, or does not read any more
            logger.warning("A notification can't be sent: %s", error)

    def _close(self) -> None:
        assert self._process is not None
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
