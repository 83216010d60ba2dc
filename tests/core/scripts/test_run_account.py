"""What a process writes into the journal about itself."""

import os
import socket
import sys
from importlib.metadata import version

import pytest

from mml.core.scripts import run_account
from mml.core.scripts.journal import decode_line, encode_line
from mml.core.scripts.run_account import opened


def test_opening_names_process_machine_command_and_versions() -> None:
    event = opened("train", ["a"])
    assert (event.pid, event.host, event.command) == (os.getpid(), socket.gethostname(), sys.argv)
    assert (event.mode, event.tasks) == ("train", ["a"])
    assert event.versions["mml-core"] == version("mml-core")


def test_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_account, "_RECORDED_PACKAGES", ("mml-core", "there-is-no-such-package"))
    assert list(opened("", []).versions) == ["mml-core"]


def test_opening_can_be_journaled_whatever_the_command_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mml", "mode.source=caf\udce9"])
    assert decode_line(encode_line(opened("", []))[:-1]).command == ["mml", "mode.source=caf\\udce9"]  # type: ignore[union-attr]
