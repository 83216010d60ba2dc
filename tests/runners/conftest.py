"""What several tests of runners use."""

import signal
from collections.abc import Iterator

import pytest

from mml.core.scripts.signals import HANDLED
from tests.support.ray_cluster import quiet_ray, ray_cluster

__all__ = ["quiet_ray", "ray_cluster"]


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """Put back the handlers of signals that Ray replaces where a test uses it without mml."""
    before = {signum: signal.getsignal(signum) for signum in HANDLED}
    yield
    for signum, handler in before.items():
        if handler is not None:
            signal.signal(signum, handler)
