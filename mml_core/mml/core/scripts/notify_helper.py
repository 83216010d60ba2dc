"""The process that sends the notifications of a run. It outlives the run, so it can tell of one that was killed.

Lines of JSON come in: first `{"urls": [...]}`, answered by `{"bad": [numbers of URLs]}`; then `{"log": path}` and
messages. One with `"last": true` is kept, and sent if the lines end without `{"end": true}`.
"""

import json
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from typing import IO, Any

_PATIENCE = 30  # seconds that one message to one URL may take
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def main(lines: IO[str], answers: IO[str]) -> int:
    """Send what lines ask for, until they end."""
    for signum in _IGNORED:  # they are sent to all processes of a job, and mean the run
        signal.signal(signum, signal.SIG_IGN)
    logging.disable()  # apprise writes URLs into its logs
    from apprise import Apprise

    hello = json.loads(lines.readline())
    senders = [Apprise() for _ in hello["urls"]]
    bad = [number for number, url in enumerate(hello["urls"]) if not _added(senders[number], url)]
    answers.write(json.dumps({"bad": bad}) + "\n")
    answers.flush()
    _serve(senders, lines)
    return 0


def _serve(senders: list[Any], lines: IO[str]) -> None:
    log, last = "", None
    for line in lines:
        match json.loads(line):
            case {"end": True}:
                return
            case {"log": str(path)}:
                log = path
            case {"last": True} as message:
                last = message
            case message:
                _send_all(senders, message, log)
    if last:
        _send_all(senders, last, log)


def _added(sender: Any, url: str) -> bool:
    try:
        return bool(sender.add(url))
    except Exception:  # noqa: BLE001 # whatever is wrong with the URL
        return False


def _send_all(senders: list[Any], message: dict[str, Any], log: str) -> None:
    for number, sender in enumerate(senders, start=1):
        fault = _sent(sender, message)
        if fault and log:
            _log(log, f"Notification '{message['event']}' could not be sent to URL {number} of notify.urls: {fault}.")


def _sent(sender: Any, message: dict[str, Any]) -> str:
    """Send a message; return what went wrong, without the URL."""
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_PATIENCE)
    try:
        done = sender.notify(title=message["title"], body=message["body"], notify_type=message["type"])
    except Exception as error:  # noqa: BLE001 # services and networks fail in every way
        return type(error).__name__
    finally:
        signal.alarm(0)
    return "" if done else "the service did not take it"


def _give_up(*_: object) -> None:
    raise TimeoutError


def _log(path: str, text: str) -> None:
    """Write a line as the run does; a single write to a file that is appended to is never torn."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    with suppress(OSError):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(handle, f"{stamp},000 WARNING  mml.notify: {text}\n".encode())
        finally:
            os.close(handle)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, BrokenPipeError):
        sys.exit(main(sys.stdin, sys.stdout))
