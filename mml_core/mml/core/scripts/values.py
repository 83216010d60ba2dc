"""Return values as JSON: what `return_value` may be, and how numbers that JSON lacks are kept."""

import math
from typing import Any

from mml.core.scripts.exceptions import MMLError

_FLOAT_MARK = "$float"


def plain_value(value: Any, where: str) -> Any:
    """Return a value as JSON.

    Args:
        value: JSON values, also NaN and infinities, and one-element arrays or tensors.
        where: the step that set it, for the message.

    Raises:
        MMLError: it is anything else; names step and value.
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return float(value) if math.isfinite(value) else {_FLOAT_MARK: str(float(value))}
        case str():
            return str.__str__(value)
        case list() | tuple():
            return [plain_value(item, where) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {str.__str__(key): plain_value(item, where) for key, item in value.items()}
    # NumPy scalars, and arrays and tensors of one element.
    if callable(item := getattr(value, "item", None)) and _is_single(value):
        return plain_value(item(), where)
    msg = (
        f"return_value {value!r} of type {type(value).__name__}, set by {where}, can't be journaled. "
        "It has to be a JSON value: a number, text, boolean, None, or lists and dicts of those."
    )
    raise MMLError(msg)


def restored_value(value: Any) -> Any:
    """Return the value that `plain_value` made a JSON value of."""
    if isinstance(value, list):
        return [restored_value(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {_FLOAT_MARK}:
            return float(value[_FLOAT_MARK])
        return {key: restored_value(item) for key, item in value.items()}
    return value


def _is_single(value: Any) -> bool:
    shape = getattr(value, "shape", None)
    return shape is not None and math.prod(shape) == 1
