"""An address that can't be used is refused within seconds, with what helps."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.runners import ray_address
from mml.runners.ray_address import answers, checked_address, reached
from tests.support.ray_cluster import RayCluster

pytestmark = pytest.mark.usefixtures("quiet_ray")


@pytest.fixture
def mute() -> Iterator[str]:
    """Return an address at which something listens that never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("address", [None, "auto", "head:6379", "10.0.0.1:1", "[::1]:6379"])
def test_address_is_taken_as_it_is(address: str | None) -> None:
    assert checked_address(address) == address


@pytest.mark.parametrize("address", ["head", "head:", "head:port", "head:0", "head:70000", ":6379", "a b:6379", ""])
def test_what_is_no_address_is_refused_with_the_choices(address: str) -> None:
    with pytest.raises(MMLMisconfigurationException) as caught:
        checked_address(address)
    assert f"runner.address={address} is no address. Choices: null (a Ray is started" in str(caught.value)


def test_client_of_ray_is_refused_with_what_to_do_instead() -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"the client of Ray.*runner.address=auto"):
        checked_address("ray://head:10001")


def test_address_where_nothing_listens_is_refused(closed: str) -> None:
    with pytest.raises(MMLMisconfigurationException) as caught:
        reached(closed)
    assert f"runner.address={closed}: no Ray can be reached there (Connection refused)" in str(caught.value)
    assert f"`ray start --address={closed}`" in str(caught.value)


def test_host_that_nobody_knows_is_refused() -> None:
    with pytest.raises(MMLMisconfigurationException, match=r"runner.address=no\.such\.host\.invalid:6379: no Ray"):
        reached("no.such.host.invalid:6379")


def test_what_does_not_speak_as_ray_does_is_refused(mute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "_REACH", 2.0)
    with pytest.raises(MMLMisconfigurationException) as caught:
        reached(mute)
    assert "no Ray that this machine is part of answers there within 2 s" in str(caught.value)


def test_process_that_ray_ends_is_told(mute: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(MMLMisconfigurationException, match=r"Ray ended the process .* with exit code 7"):
        reached(mute)


def test_running_ray_is_found(ray_cluster: RayCluster) -> None:
    assert reached(ray_cluster.address) == ray_cluster.address
    assert answers(ray_cluster.address, 1.0)


def test_no_running_ray_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text(
        "def init(**_):\n    raise ConnectionError('Could not find any running Ray instance.')\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(MMLMisconfigurationException, match="runner.address=auto: no Ray runs on this machine"):
        reached("auto")


def test_what_ray_objects_to_is_said(mute: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text(
        "def init(**_):\n    raise RuntimeError('Version mismatch: 2.1') from ValueError('python')\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(MMLMisconfigurationException, match=r"RuntimeError: Version mismatch: 2.1 \(python\)"):
        reached(mute)
    assert not answers("127.0.0.1:1", 0.1)
