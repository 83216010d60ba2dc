"""The record of a model, in its JSON file and in the journal."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.model_storage import ModelStorage, encode_record, record_builtins, record_from_builtins
from mml.core.scripts.portable_paths import PathRoots

CREATED = datetime(2026, 11, 20, 8, 30, 15, 250000, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture
def roots(tmp_path: Path) -> PathRoots:
    return PathRoots(tmp_path / "results", tmp_path / "data")


def model(roots: PathRoots, **fields: Any) -> ModelStorage:
    defaults = {"task": "a", "fold": 1, "parameters": roots.results / "p" / "m.safetensors", "created": CREATED}
    return ModelStorage(**(defaults | fields))


def full(roots: PathRoots) -> ModelStorage:
    return model(
        roots,
        pipeline=roots.results / "p" / "pipeline.yaml",
        performance=0.75,
        training_time=12.5,
        predictions={"test": roots.results / "p" / "test.parquet", "other": Path("/elsewhere/x.parquet")},
        metrics=[{"split": "val", "epoch": 3, "per_class": {"cat": 0.5}, "curve": [[0, 1], [1, 0.5]]}],
    )


def test_stored_record_comes_back(roots: PathRoots) -> None:
    record = full(roots)
    path = roots.results / "p" / "MODELS" / "model_0001.json"
    record.store(path, roots)
    assert record.storage == path
    assert ModelStorage.from_json(path, roots) == record


def test_stored_record_holds_in_a_moved_folder(roots: PathRoots) -> None:
    path = roots.results / "model.json"
    full(roots).store(path, roots)
    moved = PathRoots(roots.results.rename(roots.results.with_name("moved")), roots.data)
    record = ModelStorage.from_json(moved.results / "model.json", moved)
    assert record.parameters == moved.results / "p" / "m.safetensors"
    assert record.predictions["test"] == moved.results / "p" / "test.parquet"
    assert record.predictions["other"] == Path("/elsewhere/x.parquet")
    assert record.storage == moved.results / "model.json"


def test_stored_file_can_be_read_by_people(roots: PathRoots) -> None:
    path = roots.results / "model.json"
    model(roots).store(path, roots)
    assert '\n "parameters": "p/m.safetensors",\n' in path.read_text()
    assert json.loads(path.read_text())["created"] == "2026-11-20T08:30:15.250000+01:00"


def test_record_without_results_has_none(roots: PathRoots) -> None:
    record = model(roots)
    assert (record.pipeline, record.performance, record.training_time) == (None, None, 0.0)
    assert (record.predictions, record.metrics, record.storage) == ({}, [], None)
    assert model(roots).metrics is not record.metrics


def test_numbers_that_json_lacks_are_null_in_the_file_and_kept_in_the_journal(roots: PathRoots) -> None:
    record = model(roots, performance=float("nan"), metrics=[{"auroc": float("inf")}])
    assert json.loads(encode_record(record, roots))["metrics"] == [{"auroc": None}]
    kept = record_from_builtins(json.loads(json.dumps(record_builtins(record, roots), allow_nan=False)), roots)
    assert repr(kept) == repr(record)


def test_journaled_form_has_no_part_of_the_record_itself(roots: PathRoots) -> None:
    record = full(roots)
    before = record_builtins(record, roots)
    record.metrics[0]["per_class"]["cat"] = 1.0
    record.predictions.clear()
    assert before["metrics"][0]["per_class"] == {"cat": 0.5}
    assert set(before["predictions"]) == {"test", "other"}


def test_numbers_of_numpy_are_kept_as_numbers(roots: PathRoots) -> None:
    record = model(roots, performance=np.float64(0.5), metrics=[{"loss": np.float32(0.25), "count": np.int64(2)}])
    assert json.loads(encode_record(record, roots))["metrics"] == [{"loss": 0.25, "count": 2}]
    assert record_builtins(record, roots)["performance"] == 0.5


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"metrics": [{"x": object()}]}, "value <object object"),
        ({"metrics": [{"x": np.zeros(2)}]}, "value array"),
        ({"predictions": {"test": b"x".join}}, "value <built-in method"),
    ],
)
def test_value_that_can_not_be_kept_is_named(roots: PathRoots, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(MMLError, match=f"model of task 'a', fold 1, can't be kept: {named}"):
        model(roots, **fields).store(roots.results / "model.json", roots)
    assert not (roots.results / "model.json").exists()


@pytest.mark.parametrize("value", [{1: 0.5}, 2**70, "\udce9"])
def test_value_that_would_come_back_as_another_is_refused(roots: PathRoots, value: Any) -> None:
    with pytest.raises(MMLError, match="can't be journaled as part of a model of task 'a'"):
        record_builtins(model(roots, metrics=[{"x": value}]), roots)


def test_missing_file_is_named(roots: PathRoots) -> None:
    with pytest.raises(MMLError, match=r"Model record .*model\.json can't be read: No such file"):
        ModelStorage.from_json(roots.results / "model.json", roots)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff", "malformed"),
        (b'{"task": "a"}', "missing required field `fold`"),
        (b'{"task": "a", "fold": "x"}', r"Expected `int`, got `str` - at `\$.fold`"),
        (b"[]", "Expected `object`"),
    ],
)
def test_damaged_file_is_named_with_its_fault(roots: PathRoots, content: bytes, fault: str) -> None:
    roots.results.mkdir()
    path = roots.results / "model.json"
    path.write_bytes(content)
    with pytest.raises(MMLError, match=rf"Model record .*model\.json is damaged: .*{fault}.* Remove it"):
        ModelStorage.from_json(path, roots)


def test_time_keeps_its_zone(roots: PathRoots) -> None:
    for created in (CREATED, CREATED.astimezone(UTC)):
        kept = record_from_builtins(record_builtins(model(roots, created=created), roots), roots)
        assert kept.created.isoformat() == created.isoformat()


def test_field_of_an_unknown_kind_is_refused(roots: PathRoots) -> None:
    class Special(ModelStorage):
        extra: complex = 0j

    path = roots.results / "model.json"
    model(roots).store(path, roots)
    path.write_text(path.read_text().replace('"fold"', '"extra": "x", "fold"'))
    with pytest.raises(MMLError, match="complex can't be part of a record"):
        Special.from_json(path, roots)


@pytest.mark.parametrize("value", ['"../../secret"', '"data:../secret"', "5", "null", '"a\\u0000b"', '["x"]'])
def test_a_path_that_leaves_its_root_is_damage(roots: PathRoots, value: str) -> None:
    path = roots.results / "model.json"
    model(roots).store(path, roots)
    path.write_text(path.read_text().replace('"p/m.safetensors"', value))
    with pytest.raises(MMLError, match=r"is damaged: .*parameters"):
        ModelStorage.from_json(path, roots)
