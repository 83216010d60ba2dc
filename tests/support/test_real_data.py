import gzip
import struct
from pathlib import Path

import pytest

from tests.support import real_data


def test_fashion_mnist_is_there_in_full(fashion_mnist_idx: Path) -> None:
    counts = {}
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        with gzip.open(fashion_mnist_idx / f"{part}-ubyte.gz") as file:
            _, counts[part] = struct.unpack(">II", file.read(8))
    assert list(counts.values()) == [60_000, 60_000, 10_000, 10_000]


def test_a_system_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_data, "INSIDE", Path("no/such/folder"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(real_data.NoAptError, match="apt-get is needed to fetch dataset-fashion-mnist"):
        real_data.fashion_mnist_idx(tmp_path / "cache")
