"""JSON texts of specs: objects whose keys are distinct, and what a value is in words."""

from typing import Any

from macgen.errors import MacgenError, shown


def object_of_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, for `json.loads`.

    Raises:
        MacgenError: a key stands there twice.
    """
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise MacgenError(f"spec has the key {shown(key)} twice; accepted is each key once")
        values[key] = value
    return values


def json_type(value: object) -> str:
    """Return what a JSON value is, in words."""
    names = {list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), "no object")
