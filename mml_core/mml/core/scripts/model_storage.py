"""ModelStorage: the plain record of one trained model, and its JSON form."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import msgspec

from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.portable_paths import PathRoots
from mml.core.scripts.utils import atomic_write
from mml.core.scripts.values import is_single, plain_value, restored_value


class ModelStorage(msgspec.Struct, kw_only=True):
    """Where a trained model lies and how good it is.

    Attributes:
        task: name of the task it was trained on.
        fold: the fold that was held out for validation.
        parameters: the weights (safetensors).
        pipeline: the configuration it was trained with (YAML).
        performance: the monitored value of the epoch that was kept.
        training_time: seconds of training.
        created: when the training ended, with time zone.
        predictions: split -> file of predictions.
        metrics: one mapping per evaluation, with `split` and, for training epochs, `epoch`.
        storage: the JSON file of this record, once it is stored.
    """

    task: str
    fold: int
    parameters: Path
    pipeline: Path | None = None
    performance: float | None = None
    training_time: float = 0.0
    created: datetime
    predictions: dict[str, Path] = {}
    metrics: list[dict[str, Any]] = []
    storage: Path | None = None

    def store(self, path: Path, roots: PathRoots) -> None:
        """Write the record as JSON, atomically, with paths relative to `roots`."""
        self.storage = path
        with atomic_write(path) as file:
            file.write(msgspec.json.format(encode_record(self, roots), indent=1))

    @classmethod
    def from_json(cls, path: Path, roots: PathRoots) -> Self:
        """Read a stored record.

        Raises:
            MMLError: the file is missing or damaged; the text names file and field.
        """
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls, dec_hook=partial(_decode_path, roots))
        except OSError as error:
            msg = f"Model record {path} can't be read: {error.strerror}."
            raise MMLError(msg) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            msg = f"Model record {path} is damaged: {error}. Remove it, or train the model again."
            raise MMLError(msg) from error


def encode_record(record: ModelStorage, roots: PathRoots) -> bytes:
    """Return the JSON bytes of a record, with every path relative to `roots`; NaN and infinities become null.

    Raises:
        MMLError: a value that JSON does not know; names it.
    """
    return msgspec.json.encode(_builtins(record, roots))


def record_builtins(record: ModelStorage, roots: PathRoots) -> Any:
    """Return a record as the journal keeps it: JSON values, with every path relative to `roots`.

    Raises:
        MMLError: a value that JSON does not know; names it.
    """
    return plain_value(_builtins(record, roots), f"part of a model of task '{record.task}'")


def record_from_builtins(data: Any, roots: PathRoots) -> ModelStorage:
    """Return the record that `record_builtins` made `data` of."""
    return msgspec.convert(restored_value(data), type=ModelStorage, dec_hook=partial(_decode_path, roots))


def _builtins(record: ModelStorage, roots: PathRoots) -> Any:
    try:
        return msgspec.to_builtins(record, enc_hook=partial(_encode_value, roots))
    except TypeError as error:
        msg = (
            f"The record of a model of task '{record.task}', fold {record.fold}, can't be kept: {error}. Its "
            "predictions have to be paths, its metrics JSON values: numbers, text, booleans, lists, dicts."
        )
        raise MMLError(msg) from error


def _encode_value(roots: PathRoots, value: Any) -> Any:
    if isinstance(value, Path):
        return roots.to_text(value)
    if is_single(value):
        return value.item()
    msg = f"value {value!r} of type {type(value).__name__} is no JSON value"
    raise TypeError(msg)


def _decode_path(roots: PathRoots, kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return roots.to_path(value)  # a ValueError becomes msgspec's own, with the name of the field
    msg = f"{kind.__name__} can't be part of a record"
    raise TypeError(msg)
