"""The words of task descriptions."""

from enum import StrEnum

import msgspec
import pytest

from mml.core.data_loading.task_attributes import DataSplit, Keyword, License, Modality, RGBInfo, Sizes, TaskType


@pytest.mark.parametrize("kind", [TaskType, Modality, DataSplit, Keyword, License])
def test_words_are_stored_by_their_values(kind: type[StrEnum]) -> None:
    for member in kind:
        assert msgspec.json.decode(msgspec.json.encode(member), type=kind) is member
        assert msgspec.json.encode(member) == f'"{member.value}"'.encode()


@pytest.mark.parametrize("kind", [TaskType, Modality, DataSplit, Keyword])
def test_words_are_spelt_alike(kind: type[StrEnum]) -> None:
    assert all(member.value == member.value.lower() and " " not in member.value for member in kind)


def test_channels_are_stored_as_a_list() -> None:
    info = RGBInfo(0.1, 0.2, 0.3)
    assert msgspec.json.encode(info) == b"[0.1,0.2,0.3]"
    assert msgspec.json.decode(b"[0.1,0.2,0.3]", type=RGBInfo) == info
    assert info.get_rgb() == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("data", [b"[0.1,0.2]", b'["a",0,0]', b"{}"])
def test_other_channels_are_refused(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(data, type=RGBInfo)


@pytest.mark.parametrize(
    ("sizes", "uniform"), [((8, 8, 6, 6), True), ((8, 9, 6, 6), False), ((8, 8, 6, 7), False), ((1, 2, 3, 4), False)]
)
def test_images_of_one_size_are_uniform(sizes: tuple[int, int, int, int], uniform: bool) -> None:
    assert Sizes(*sizes).uniform is uniform


def test_records_can_not_be_changed() -> None:
    with pytest.raises(AttributeError):
        RGBInfo(0, 0, 0).r = 1  # type: ignore[misc]
