"""Return values as JSON: what `return_value` may be, and how numbers that JSON lacks are kept."""

import math
from typing import Any

from mml.core.scripts.exceptions import MMLError

_FLOAT_MARK = "$float"
_FLOATS = ("nan", "inf", "-inf")
# Whole numbers beyond these are not read exactly, or at all, by every reader of JSON.
_LEAST, _MOST = -(2**63), 2**64 - 1


def plain_value(value: Any, what: str) -> Any:
    """Return a value as JSON.

    Args:
        value: JSON values, also NaN and infinities, and one-element arrays or tensors.
        what: what it is, for the message, e.g. `"return_value of step train(0)"`.

    Raises:
        MMLError: it is anything else; names it.
    """
    match value:
        case list() | tuple():
            return [plain_value(item, what) for item in value]
        case dict() if value.keys() != {_FLOAT_MARK} and all(map(_is_text, value)):
            return {str.__str__(key): plain_value(item, what) for key, item in value.items()}
        case _ if is_single(value):
            return plain_value(value.item(), what)
    return _plain_scalar(value, what)


def _plain_scalar(value: Any, what: str) -> Any:
    match value:
        case None | bool():
            return value
        case int() if _LEAST <= value <= _MOST:
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else {_FLOAT_MARK: str(float(value))}
        case str() if is_encodable(value):
            return str.__str__(value)
    msg = (
        f"Value {value!r} of type {type(value).__name__} can't be journaled as {what}. It has to be JSON: "
        "a number of at most 64 bits, text, boolean, None, or lists and dicts (with text keys) of those."
    )
    raise MMLError(msg)


def restored_value(value: Any) -> Any:
    """Return the value that `plain_value` made a JSON value of."""
    if isinstance(value, list):
        return [restored_value(item) for item in value]
    if isinstance(value, dict):
        if value.keys() == {_FLOAT_MARK} and value[_FLOAT_MARK] in _FLOATS:
            return float(value[_FLOAT_MARK])
        return {key: restored_value(item) for key, item in value.items()}
    return value


def is_single(value: Any) -> bool:
    """Tell whether a value is a NumPy scalar, or an array or tensor of one element: its `item()` is a plain number."""
    if not callable(getattr(value, "item", None)):
        return False
    shape = getattr(value, "shape", None)
    return shape is not None and math.prod(shape) == 1


def is_encodable(text: str) -> bool:
    """Tell whether UTF-8 can hold a text; names of files that are not valid Unicode have surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and is_encodable(value)
