"""Where a Ray is: the address as a user gives it, and whether a Ray answers there, found out within seconds."""

import json
import os
import re
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.runners import ray_reach

AUTO = "auto"
# Seconds: a connection of the network; all that Ray does until a process can use it, on a machine that has much to do.
_CONNECT, _REACH = 5.0, 15.0
_ADDRESS = re.compile(r"(?P<host>[^\s:/]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_CHOICES = (
    "null (a Ray is started on this machine, and ends with the run), auto (the Ray that runs on this machine) or "
    "<host>:<port> of the head of a Ray that this machine is part of (6379, unless it was started with --port)"
)


def checked_address(address: str | None) -> str | None:
    """Return an address as it was given, None when a Ray has to be started.

    Raises:
        MMLMisconfigurationException: it is none that can be used; names the choices.
    """
    if address is None or address == AUTO:
        return address
    text = str(address)
    if "://" in text:
        msg = (
            f"runner.address={text} means the client of Ray, which does not tell what becomes of lost machines. Start "
            "mml on a machine that is part of that Ray (its head, or after `ray start --address=<host>:6379`), with "
            "runner.address=auto."
        )
        raise MMLMisconfigurationException(msg)
    if not (match := _ADDRESS.fullmatch(text)) or not 0 < int(match["port"]) < 2**16:
        msg = f"runner.address={text} is no address. Choices: {_CHOICES}."
        raise MMLMisconfigurationException(msg)
    return text


def reached(address: str) -> str:
    """Return the address, `<host>:<port>`, of the Ray that answers.

    Raises:
        MMLMisconfigurationException: none answers within seconds, or it refuses; says what to do.
    """
    if address != AUTO:
        _refuse_silence(address)
    said = _asked(address)
    if "address" in said:
        return said["address"]
    if address == AUTO and said.get("error", "").startswith("ConnectionError: Could not find any running Ray"):
        msg = (
            "runner.address=auto: no Ray runs on this machine. Start one with `ray start --head`, make this machine "
            "part of one with `ray start --address=<host>:6379`, or leave runner.address out: mml starts one."
        )
        raise MMLMisconfigurationException(msg)
    msg = f"runner.address={address} can't be used: {said['error']}"
    raise MMLMisconfigurationException(msg)


def answers(address: str, seconds: float) -> bool:
    """Tell whether something takes connections at an address."""
    host, _, port = address.rpartition(":")
    try:
        with closing(socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)):
            return True
    except OSError:
        return False


def _refuse_silence(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        with closing(socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT)):
            return
    except OSError as error:
        why = error.strerror or str(error)
    msg = f"runner.address={address}: no Ray can be reached there ({why}). {_fix(address)}"
    raise MMLMisconfigurationException(msg)


def _asked(address: str) -> dict[str, str]:
    """Return what a process says that has tried to connect."""
    script = Path(ray_reach.__file__)
    path = os.pathsep.join(folder for folder in sys.path if folder)
    try:
        done = subprocess.run(
            # Without -P, the folder of the script would be searched first, in which a file has the name of Ray.
            [sys.executable, "-P", str(script), address],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_REACH,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no Ray that this machine is part of answers there within {_REACH:g} s. {_fix(address)}"}
    try:
        said: dict[str, str] = json.loads(done.stdout)
    except ValueError:
        return {"error": f"Ray ended the process that tried to connect, with exit code {done.returncode}."}
    return said


def _fix(address: str) -> str:
    return (
        "On the head, `ray status` tells whether it runs; this machine has to be part of it: "
        f"`ray start --address={address}`. Without runner.address, mml starts a Ray of its own."
    )
